"""The user's choice, in his own figures: stay, extend, or replace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilmac.core import Figures, open_artifact
from dilmac.tokenizer import Tokenizer, pretrained_names, pretrained_path
from dilmac.transplant.measure import Texts
from dilmac.transplant.stream import TABLE_TYPES

if TYPE_CHECKING:
    from dilmac.transplant.verb import Graft

USUAL_EXTENSION = 32_000  # rows that `dilmac tokenizer extend` adds by default
# Text that a row needs [tokens a row]: 100 snippets teach a new one (Token Distillation,
# arXiv:2505.20133); a model of 4 billion parameters took 131 million tokens to be at home in a
# vocabulary of 16,000 that was none of its own (a public trial in Arabic).
EXTEND_TOKENS_PER_ROW, REPLACE_TOKENS_PER_ROW = 100, 8000


@dataclass(frozen=True)
class Size:
    """A model's numbers without its tables, and what a row of them is."""

    body: int
    width: int
    num_tables: int
    bytes_per_number: int

    @classmethod
    def of(cls, graft: Graft) -> Size:
        source = graft.source
        stored = source.checkpoint.tensors[source.layout.embedding]
        names = (source.layout.embedding, source.layout.head, source.layout.spare_head)
        tables = sum(name is not None for name in names) * source.layout.num_rows
        return cls(
            body=source.checkpoint.num_parameters - tables * source.layout.width,
            width=source.layout.width,
            num_tables=1 if graft.is_tied else 2,
            bytes_per_number=TABLE_TYPES[stored.dtype][1].itemsize,
        )

    def figures(self, num_rows: int, num_tables: int | None = None) -> Figures:
        parameters = self.body + num_rows * self.width * (num_tables or self.num_tables)
        return {
            "rows": num_rows,
            "parameters": parameters,
            "bytes": parameters * self.bytes_per_number,
        }


def choices(graft: Graft, texts: Texts) -> list[Figures]:
    """What each way makes of the model's size and of the user's texts (tokens by kind).

    The model as it is; the way that was taken; the vocabularies that ship; where none was taken,
    an extension, whose tokens are known when it is made. `healing_tokens` is a rule of thumb.
    """
    size, layout = Size.of(graft), graft.source.layout
    rows: list[Figures] = [
        {"way": "as it is", "tokens": _tokens(graft.source.folder, texts), "healing_tokens": 0}
        | size.figures(layout.num_rows, 1 if layout.is_tied else 2),
        {"way": "this one", "tokens": _tokens(graft.folder, texts)}
        | {"healing_tokens": _healing(graft)}
        | size.figures(graft.plan.num_rows),
    ]
    taken = _digest(graft.folder)
    for name in pretrained_names():
        if _digest(pretrained_path(name)) != taken:
            shipped = size.figures(open_artifact(pretrained_path(name)).figures["vocab_size"])
            healing = shipped["rows"] * REPLACE_TOKENS_PER_ROW
            tokens = _tokens(pretrained_path(name), texts)
            rows.append({"way": name, "tokens": tokens, "healing_tokens": healing} | shipped)
    if not graft.extends:
        healing = USUAL_EXTENSION * EXTEND_TOKENS_PER_ROW
        made = size.figures(layout.num_rows + USUAL_EXTENSION, 1 if layout.is_tied else 2)
        rows.append({"way": "extension", "tokens": {}, "healing_tokens": healing} | made)
    return rows


def _healing(graft: Graft) -> int:
    made = graft.plan.counts()["composed"]
    if graft.extends:
        return made * EXTEND_TOKENS_PER_ROW
    return len(graft.target.rows) * REPLACE_TOKENS_PER_ROW


def _tokens(folder: Path, texts: Texts) -> dict[str, int]:
    if not texts:
        return {}
    tokenizer = Tokenizer(folder)
    return {kind: sum(map(len, tokenizer.encode_arrays(parts))) for kind, parts in texts.items()}


def _digest(folder: Path) -> Any:
    return (folder / "tokenizer.json").read_bytes()
