"""Settings of `dilmac tokenizer extend`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dilmac.core import StageConfig


class ExtendConfig(StageConfig):
    """Continue a byte-level BPE, such as Qwen's, on Turkish words; every old row keeps its id."""

    corpus: Path = Field(description="corpus artifact; its train split is read")
    base: str = Field(
        description="tokenizer or model folder, or a name on the hub (Qwen/Qwen3-0.6B)"
    )
    rows: int = Field(32000, ge=1, description="new rows, after the old ones")
    balance: float = Field(
        1.0,
        ge=0,
        le=1,
        description="weight of sources: each counts as its bytes to this power; "
        "1 takes the text as it is",
    )
    max_text_bytes: int = Field(
        1_000_000_000,
        ge=1000,
        description="text that is counted at most; a larger corpus is sampled by hash [bytes]",
    )
    keep: int | None = Field(
        None, ge=1, description="old rows that are kept, by their use; all of them by default"
    )
    other_texts: tuple[str, ...] = Field(
        (),
        description="files, globs of English, code…: what they cost is measured, "
        "and with --keep each weighs as much as the corpus",
    )
