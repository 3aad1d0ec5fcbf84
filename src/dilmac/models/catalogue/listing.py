"""`dilmac models list`: what there is to start from."""

from __future__ import annotations

from rich import box
from rich.table import Table

from dilmac.core import Figures
from dilmac.models.catalogue.config import ListConfig
from dilmac.models.catalogue.entries import Entry, catalogue
from dilmac.models.catalogue.find import known_key
from dilmac.models.catalogue.sizes import gib
from dilmac.models.running import kv_bytes_per_token, weight_bytes
from dilmac.models.table import print_table

TRAP_CONTEXT = 8192  # tokens whose KV cache is put beside the weights


def list_models(config: ListConfig) -> Figures:
    """The models for a task, of a license, of a family; all of them by default.

    Raises:
        ConfigError: no such license or family; the nearest is named.
    """
    known = catalogue()
    license = config.license and known_key(config.license, known.licenses, "--license")
    family = config.family and known_key(config.family, known.families, "--family")
    return {
        "models": {
            name: brief(entry)
            for name, entry in known.models.items()
            if (config.task is None or config.task in entry.tasks)
            and license in (None, entry.license)
            and family in (None, entry.family)
        }
    }


def brief(entry: Entry) -> Figures:
    """The figures of a model that a table has room for; null is unknown."""
    return {
        "family": entry.family,
        "superseded": entry.is_history,
        "tasks": list(entry.tasks),
        "hub": entry.hub,
        "parameters": entry.size,
        "parameters_are_counted": entry.params is not None,
        "active_parameters": entry.active_size,
        "context": entry.context,
        "longest_context": entry.longest_context,
        "license": entry.license,
        "unconfirmed": list(entry.unconfirmed),
        "kv_bytes_per_token": kv_bytes_per_token(entry),
        "q4_k_m_bytes": weight_bytes(entry, "q4_k_m"),
    }


def print_models(figures: Figures) -> None:
    """The figures of `list_models` as a table."""
    table = Table(
        box=box.SIMPLE,
        title=f"{len(figures['models'])} models",
        title_justify="left",
        title_style="",
        caption="?: unknown, or said by a secondary source alone   ~: as the name says"
        "   †: superseded, kept as history",
        caption_justify="left",
    )
    table.add_column("model", no_wrap=True)
    table.add_column("for", no_wrap=True)
    for head in ("parameters", "active", "context", "4-bit weights", "KV of 8k"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("license", no_wrap=True)
    for name, row in figures["models"].items():
        kv = row["kv_bytes_per_token"]
        table.add_row(
            f"{name}{' †' if row['superseded'] else ''}",
            ", ".join(row["tasks"]),
            billions(row["parameters"], is_counted=row["parameters_are_counted"]),
            _active(row),
            contexts(row["context"], row["longest_context"]),
            "?" if row["q4_k_m_bytes"] is None else gib(row["q4_k_m_bytes"]),
            "?" if kv is None else gib(kv * TRAP_CONTEXT),
            f"{row['license']}{' ?' if 'license' in row['unconfirmed'] else ''}",
        )
    print_table(table)


def billions(number: int | None, *, is_counted: bool = True) -> str:
    """Parameters in billions; `~` where only the name says how many."""
    if number is None:
        return "?"
    return (
        f"{'' if is_counted else '~'}{number / 1e9:,.3g}B"
        if number < 1e12
        else f"~{number / 1e12:g}T"
    )


def contexts(trained: int | None, longest: int | None) -> str:
    """A context in units of 1,024 tokens, with the one that YaRN reaches."""

    def short(tokens: int) -> str:
        return f"{tokens:,}" if tokens % 1024 else f"{tokens // 1024}k"

    if trained is None:
        return "?"
    return short(trained) + (f" ({short(longest)})" if longest else "")


def _active(row: Figures) -> str:
    if row["active_parameters"] is None:
        return "?"
    if row["active_parameters"] == row["parameters"]:
        return ""
    return billions(row["active_parameters"], is_counted=row["parameters_are_counted"])
