"""The verb: every architecture, both ways, tied and untied, and what ends a text."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from small_models import (
    ARCHITECTURES,
    copied,
    has_class,
    logits_of,
    make_model,
    run,
)
from transformers import AutoModelForCausalLM, AutoTokenizer

from dilmac.core import bundled_prose
from dilmac.tokenizer import Tokenizer
from dilmac.transplant.stream import open_checkpoint

ENGLISH = "The quick brown fox jumps over the lazy dog. if x == 1: return 2"
TURKISH = bundled_prose()[0].read_text(encoding="utf-8")[:400]


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_every_architecture_speaks_through_the_new_tokenizer(
    tmp_path: Path, byte_level: Path, byte_level_extended: Path, kind: str, tied: bool
) -> None:
    """On ids that did not change the extended model gives the source's logits."""
    if not has_class(kind):
        pytest.skip(f"this transformers has no {kind}")
    source = make_model(tmp_path / "source", byte_level, kind, tied=tied)
    made = run(tmp_path / "out", source, byte_level_extended)
    ids = Tokenizer(byte_level).encode(ENGLISH)
    before, after = logits_of(source, ids), logits_of(made.path, ids)
    torch.testing.assert_close(after[:, : before.shape[1]], before, rtol=0, atol=1e-5)
    assert after.shape[1] == len(Tokenizer(byte_level_extended))
    assert made.figures["way"] == "extend" and made.figures["tied"] == tied
    turkish = Tokenizer(made.path).encode(TURKISH)
    assert len(turkish) < len(Tokenizer(byte_level).encode(TURKISH))
    assert bool(logits_of(made.path, turkish).isfinite().all())
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == kind and config["vocab_size"] == after.shape[1]


@pytest.mark.parametrize("tied", [True, False])
def test_a_pruned_extension_gives_the_logits_of_the_rows_it_kept(
    tmp_path: Path, byte_level: Path, byte_level_pruned: Path, tied: bool
) -> None:
    source = make_model(tmp_path / "source", byte_level, tied=tied)
    made = run(tmp_path / "out", source, byte_level_pruned)
    kept = json.loads((byte_level_pruned / "rows.json").read_text(encoding="utf-8"))
    old_of = {new: parts[0] for new, parts in enumerate(kept) if len(parts) == 1}
    ids = [row for row in Tokenizer(made.path).encode(ENGLISH) if row in old_of]
    before = logits_of(source, [old_of[row] for row in ids])[:, list(old_of.values())]
    after = logits_of(made.path, ids)[:, list(old_of)]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    assert made.figures["way"] == "extend"


