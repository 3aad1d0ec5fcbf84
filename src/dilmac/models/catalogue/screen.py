"""What `dilmac models show` and `suggest` print."""

from __future__ import annotations

import json

from rich import box
from rich.console import Console
from rich.table import Table

from dilmac.core import Figures
from dilmac.models.catalogue.listing import billions, contexts
from dilmac.models.catalogue.sizes import gib
from dilmac.models.table import print_table

TRAP = "the KV cache is {:.1f} times the 4-bit weights: --kv-type q8_0, or a shorter --context"


def print_model(figures: Figures) -> None:
    """The figures of `show_model`, a line for each fact, and the memory as a table."""
    screen = Console(soft_wrap=True, highlight=False)
    for name, value in _facts(figures).items():
        screen.print(f"{name}: {value}", markup=False)
    title = (
        f"memory with {figures['context_asked']:,} tokens × {figures['slots']}, "
        f"KV cache in {figures['kv_type']}"
    )
    table = _table(title, ("bits a weight",))
    for name, row in figures["memory"].items():
        table.add_row(name, f"{row['bits_per_weight']:.2f}", *_parts(row))
    print_table(table)
    longest = figures.get("longest_context") or figures["context"]
    if longest is not None and figures["context_asked"] > longest:
        screen.print(f"beyond its context of {longest:,} tokens", markup=False)
    four_bit = figures["memory"]["q4_k_m"]
    if four_bit["total"] and four_bit["kv_cache"] > four_bit["weights"]:
        screen.print(TRAP.format(four_bit["kv_cache"] / four_bit["weights"]), markup=False)


def print_suggestion(figures: Figures) -> None:
    """The figures of `suggest_model`: the choice and its reasons, what else fits, what does not."""
    screen = Console(soft_wrap=True, highlight=False)
    choice = figures["choice"]
    screen.print(f"{choice['model']} in {choice['format']}", markup=False)
    for line in choice["why"]:
        screen.print(f"  {line}", markup=False)
    screen.print(f"  hf download {choice['hub']} --local-dir {choice['model'].lower()}")
    table = _table("what fits, each in its finest format", ("format",))
    table.add_column("license", no_wrap=True)
    for name, row in figures["fits"].items():
        mark = "→ " if name == choice["model"] else "  "
        table.add_row(f"{mark}{name}", row["format"], *_parts(row), row["license"])
    print_table(table)
    if figures["does_not_fit"]:
        screen.print("what does not fit")
    for name, row in figures["does_not_fit"].items():
        screen.print(f"  {name}: {row['why']}", markup=False)


def _table(title: str, heads: tuple[str, ...]) -> Table:
    table = Table(
        box=box.SIMPLE, title=title, title_justify="left", title_style="", caption_justify="left"
    )
    table.add_column("", no_wrap=True)
    for head in (*heads, "weights", "KV cache", "state", "buffers", "total"):
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _parts(row: Figures) -> list[str]:
    names = ("weights", "kv_cache", "state", "buffers", "total")
    return ["?" if row.get(name) is None else gib(row[name]) for name in names]


def _facts(figures: Figures) -> dict[str, str]:
    """Every fact with a word for it; what is unknown says so."""
    shape = {key: value for key, value in figures["shape"].items() if value not in (None, 0)}
    facts = {"model": figures["name"]}
    if "stored_bytes" in figures:
        facts["parameters"] = f"{figures['parameters']:,}"
        facts["stored"] = gib(figures["stored_bytes"])
    else:
        facts |= {
            "for": ", ".join(figures["tasks"]) + (" (superseded)" if figures["superseded"] else ""),
            "parameters": _parameters(figures),
            "license": f"{figures['license']}: {figures['license_terms']}",
            "base": figures["base"] or "unknown",
            "chat": figures["chat"] or "unknown",
            "download": figures["download"] or "unknown",
        }
    context = contexts(figures["context"], figures.get("longest_context"))
    facts["context"] = "unknown" if context == "?" else context
    facts["architecture"] = figures["architecture"] or "unknown"
    facts["shape"] = ", ".join(f"{key} {json.dumps(value)}" for key, value in shape.items())
    facts["KV cache"] = _kv(figures["kv_bytes_per_token"])
    for name, said in figures.get("runs", {}).items():
        facts[f"runs in {name}" if name != "ModelScope" else "on ModelScope"] = _said(said)
    if figures.get("unconfirmed"):
        facts["not confirmed"] = ", ".join(figures["unconfirmed"])
    if "sources" in figures:
        facts["sources"] = "; ".join(figures["sources"].values())
    return facts


def _parameters(figures: Figures) -> str:
    if figures["parameters"] is None:
        return "unknown"
    if figures["parameters_are_counted"]:
        count = f"{figures['parameters']:,}"
    else:
        count = f"{billions(figures['parameters'], is_counted=False)}, as its name says"
    active = figures["active_parameters"]
    if active in (None, figures["parameters"]):
        return count
    return f"{count}, {billions(active)} of them for a token"


def _kv(per_token: float | None) -> str:
    return "unknown" if per_token is None else f"{per_token / 1024:g} KiB a token in f16"


def _said(said: Figures) -> str:
    if said["runs"] is None:
        return "unknown"
    word = "yes" if said["runs"] else "no"
    return f"{word} ({said['note']})" if said["note"] else word
