"""The card of an export: what it was made of, what it lost, and how to run it."""

from __future__ import annotations

from pathlib import Path

import yaml

from dilmac.core import Figures, versions
from dilmac.export.config import ProofConfig
from dilmac.models import base_license

CARD = "README.md"


def write_card(
    folder: Path, config: ProofConfig, figures: Figures, *, library: str, run: str
) -> None:
    """Write `README.md` as the hub reads it; `run` is a command or a few lines of Python.

    `figures` are the export's: file, `num_bytes`, `bits_per_weight`, and `parity`.
    """
    license_name = base_license(config.model)
    head = {"language": ["tr"], "library_name": library, "license": license_name}
    front = yaml.safe_dump(head, sort_keys=False).strip()
    name = config.model.resolve().name
    lines = [f"---\n{front}\n---\n", f"# {name}, {config.type}\n"]
    lines.append(f"Made by dilmaç {versions().get('dilmac', '')} from the model folder `{name}`.\n")
    if warning := loss_warning(figures):
        lines.append(f"**Warning: {config.type} {warning}.**\n")
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in _rows(figures))]
    lines.append(f"\nThe proof stands in `parity.json`. To run it:\n\n{run}\n")
    (folder / CARD).write_text("\n".join(lines), encoding="utf-8", newline="\n")


def loss_warning(figures: Figures) -> str | None:
    """What is to be said of a type that costs much; see `MAX_LOSS_PERCENT`."""
    warning: str | None = figures["parity"].get("loss", {}).get("warning")
    return warning


def _rows(figures: Figures) -> list[tuple[str, str]]:
    parity = figures["parity"]
    ids, scores = parity["ids"], parity["logprobs"]
    rows = [
        ("file", f"`{figures['file']}`, {figures['num_bytes'] / 1e6:,.1f} MB"),
        ("bits per weight", f"{figures['bits_per_weight']:.2f}"),
        ("same ids as in transformers", f"{ids['lines']:,} lines and {ids['fuzz_strings']:,} made"),
        (
            "same best token",
            f"{scores['same_best_percent']} % of {scores['positions']:,} positions",
        ),
        ("largest difference of a log-probability", f"{scores['largest_difference']} nats"),
    ]
    if loss := parity.get("loss"):
        before, after = loss["bits_per_byte_before"], loss["bits_per_byte_after"]
        rows.append(("bits per byte", f"{before} → {after} ({loss['loss_percent']:+.2f} %)"))
    return rows
