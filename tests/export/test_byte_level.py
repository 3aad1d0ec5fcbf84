"""Byte-level tokenizers in GGUF: Qwen's manner, extended, pruned, and what a transplant makes."""

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
from tiny_models import change_json, config_of, contents, make_model

from byte_level_base import ADDED, QWEN_SPLIT
from dilmac.core import InputError, ParityError
from dilmac.engines import Engine, EngineSpec, Sampling
from dilmac.export import export_gguf
from dilmac.export.parity import prove
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.transplant import TransplantConfig, transplant


@pytest.fixture
def qwen(tmp_path: Path, byte_level: Path) -> Path:
    return make_model(tmp_path / "qwen", byte_level, "qwen3", num_spare_rows=10)


@pytest.mark.parametrize("name", ["byte_level", "byte_level_extended", "byte_level_pruned"])
def test_every_byte_level_tokenizer_passes(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer: Path = request.getfixturevalue(name)
    model = make_model(tmp_path / "model", tokenizer, "qwen3", num_spare_rows=5)
    text = tmp_path / "text.jsonl"
    lines = ["e\u0301 NUL\0 \u2581 \ufeff", "".join(ADDED), "'\u017fabc A\u030a \u212b 'LL"]
    text.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    parity = export_gguf(config_of(model, text=(str(text),), num_fuzz=400)).figures["parity"]
    assert parity["ids"] == {"lines": 3, "fuzz_strings": 400, "different": 0, "lossy": 0}
    assert parity["logprobs"]["largest_difference"] < 0.0001


def test_nothing_is_left_to_a_default(qwen: Path) -> None:
    value = contents(export_gguf(config_of(qwen)).path / "model-f32.gguf")
    tokenizer = Tokenizer(qwen)
    assert value["tokenizer.ggml.model"] == "gpt2" and value["tokenizer.ggml.pre"] == "qwen2"
    assert value["tokenizer.ggml.add_bos_token"] is False
    assert "tokenizer.ggml.scores" not in value
    tokens, types = value["tokenizer.ggml.tokens"], value["tokenizer.ggml.token_type"]
    ends = {
        "eos": "<|im_end|>", "eot": "<|im_end|>",
        "bos": "<|endoftext|>", "padding": "<|endoftext|>",
    }  # fmt: skip
    for key, token in ends.items():
        assert tokens[value[f"tokenizer.ggml.{key}_token_id"]] == token
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind == 3]
    assert sorted(controls) == sorted(ADDED)
    assert tokens[-10:] == [f"[unused{row}]" for row in range(len(tokenizer), len(tokens))]
    assert set(types[-10:]) == {gguf.TokenType.UNUSED}
    spec = json.loads((qwen / "tokenizer.json").read_text(encoding="utf-8"))
    assert value["tokenizer.ggml.merges"][0] == " ".join(spec["model"]["merges"][0])


def test_a_template_in_the_settings_is_taken(qwen: Path) -> None:
    change_json(qwen / "tokenizer_config.json", chat_template="{{ messages[0]['content'] }}")
    value = contents(export_gguf(config_of(qwen)).path / "model-f32.gguf")
    assert value["tokenizer.chat_template"].startswith("{{ messages[0]")


def change_tokenizer(folder: Path, **changes: Any) -> None:
    """Set keys of tokenizer.json, `model__KEY` within its model."""
    path = folder / "tokenizer.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        part, _, inner = key.partition("__")
        spec[part] = spec[part] | {inner: value} if inner else value
    path.write_text(json.dumps(spec), encoding="utf-8")


