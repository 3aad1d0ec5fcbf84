"""`report.html` of a transplant and of its healing: rows, sizes, tokens saved, bits per byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page
from dilmac.transplant.config import TransplantConfig
from dilmac.transplant.measure import KINDS

REPORT = "report.html"
KINDS_OF_TOKENS = tuple(f"{kind}, tokens" for kind in KINDS)
MEANINGS = {
    "copied": "the old token of the same bytes, bit for bit",
    "role": "the old control token of the same role",
    "composed": "made of old rows by the method",
    "fresh": "a control token that the old vocabulary has nothing like: the mean of all rows",
    "idle": "padding: zero, never generated",
}
ADVICE = {
    "extend": "Old tokens keep their rows, so English and code begin where they were. What is "
    "new is a guess until it is trained: a few million tokens of Turkish, with a little of the "
    "rest, on the new rows and, better, on low-rank adapters of the layers as well: dilmac heal.",
    "prune": "The old tokens that were kept have their rows. What was dropped is cut into pieces, "
    "and what is new is a guess: dilmac heal, with a share of English and code.",
    "replace": "English and code are cut into smaller pieces than before, and all layers have to "
    "learn the new cuts: dilmac heal, everything or adapters and all rows, a fifth to a quarter "
    "of it English and code, on more text than an extension needs.",
}


def write_report(path: Path, config: TransplantConfig, figures: Figures) -> None:
    """Write the page, self-contained."""
    page = Page("A model on another tokenizer")
    page.text(
        f"{config.model} → {config.tokenizer} ({figures['way']}), new rows by {figures['init']}: "
        f"{figures['init_source']}"
    )
    page.heading("Rows").figure(_origins(figures)).table(
        ("rows", "origin", "meaning"),
        [(count, name, MEANINGS[name]) for name, count in figures["rows_by_origin"].items()],
    )
    page.heading("Your choice").table(
        ("", "rows", "parameters", "MB", *KINDS_OF_TOKENS, "healing, about"),
        [_choice(row) for row in figures["choices"]],
    )
    page.text(
        "Healing is a rule of thumb: a hundred tokens for every new row of an extension, eight "
        "thousand for every row of a vocabulary that is not the model's own.",
        soft=True,
    )
    if "probe" in figures:
        page.heading("Methods, tried").table(
            ("method", "step 0", "after the probe"),
            [(name, curve[0], curve[-1]) for name, curve in figures["probe"].items()],
        )
    if "tokens" in figures:
        page.heading("Tokens saved").table(
            ("text", "tokens before", "after", "saved"),
            [
                (kind, f"{row['before']:,}", f"{row['after']:,}", f"{row['saved']:.1%}")
                for kind, row in figures["tokens"].items()
            ],
        )
        _bits(page, figures["bits_per_byte"])
    is_pruned = figures["way"] == "extend" and figures["old_rows_kept"] < figures["old_rows"]
    page.heading("What next").text(ADVICE["prune" if is_pruned else figures["way"]]).write(path)


def write_healing_report(path: Path, figures: Figures) -> None:
    """Write the page of a healed model, self-contained."""
    page = Page("A transplanted model, healed")
    page.text(
        f"{figures['tokens_trained']:,} tokens, {figures['steps']:,} steps, loss "
        f"{figures['loss']}, trained: {figures['train']}. The curve is in curves.html."
    )
    page.heading("Held-out bits per byte").table(
        ("source", "bits per byte"), list(figures["heldout_bits_per_byte_by_source"].items())
    )
    if "bits_per_byte" in figures:
        _bits(page, figures["bits_per_byte"])
    else:
        page.text("Give --turkish, --english and --code files to see each stage.", soft=True)
    page.write(path)


def _choice(row: Figures) -> tuple[str, ...]:
    tokens = [f"{row['tokens'][kind]:,}" if kind in row["tokens"] else "" for kind in KINDS]
    healing = f"{row['healing_tokens'] / 1e6:,.1f}M tokens" if row["healing_tokens"] else "none"
    counts = (f"{row['rows']:,}", f"{row['parameters']:,}", f"{row['bytes'] / 1e6:,.0f}")
    return (row["way"], *counts, *tokens, healing)


def _bits(page: Page, bits: dict[str, dict[str, float]]) -> None:
    kinds = list(next(iter(bits.values())))
    page.heading("Bits per byte").table(
        ("", *kinds), [(stage, *(row[kind] for kind in kinds)) for stage, row in bits.items()]
    )
    page.text("What step 0 says of a method is little: a few dozen training steps do.", soft=True)


def _origins(figures: Figures) -> Any:
    import plotly.graph_objects as go

    counts = {name: count for name, count in figures["rows_by_origin"].items() if count}
    figure = go.Figure(
        [go.Bar(y=["rows"], x=[n], name=name, orientation="h") for name, n in counts.items()]
    )
    figure.update_layout(barmode="stack", height=180, margin={"t": 20, "b": 20})
    return figure
