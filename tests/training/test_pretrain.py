"""Pretraining: it learns, it resumes bit for bit, and the world can open what it made."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dilmac.core import ConfigError, DilmacError, InputError, open_artifact, read_events
from dilmac.training import PretrainConfig, pretrain
from killing import has_steps, kill_dilmac_when, run_dilmac


def small(corpus: Path, tokenizer: Path, out: Path, **settings: object) -> PretrainConfig:
    values = {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "out": out,
        "preset": "tiny",
        "tokens": 20_480,
        "batch_tokens": 1024,
        "eval_bytes": 2000,
        "sample_prompts": ("Bir gün",),
        **settings,
    }
    return PretrainConfig.model_validate(values)


def test_loss_and_held_out_bits_fall(tiny_model: Path) -> None:
    events = read_events(tiny_model / "events.jsonl")
    losses = [event["loss"] for event in events if event["event"] == "step"]
    held_out = [event["bits_per_byte"] for event in events if event["event"] == "heldout"]
    assert sum(losses[-5:]) < sum(losses[:5]) - 2
    assert held_out[-1] < held_out[0] - 0.3
    figures = open_artifact(tiny_model, "model").figures
    assert figures["heldout_bits_per_byte"] > 0
    assert set(figures["samples"]) == {"Bir gün", "Türkiye'nin", "Sabah erkenden"}


def test_folder_opens_in_transformers(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ids = tokenizer("Çocuklar okula gitti.", return_tensors="pt").input_ids
    assert type(model).__name__ == "LlamaForCausalLM"
    assert model(input_ids=ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    assert not list(tiny_model.glob("checkpoints*")) and not (tiny_model / "tokens").exists()


def test_same_command_gives_the_same_bytes(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    made = [
        pretrain(small(sample_corpus, sample_tokenizer, tmp_path / name)) for name in ("a", "b")
    ]
    assert made[0].manifest.digest == made[1].manifest.digest
    assert made[0].figures == made[1].figures


def test_accumulation_changes_nothing(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    def losses(name: str, micro: int) -> list[float]:
        config = small(
            sample_corpus,
            sample_tokenizer,
            tmp_path / name,
            tokens=6000,
            micro_batch_tokens=micro,
            precision="fp32",
        )
        events = read_events(pretrain(config).path / "events.jsonl")
        return [event["loss"] for event in events if event["event"] == "step"]

    assert losses("whole", 8192) == pytest.approx(losses("parts", 128), abs=1e-5)


def test_killed_and_repeated_gives_the_bytes_of_an_undisturbed_run(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    def flags(out: Path) -> list[str]:
        places = ["--corpus", str(sample_corpus), "--tokenizer", str(sample_tokenizer)]
        budget = ["--tokens", "81920", "--batch-tokens", "1024", "--checkpoint-steps", "7"]
        sizes = ["--preset", "tiny", "--eval-bytes", "2000", "--eval-steps", "20"]
        return ["pretrain", *places, *budget, *sizes, "--out", str(out)]

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run_dilmac(*flags(undisturbed)).returncode == 0
    events = tmp_path / ".killed.partial" / "events.jsonl"
    assert kill_dilmac_when(lambda: has_steps(events, 24), *flags(killed))
    assert not killed.exists()
    again = run_dilmac(*flags(killed))
    assert again.returncode == 0 and "going on at step" in again.stderr
    ours, theirs = open_artifact(killed), open_artifact(undisturbed)
    assert ours.manifest.digest == theirs.manifest.digest
    assert ours.figures == theirs.figures
    steps = [e["step"] for e in read_events(killed / "events.jsonl") if e["event"] == "step"]
    assert steps == list(range(1, 81))


def test_a_loss_that_is_not_finite_stops_the_run(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = small(sample_corpus, sample_tokenizer, tmp_path / "m", learning_rate=1e38)
    with pytest.raises(DilmacError, match="not finite"):
        pretrain(config)
    assert not (tmp_path / "m").exists()


def test_what_does_not_fit_is_refused(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="unknown preset"):
        pretrain(small(sample_corpus, sample_tokenizer, tmp_path / "m", preset="huge"))
    with pytest.raises(InputError, match="no such folder"):
        pretrain(small(tmp_path / "nowhere", sample_tokenizer, tmp_path / "m"))
    with pytest.raises(InputError, match="do not fill one window"):
        pretrain(small(sample_corpus, sample_tokenizer, tmp_path / "m", context=1 << 20))


def test_weights_are_plain_safetensors(tiny_model: Path) -> None:
    config = json.loads((tiny_model / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and "auto_map" not in config
    suffixes = {path.suffix for path in tiny_model.iterdir()}
    assert not suffixes & {".bin", ".pt", ".pth", ".pkl"}
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert model.dtype == torch.float32