def split_by(pattern: str, **changes: Any) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    parts = [split | {"invert": False}, level | {"trim_offsets": True} | changes]
    return {"type": "Sequence", "pretokenizers": parts}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"pre_tokenizer": split_by(QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|"))}, "split pat"),
        ({"pre_tokenizer": split_by(QWEN_SPLIT, add_prefix_space=True)}, "adds a space"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                            "use_regex": True}}, "pre-tokenizer is .*, not Qwen's"),
        ({"normalizer": None}, "normalizer is null, Qwen's is NFC"),
        ({"normalizer": {"type": "NFKC"}}, "NFKC"),
        ({"model__ignore_merges": True}, "a BPE with ignore_merges"),
    ],
)  # fmt: skip
def test_what_llamacpp_would_read_otherwise_is_refused(
    qwen: Path, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    change_tokenizer(qwen, **changes)
    with pytest.raises(InputError, match=fault):
        export_gguf(config_of(qwen))
    assert not (tmp_path / "gguf").exists()


def test_other_merges_fail_the_proof(qwen: Path) -> None:
    config = config_of(qwen)
    file = export_gguf(config).path / "model-f32.gguf"
    spec = json.loads((qwen / "tokenizer.json").read_text(encoding="utf-8"))
    change_tokenizer(qwen, model__merges=spec["model"]["merges"][1:])
    with pytest.raises(ParityError, match=r"llama\.cpp reads"):
        prove(config, file)


def test_suppressed_rows_that_are_none_are_refused(qwen: Path) -> None:
    for rows in ([-1], [10**6], ["<s>"], 5):
        change_json(qwen / "generation_config.json", suppress_tokens=rows)
        with pytest.raises(InputError, match="suppress_tokens are no ids below"):
            export_gguf(config_of(qwen))


@pytest.mark.parametrize("way", ["replace", "extend"])
def test_a_transplanted_model_passes_and_keeps_its_silent_rows_silent(
    way: str,
    tmp_path: Path,
    byte_level: Path,
    byte_level_extended: Path,
    sample_tokenizer: Path,
) -> None:
    tokenizer = sample_tokenizer if way == "replace" else byte_level_extended
    source = make_model(tmp_path / "source", byte_level, "qwen3", tied=way == "extend")
    model = transplant(
        TransplantConfig(
            model=str(source), tokenizer=str(tokenizer), pad_to=100, out=tmp_path / "model"
        )
    ).path
    made = export_gguf(config_of(model))
    assert made.figures["parity"]["logprobs"]["largest_difference"] < 0.0001
    file = made.path / "model-f32.gguf"
    settings = json.loads((model / "generation_config.json").read_text(encoding="utf-8"))
    silent = set(settings["suppress_tokens"])
    assert silent and contents(file)["dilmac.suppress_tokens"] == sorted(silent)
    # As probable as any other at this temperature: some would come if they could.
    wild = Sampling(max_tokens=150, temperature=5, top_k=0, top_p=1.0)
    for spec in (
        EngineSpec(kind="llamacpp", model=file, threads=1),
        EngineSpec(kind="transformers", model=model, threads=1),
    ):
        with Engine(spec) as engine:
            tokens = [t.id for seed in (1, 2, 3) for t in engine.generate(
                [5], wild.model_copy(update={"seed": seed}))]  # fmt: skip
        assert len(tokens) > 60
        assert sorted(silent & set(tokens)) == []


def test_control_tokens_after_the_last_piece_keep_their_names(
    tmp_path: Path, sample_tokenizer: Path
) -> None:
    """A transplant adds markers of a source that its tokenizer lacks, in tokenizer.json alone."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    copy_tokenizer(sample_tokenizer, folder)
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    spec["added_tokens"].append(spec["added_tokens"][-1] | {"id": 1024, "content": "<|image|>"})
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    model = make_model(tmp_path / "model", folder, "qwen3", num_spare_rows=2)
    value = contents(export_gguf(config_of(model)).path / "model-f32.gguf")
    assert value["tokenizer.ggml.tokens"][1024:] == ["<|image|>", "[unused1025]", "[unused1026]"]
    assert value["tokenizer.ggml.token_type"][1024:] == [3, 5, 5]
