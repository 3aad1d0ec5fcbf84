"""Findings for the terminal: what, where, whom it breaks, and the mend."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from dilmac.core import Figures

STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_findings(figures: Figures) -> None:
    """The figures of `examine_model` as a list, the worst first."""
    screen = Console(highlight=False)
    for finding in figures["findings"]:
        _print_finding(screen, finding)
    screen.print(Text(_summary(figures)), soft_wrap=True)
    if (mended := figures.get("mended")) is not None:
        _print_mended(screen, mended)


def _print_finding(screen: Console, finding: dict[str, Any]) -> None:
    severity = finding["severity"]
    head = Text.assemble(
        (severity, STYLES[severity]), f"  {finding['rule']}  ", (finding["where"], "bold")
    )
    screen.print(head, soft_wrap=True)
    screen.print(Text(f"  found: {finding['found']}"), soft_wrap=True)
    screen.print(Text(f"  breaks: {', '.join(finding['breaks'])}"), soft_wrap=True)
    by_itself = " (--fix does it)" if finding["fixable"] else ""
    screen.print(Text(f"  mend: {finding['mend']}{by_itself}\n"), soft_wrap=True)


def _summary(figures: Figures) -> str:
    faults, notes = figures["faults"], figures["notes"]
    if not faults:
        return f"{figures['model']}: sound" + (f", {notes} notes" if notes else "")
    fixable = sum(f["fixable"] and f["severity"] != "note" for f in figures["findings"])
    return f"{figures['model']}: {faults} faults, {fixable} of which --fix mends; {notes} notes"


def _print_mended(screen: Console, mended: dict[str, Any]) -> None:
    for mend in mended.get("mends", []):
        screen.print(Text(f"mended  {mend}"), soft_wrap=True)
    for name, proof in mended.get("proof", {}).items():
        against = f", with {proof['with']}" if "with" in proof else ""
        why = f" ({proof['reason']})" if "reason" in proof else ""
        screen.print(Text(f"proof   {name}: {proof['how']}{against}{why}"), soft_wrap=True)
    for finding in mended.get("findings_left", []):
        screen.print(Text(f"left    {finding['where']}: {finding['mend']}"), soft_wrap=True)
