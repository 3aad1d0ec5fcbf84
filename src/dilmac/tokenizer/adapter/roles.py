"""Control tokens of two tokenizers, matched by what they are for."""

from __future__ import annotations

from collections.abc import Mapping

# Tokens of the same role under the names that tokenizers give them.
END_OF_DOCUMENT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
START_OF_DOCUMENT = ("<s>", "<bos>", "<|begin_of_text|>")
PADDING = ("<|pad|>", "<pad>", "[PAD]")
END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")
START_OF_TURN = ("<|im_start|>", "<start_of_turn>")


def same_role(name: str) -> tuple[str, ...]:
    """Names that may stand for a control token, the nearest first.

    Qwen has neither a pad nor a token that begins a document: its `<|endoftext|>` serves as both.
    """
    if name in END_OF_DOCUMENT:
        return (name, *END_OF_DOCUMENT)
    if name in START_OF_DOCUMENT:
        return (name, *START_OF_DOCUMENT, *END_OF_DOCUMENT)
    if name in PADDING:
        return (name, *PADDING, *END_OF_DOCUMENT)
    for role in (END_OF_TURN, START_OF_TURN):
        if name in role:
            return (name, *role)
    return (name,)


def counterpart(name: str, control: Mapping[str, int]) -> int | None:
    """Id of the control token with the role of `name`; None where there is none."""
    return next((control[other] for other in same_role(name) if other in control), None)


def counterparts(control: Mapping[str, int], other: Mapping[str, int]) -> dict[int, int]:
    """Ids of control tokens and those of the same role on the other side, where there is one."""
    matched = {row: counterpart(name, other) for name, row in control.items()}
    return {row: match for row, match in matched.items() if match is not None}
