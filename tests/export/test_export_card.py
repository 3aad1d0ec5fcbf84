"""The card of an export says what was measured, and warns of what a type costs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dilmac.export.card import write_card
from dilmac.export.config import GgufConfig


def figures_with(loss: dict[str, Any] | None) -> dict[str, Any]:
    parity: dict[str, Any] = {
        "ids": {"lines": 495, "fuzz_strings": 2000},
        "logprobs": {"same_best_percent": 89.0, "positions": 2000, "largest_difference": 2.5},
    }
    if loss:
        parity["loss"] = loss
    return {"file": "m.gguf", "num_bytes": 11_663_328, "bits_per_weight": 5.778, "parity": parity}


@pytest.fixture
def config(tmp_path: Path) -> GgufConfig:
    (tmp_path / "model").mkdir()
    card = "---\nlicense: mit\n---\n# a model\n"
    (tmp_path / "model" / "README.md").write_text(card, encoding="utf-8")
    return GgufConfig(model=tmp_path / "model", out=tmp_path / "out", type="q4_k_m")


def card_of(config: GgufConfig, figures: dict[str, Any]) -> str:
    folder = config.model.parent
    write_card(folder, config, figures, library="gguf", run="    dilmac chat --model m.gguf")
    return (folder / "README.md").read_text(encoding="utf-8")


def test_it_says_what_was_measured(config: GgufConfig) -> None:
    loss = {"bits_per_byte_before": 1.99, "bits_per_byte_after": 1.992, "loss_percent": 0.091}
    card = card_of(config, figures_with(loss))
    head = yaml.safe_load(card.split("---")[1])
    assert head == {"language": ["tr"], "library_name": "gguf", "license": "mit"}
    assert "| file | `m.gguf`, 11.7 MB |" in card
    assert "| bits per byte | 1.99 → 1.992 (+0.09 %) |" in card
    assert "Warning" not in card
    assert str(config.model.parent) not in card  # no folder of this machine


def test_a_type_that_costs_much_is_warned_of(config: GgufConfig) -> None:
    loss = {"bits_per_byte_before": 2.0, "bits_per_byte_after": 2.1, "loss_percent": 5.0}
    warning = "needs 5.0 % more bits per byte than the model that it was made from"
    card = card_of(config, figures_with(loss | {"warning": warning}))
    assert f"**Warning: q4_k_m {warning}.**" in card


def test_a_type_without_a_loss_has_no_row_of_it(config: GgufConfig) -> None:
    assert "bits per byte" not in card_of(config, figures_with(None))
