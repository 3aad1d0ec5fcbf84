"""Pictures: every character of a text is in its token view, every step in its curve."""

from pathlib import Path

from dilmac.explore import tokens_html, training_figure
from dilmac.explore.curves import smoothed
from dilmac.tokenizer import Tokenizer


def test_tokens_are_colored_and_escaped(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    fragment = tokens_html(tokenizer, "Çay <b> & simit")
    assert fragment.count("<span") == len(tokenizer.encode("Çay <b> & simit"))
    assert "&lt;" in fragment and "&amp;" in fragment and "<b>" not in fragment


def test_curve_holds_training_and_held_out(tiny_model: Path) -> None:
    training, heldout = training_figure(tiny_model / "events.jsonl").data
    assert len(training.x) == 59 and len(heldout.x) == 2
    assert heldout.y[-1] < heldout.y[0]


def test_smoothing_is_a_mean() -> None:
    assert smoothed([2.0, 4.0]) == [2.0, 3.0]
    assert smoothed([1.0] * 50) == [1.0] * 50
