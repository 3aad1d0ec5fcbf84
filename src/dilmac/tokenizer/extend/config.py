"""Settings of `dilmac tokenizer extend`."""

from __future__ import annotations

from pydantic import Field

from dilmac.tokenizer.config import LearntTextConfig


class ExtendConfig(LearntTextConfig):
    """Continue a byte-level BPE, such as Qwen's, on Turkish words; every old row keeps its id."""

    base: str = Field(
        description="tokenizer or model folder, or a name on the hub (Qwen/Qwen3-0.6B)"
    )
    rows: int = Field(
        32000, ge=0, description="new rows, after the old ones; 0 with --keep only leaves some out"
    )
    keep: int | None = Field(
        None, ge=1, description="old rows that are kept, by their use; all of them by default"
    )
    other_texts: tuple[str, ...] = Field(
        (),
        description="files, globs of English, code…: what they cost is measured, "
        "and with --keep each weighs as much as the corpus",
    )
