"""The data of a fine-tuning run, from files to figures: what is wrong, shown, packed, left out."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import zstandard
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.cli import main
from dilmac.core import ConfigError, InputError, bundled_instructions
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.training import FinetuneConfig, finetune, preview_data
from dilmac.training.data.prepare import prepare_conversations
from written_data import GOOD, write


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory, sample_tokenizer: Path) -> Path:
    """A model that knows nothing yet: what is looked at here are the data."""
    folder = tmp_path_factory.mktemp("models") / "small"
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=len(Tokenizer(sample_tokenizer)),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(shape).save_pretrained(folder)
    copy_tokenizer(sample_tokenizer, folder)
    return folder


def some_instructions(count: int) -> list[dict[str, Any]]:
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line) for line in lines]


def config(model: Path, folder: Path, **settings: Any) -> FinetuneConfig:
    values = {"model": model, "data": folder / "data.jsonl", "out": folder / "chat", **settings}
    return FinetuneConfig.model_validate(values)


def command(capsys: pytest.CaptureFixture[str], *flags: object) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["finetune", *map(str, flags)])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_packed_with_rejects_validation_and_variations(small_model: Path, tmp_path: Path) -> None:
    known = some_instructions(30)
    write(tmp_path / "data.jsonl", *known[:24], {"instruction": "a"}, known[0])
    write(tmp_path / "validation.jsonl", *known[24:], known[1])
    figures = finetune(
        config(
            small_model,
            tmp_path,
            validation=tmp_path / "validation.jsonl",
            invalid="reject",
            duplicates="drop",
            packing=True,
            augment_ascii=1,
            epochs=1,
            batch_size=2,
            max_length=256,
        )
    ).figures
    assert figures["examples"] == 24 and figures["examples_validation"] == 6
    assert figures["examples_invalid"] == figures["leaks"] == figures["duplicates"] == 1
    assert figures["rows"] < 24 and figures["steps"] == -(-figures["rows"] // 2)
    assert figures["turns_augmented"] > 12
    assert figures["validation_loss"] < figures["validation_loss_before"]
    packed = (tmp_path / "chat" / "rejects.jsonl.zst").read_bytes()
    rejects = zstandard.ZstdDecompressor().decompressobj().decompress(packed).decode().splitlines()
    assert [json.loads(line) for line in rejects] == [
        {
            "where": "data.jsonl:25",
            "reason": "invalid",
            "found": "field 'response' is missing",
        },
        {"where": "validation.jsonl:7", "reason": "leak", "found": "trained on at data.jsonl:2"},
    ]
    assert not (tmp_path / "chat" / "rows").exists()


def test_a_wrong_record_ends_the_command_with_its_place(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", small_model, "--data", tmp_path / "data.jsonl", "--out", tmp_path / "chat"]
    for wrong, found in (
        ({"instruction": "a", "respone": "b"}, "field 'response' is missing"),
        ({"messages": []}, "formats are mixed"),
        ('{"instruction": "a", "resp', "no JSON (unterminated string"),
    ):
        write(tmp_path / "data.jsonl", GOOD, wrong)
        code, out, err = command(capsys, *flags)
        assert code == 2 and not out and "Traceback" not in err
        assert err.startswith(f"error: {tmp_path}/data.jsonl:2: ") and found in err
        assert "mend: " in err and err.count("\n") == 2
    assert not (tmp_path / "chat").exists()


def test_preview_shows_what_is_learned_and_trains_nothing(
    small_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [
        {"role": role, "content": text}
        for role, text in (("user", "Bir?"), ("assistant", "«İki»."), ("user", "Üç?"))
    ]
    chat = {"messages": [*turns, {"role": "assistant", "content": "Dört<|im_end|>."}]}
    write(tmp_path / "data.jsonl", chat)
    flags = ["--model", small_model, "--data", tmp_path / "data.jsonl", "--out", tmp_path / "chat"]
    code, out, err = command(capsys, *flags, "--preview", 3)
    assert code == 0 and '1 examples of {"messages"}' in err
    assert (
        "<|im_start|>user\nBir?<|im_end|>\n<|im_start|>assistant\n««İki».<|im_end|>»\n"
        "<|im_start|>user\nÜç?<|im_end|>\n<|im_start|>assistant\n«Dört<|im_end|>.<|im_end|>»\n"
    ) in out
    code, out, _ = command(capsys, *flags, "--preview", 1, "--json")
    shown = json.loads(out)["shown"][0]
    assert code == 0 and shown["learned"] < shown["tokens"]
    assert [text for text, is_learned in shown["spans"] if is_learned] == [
        "«İki».<|im_end|>",
        "Dört<|im_end|>.<|im_end|>",
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "data.jsonl"]


def test_preview_is_a_command_of_its_own(small_model: Path, tmp_path: Path) -> None:
    write(tmp_path / "data.jsonl", GOOD)
    with pytest.raises(ConfigError, match="trains nothing"):
        finetune(config(small_model, tmp_path, preview=1))
    with pytest.raises(ConfigError, match="shows nothing"):
        preview_data(config(small_model, tmp_path))


def test_a_validation_file_leaves_all_data_to_training(small_model: Path, tmp_path: Path) -> None:
    data = [{**GOOD, "instruction": f"Soru {number}"} for number in range(100)]
    write(tmp_path / "data.jsonl", *data)
    write(tmp_path / "validation.jsonl", {**GOOD, "instruction": "Başka soru"}, data[6])
    settings = {"validation": str(tmp_path / "validation.jsonl"), "test_percent": 10}
    prepared = prepare_conversations(config(small_model, tmp_path, **settings))
    assert len(prepared.split.train) + len(prepared.split.test) == 100
    assert [e.question for e in prepared.split.validation] == ["Başka soru"]
    assert {source.name for source in prepared.sources} == {"data.jsonl", "validation.jsonl"}
    with pytest.raises(InputError, match="no such file"):
        prepare_conversations(config(small_model, tmp_path, validation=tmp_path / "none.jsonl"))