def test_replacing_maps_ids_in_every_config(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    made = run(tmp_path / "out", qwen, sample_tokenizer, pad_to=64)
    new = Tokenizer(sample_tokenizer)
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((made.path / "generation_config.json").read_text(encoding="utf-8"))
    end, stop, pad = (new.control_id(f"<|{name}|>") for name in ("endoftext", "im_end", "pad"))
    assert (config["eos_token_id"], config["bos_token_id"]) == (stop, end)
    assert generation["eos_token_id"] == [stop, end] and generation["pad_token_id"] == pad
    assert made.figures["way"] == "replace" and made.figures["rows"] % 64 == 0
    assert made.figures["rows_by_origin"]["idle"] == made.figures["rows"] - len(new)
    assert sum(made.figures["rows_by_origin"].values()) == made.figures["rows"]
    assert (made.path / "README.md").is_file() and (made.path / "report.html").is_file()
    assert AutoTokenizer.from_pretrained(made.path).encode(TURKISH) == new.encode(TURKISH)


def test_padded_rows_are_never_generated(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    made = run(tmp_path / "out", qwen, sample_tokenizer, pad_to=600)
    model = AutoModelForCausalLM.from_pretrained(made.path)
    known = len(Tokenizer(sample_tokenizer))
    assert model.config.vocab_size > known
    # Even where the head would prefer them.
    with torch.no_grad():
        model.get_output_embeddings().weight[known:] = 100.0
    torch.manual_seed(0)
    for ids in (torch.tensor([[7, 8, 9]]), torch.tensor([[300, 301]])):
        given = model.generate(ids, max_new_tokens=30, do_sample=True, temperature=3.0)
        assert int(given.max()) < known


@pytest.mark.parametrize("init", ["random", "mean", "first", "focus", "omp"])
def test_every_method_makes_a_model(
    tmp_path: Path, qwen: Path, sample_corpus: Path, tiny_model: Path, init: str
) -> None:
    others = {"focus": {"corpus": sample_corpus}, "omp": {"donor": tiny_model}}.get(init, {})
    sample_tokenizer = tiny_model  # a model folder holds one
    made = run(tmp_path / "out", qwen, sample_tokenizer, init=init, untie=True, **others)
    assert made.figures["init"] == init and not made.figures["tied"]
    assert set(open_checkpoint(made.path).shapes) >= {"lm_head.weight", "model.embed_tokens.weight"}
    model = AutoModelForCausalLM.from_pretrained(made.path)
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    assert bool(model(torch.tensor([[5, 6, 7]])).logits.isfinite().all())


def test_parts_weighed_by_text(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path, sample_corpus: Path
) -> None:
    made = [
        run(tmp_path / name, qwen, sample_tokenizer, corpus=sample_corpus, weighted_parts=weighs)
        for name, weighs in (("alone", False), ("weighed", True))
    ]
    tables = [open_checkpoint(m.path).table("model.embed_tokens.weight") for m in made]
    assert made[0].figures["rows_by_origin"] == made[1].figures["rows_by_origin"]
    changed = (tables[0] != tables[1]).any(1).sum()
    assert 0 < changed < made[0].figures["rows_by_origin"]["composed"]


def test_tied_stays_tied_through_lora_and_merging(
    tmp_path: Path, qwen: Path, byte_level_extended: Path
) -> None:
    made = run(tmp_path / "out", qwen, byte_level_extended)
    model = AutoModelForCausalLM.from_pretrained(made.path)
    adapter = LoraConfig(
        r=4,
        target_modules=["q_proj"],
        modules_to_save=["embed_tokens", "lm_head"],
        ensure_weight_tying=True,
    )
    trained = get_peft_model(model, adapter)
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=0.01)
    ids = torch.tensor([Tokenizer(made.path).encode(TURKISH)])
    for _ in range(2):
        trained(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    merged = trained.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert again.config.tie_word_embeddings
    assert again.lm_head.weight.data_ptr() == again.model.embed_tokens.weight.data_ptr()
    assert "lm_head.weight" not in open_checkpoint(tmp_path / "merged").shapes
    torch.testing.assert_close(again(ids).logits, merged.eval()(ids).logits, rtol=0, atol=1e-5)


def test_many_shards_and_bf16(tmp_path: Path, byte_level: Path, byte_level_extended: Path) -> None:
    settings: dict[str, Any] = {"tied": False, "dtype": torch.bfloat16, "shard_size": "30KB"}
    source = make_model(tmp_path / "source", byte_level, **settings)
    made = run(tmp_path / "out", source, byte_level_extended)
    shards = sorted(path.name for path in source.glob("*.safetensors"))
    assert len(shards) > 3
    assert sorted(path.name for path in made.path.glob("*.safetensors")) == shards
    before, after = open_checkpoint(source), open_checkpoint(made.path)
    old = before.table("lm_head.weight")
    assert torch.equal(after.table("lm_head.weight")[: len(old)], old)
    assert after.table("lm_head.weight").dtype == torch.bfloat16
    ids = Tokenizer(byte_level).encode(ENGLISH)
    torch.testing.assert_close(
        logits_of(made.path, ids)[:, : len(old)], logits_of(source, ids), rtol=0, atol=1e-5
    )


def test_what_is_measured(tmp_path: Path, qwen: Path, byte_level_extended: Path) -> None:
    texts = {"turkish": (str(bundled_prose()[-1]),), "english": (str(_written(tmp_path)),)}
    made = run(tmp_path / "out", qwen, byte_level_extended, max_text_bytes=3000, **texts)
    tokens, bits = made.figures["tokens"], made.figures["bits_per_byte"]
    assert tokens["english"]["before"] >= tokens["english"]["after"]
    assert 0.1 < tokens["turkish"]["saved"] < 0.6
    assert set(bits) == {"before", "step_0"} and set(bits["before"]) == {"turkish", "english"}
    page = (made.path / "report.html").read_text(encoding="utf-8")
    assert "Tokens saved" in page and f"{bits['step_0']['turkish']:.4g}" in page


def _written(folder: Path) -> Path:
    path = folder / "english.txt"
    path.write_text(f"{ENGLISH}\n\n" * 5, encoding="utf-8")
    return path


def test_the_same_command_again_does_nothing(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    first = run(tmp_path / "out", qwen, sample_tokenizer)
    again = run(tmp_path / "out", qwen, sample_tokenizer)
    assert first.manifest == again.manifest
    other = run(tmp_path / "other", qwen, sample_tokenizer)
    assert other.manifest.digest == first.manifest.digest


# ---- ends


def renamed(tokenizer: Path, folder: Path, names: dict[str, str]) -> Path:
    """A tokenizer whose control tokens have other names."""
    shutil.copytree(tokenizer, folder)
    (folder / "artifact.json").unlink(missing_ok=True)
    for path in folder.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        for old, new in names.items():
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return folder


def generation_of(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).generation_config


def test_what_begins_a_text_does_not_take_the_row_that_ends_it(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    """`<s>` stands before `</s>`; Qwen has one token for both."""
    names = {"<|tool_call|>": "<x>", "<tool_call>": "<s>", "<|endoftext|>": "</s>"}
    tokenizer = renamed(sample_tokenizer, tmp_path / "tokenizer", names)
    made = run(tmp_path / "out", qwen, tokenizer, untie=True)
    new = Tokenizer(tokenizer)
    generation = generation_of(made.path)
    assert generation.eos_token_id == [new.control_id("<|im_end|>"), new.control_id("</s>")]
    assert not set(generation.eos_token_id) & set(generation.suppress_tokens)
    assert open_checkpoint(made.path).table("lm_head.weight")[new.control_id("</s>")].any()


def test_a_model_without_generation_settings_still_ends(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    (folder / "generation_config.json").unlink()
    made = run(tmp_path / "out", folder, sample_tokenizer)
    stop = Tokenizer(sample_tokenizer).control_id("<|im_end|>")
    assert generation_of(made.path).eos_token_id == stop
    assert generation_of(made.path).suppress_tokens


def test_nulls_in_generation_settings(tmp_path: Path, qwen: Path, sample_tokenizer: Path) -> None:
    folder = copied(qwen, tmp_path)
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    known = Tokenizer(qwen)
    first, second = known.encode(" bir")[0], known.control_id("<think>")
    settings |= {"suppress_tokens": None, "bad_words_ids": [[first], [first, second]]}
    path.write_text(json.dumps(settings), encoding="utf-8")
    made = run(tmp_path / "out", folder, sample_tokenizer)
    written = json.loads((made.path / "generation_config.json").read_text(encoding="utf-8"))
    assert written["suppress_tokens"] and [] not in written["bad_words_ids"]
    # A word is forbidden as a whole, or not at all.
    assert all(
        len(word) == 2 or word == written["bad_words_ids"][0] for word in written["bad_words_ids"]
    )


def test_turns_of_another_family_end_in_the_new_ones(
    tmp_path: Path, byte_level: Path, sample_tokenizer: Path
) -> None:
    """Llama 3 ends a turn with <|eot_id|>; the new tokenizer with <|im_end|>."""
    names = {
        "<|im_end|>": "<|eot_id|>",
        "<|endoftext|>": "<|end_of_text|>",
        "<|im_start|>": "<|h|>",
    }
    theirs = renamed(byte_level, tmp_path / "llama3", names)
    known = Tokenizer(theirs)
    folder = make_model(tmp_path / "model", byte_level)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(theirs / name, folder / name)
    made = run(tmp_path / "out", folder, sample_tokenizer)
    new = Tokenizer(sample_tokenizer)
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert config["eos_token_id"] == new.control_id("<|im_end|>")
    old = open_checkpoint(folder).table("model.embed_tokens.weight")[known.control_id("<|eot_id|>")]
    table = open_checkpoint(made.path).table("model.embed_tokens.weight")
    assert torch.equal(table[new.control_id("<|im_end|>")], old)


# ---- odd folders


def test_a_config_that_leaves_its_vocabulary_to_the_class(
    tmp_path: Path, byte_level: Path, sample_tokenizer: Path
) -> None:
    rows = 151936  # Qwen3Config's own
    folder = make_model(tmp_path / "model", byte_level, num_rows=rows)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["vocab_size"]
    path.write_text(json.dumps(config), encoding="utf-8")
    made = run(tmp_path / "out", folder, sample_tokenizer)
    assert made.figures["rows_before"] == rows
    assert logits_of(made.path, [5, 6]).shape[1] == made.figures["rows"]


def test_a_spare_head_under_an_old_name_is_the_one_that_is_written(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    shard = folder / "model.safetensors"
    tensors = load_file(shard)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, shard, metadata={"format": "pt"})
    tied = run(tmp_path / "tied", folder, sample_tokenizer)
    assert "lm_head.weight" not in open_checkpoint(tied.path).shapes
    untied = run(tmp_path / "untied", folder, sample_tokenizer, untie=True)
    shapes = open_checkpoint(untied.path).shapes
    assert shapes["lm_head.weight"] == shapes["model.embed_tokens.weight"]


def test_a_shard_of_another_name_gets_the_usual_one(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    folder = copied(qwen, tmp_path)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    made = run(tmp_path / "out", folder, sample_tokenizer)
    assert bool(logits_of(made.path, [5, 6]).isfinite().all())


def test_rows_are_a_multiple_of_pad_to_either_way(
    tmp_path: Path, qwen: Path, sample_tokenizer: Path
) -> None:
    made = run(tmp_path / "out", qwen, sample_tokenizer, rows=1100, pad_to=64)
    assert made.figures["rows"] == 1152


def test_foreign_rows_do_not_make_an_extension(
    tmp_path: Path, tiny_model: Path, byte_level_extended: Path
) -> None:
    made = run(tmp_path / "out", tiny_model, byte_level_extended)
    assert made.figures["way"] == "replace"
