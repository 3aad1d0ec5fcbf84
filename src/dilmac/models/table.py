"""`dilmac models presets`: the shapes there are, with what they weigh."""

from __future__ import annotations

from pydantic import Field
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from dilmac.core import Config, Figures
from dilmac.models.memory import BYTES_PER_GIB, training_bytes
from dilmac.models.presets import PRESETS, Preset, num_block_parameters, num_parameters
from dilmac.models.shapes import shape_for

WIDEST = 1000  # columns that are asked for where the terminal's width does not matter


class PresetsConfig(Config):
    """The presets, or the shape for a number of parameters, counted for a vocabulary."""

    vocab_size: int = Field(32_000, ge=2, description="rows of the vocabulary")
    params: str | None = Field(
        None, description="number of parameters to choose a shape for (50M, 1.5B)"
    )


def list_presets(config: PresetsConfig) -> Figures:
    """Shape, parameters and training memory of every preset, or of the shape for `params`.

    Raises:
        ConfigError: `params` is no number, or too small for the vocabulary.
    """
    if config.params is None:
        presets = PRESETS
    else:
        presets = {config.params: shape_for(config.params, config.vocab_size)}
    return {
        "vocab_size": config.vocab_size,
        "presets": {name: describe(preset, config.vocab_size) for name, preset in presets.items()},
    }


def describe(preset: Preset, vocab_size: int) -> Figures:
    """What a preset weighs with a vocabulary; bytes are of one window of its context on a GPU."""
    memory = training_bytes(
        preset, vocab_size, preset.context, context=preset.context, compiled=True
    )
    return {
        "parameters": num_parameters(preset, vocab_size),
        "parameters_without_tables": num_block_parameters(preset),
        "layers": preset.num_layers,
        "hidden_size": preset.hidden_size,
        "heads": preset.num_heads,
        "head_size": preset.head_size,
        "intermediate_size": preset.intermediate_size,
        "context": preset.context,
        "tied": preset.tied,
        "training_bytes": memory.total,
    }


def print_presets(figures: Figures) -> None:
    """The figures of `list_presets` as a table."""
    print_table(_table(figures))


def print_table(table: Table) -> None:
    """Print a table; where a terminal is too narrow, lines run on."""
    screen = Console()
    least = Measurement.get(screen, screen.options.update(width=WIDEST), table).maximum
    Console(width=max(screen.width, least)).print(table)


def _table(figures: Figures) -> Table:
    title = f"with {figures['vocab_size']:,} rows; memory: AdamW, bf16, one window of the context"
    table = Table(
        box=box.SIMPLE, title=title, title_justify="left", title_style="", caption_justify="left"
    )
    table.add_column("preset", no_wrap=True)
    heads = ("parameters", "without tables", "layers × width", "SwiGLU", "heads", "context")
    for head in (*heads, "tables", "memory"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, row in figures["presets"].items():
        table.add_row(
            name,
            f"{row['parameters'] / 1e6:,.1f}M",
            f"{row['parameters_without_tables'] / 1e6:,.1f}M",
            f"{row['layers']} × {row['hidden_size']}",
            f"{row['intermediate_size']}",
            f"{row['heads']} × {row['head_size']}",
            f"{row['context']}",
            "tied" if row["tied"] else "untied",
            f"{row['training_bytes'] / BYTES_PER_GIB:.2f} GiB",
        )
    return table
