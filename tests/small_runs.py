"""Pretraining runs that take a second, and what is compared of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from corpora import documents
from dilmac.core import read_events
from dilmac.training import PretrainConfig


class StoppedError(Exception):
    """Ends a run at a step, as a crash would."""


def small(corpus: Path, tokenizer: Path | None, out: Path, **settings: object) -> PretrainConfig:
    """Some steps of the `tiny` shape, without samples."""
    values = {
        "corpus": corpus,
        "tokenizer": tokenizer,
        "out": out,
        "preset": "tiny",
        "tokens": 6000,
        "batch_tokens": 512,
        "eval_bytes": 500,
        "sample_prompts": (),
        "precision": "fp32",
        "compile": "off",
        **settings,
    }
    return PretrainConfig.model_validate(values)


def little_corpus(folder: Path) -> Path:
    """Some ten thousand tokens, so that epochs end."""
    from dilmac.corpus import CorpusConfig, build_corpus

    source = folder / "tales.jsonl"
    lines = [json.dumps({"text": text}) for text in documents(60)]
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = CorpusConfig(inputs=(str(source),), out=folder / "tales", holdout_percent=10)
    return build_corpus(config).path


def steps(folder: Path) -> list[dict[str, Any]]:
    """The step events of a run, without what hangs on the clock."""
    return [
        {key: event[key] for key in ("step", "tokens", "loss", "grad_norm", "rate")}
        for event in read_events(folder / "events.jsonl")
        if event["event"] == "step"
    ]


def losses(folder: Path) -> list[float]:
    """[nats per token]"""
    return [event["loss"] for event in steps(folder)]


def heldout(folder: Path) -> list[tuple[int, float]]:
    """Step and bits per byte of every measurement."""
    return [
        (event["step"], event["bits_per_byte"])
        for event in read_events(folder / "events.jsonl")
        if event["event"] == "heldout"
    ]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a model folder by its name."""
    return dict(load_file(folder / "model.safetensors"))


def same_bits(ours: Path, theirs: Path) -> bool:
    """Whether two model folders hold the same weights, bit for bit."""
    one, two = weights(ours), weights(theirs)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def stop_at(monkeypatch: pytest.MonkeyPatch, when: Sequence[int]) -> None:
    """Make runs stop before these steps (from 0), each once."""
    from dilmac.training import loop

    left, attempt = sorted(when), loop._attempt

    def stopping(run: Any, step: int) -> Any:
        if left and step == left[0]:
            left.pop(0)
            raise StoppedError
        return attempt(run, step)

    monkeypatch.setattr(loop, "_attempt", stopping)
