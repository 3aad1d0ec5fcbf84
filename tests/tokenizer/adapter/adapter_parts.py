"""Texts that part tokenizers from one another, and tokenizers with merges more."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer

UNUSUAL = (
    "\u2581",
    "\0",
    "\ufffd",
    "<|im_end|>",
    "<think>",
    "<unk>",
    "<0xC4>",
    "😀",
    "👩\u200d🏫",
    "c\u0327",  # ç in two characters
    "I\u0307",
    "\u0301",
    "ﬁ",
    "  ",
    " \n",
    "\r\n\t",
    "'DAN",
    "'dan",
    " .da",
    "x.da",
    "..da",
    "\u00a0",
    "1.234,56",
)
characters = st.characters(exclude_categories=["Cs"])
turkish = st.text("aeıioöuülnrkmdtysbçşğzİIÜĞ '’.,?!123\n\t", min_size=1, max_size=12)
texts = st.text(characters, max_size=60) | st.lists(
    st.sampled_from(UNUSUAL) | turkish | st.text(characters, max_size=4), max_size=12
).map("".join)


def saved(fast: FastTokenizer, folder: Path) -> Path:
    folder.mkdir()
    fast.save(str(folder / "tokenizer.json"))
    return folder


def with_merges(settings: dict[str, Any], merges: list[tuple[str, str]]) -> FastTokenizer:
    """A tokenizer with merges after its own; rows that are new stand behind all old ones.

    Control tokens go into the vocabulary: the library would number them anew, after the last row.
    """
    vocab = settings["model"]["vocab"] | {t["content"]: t["id"] for t in settings["added_tokens"]}
    for pair in merges:
        vocab.setdefault("".join(pair), len(vocab))
    model = {"vocab": vocab, "merges": [*settings["model"]["merges"], *map(list, merges)]}
    return FastTokenizer.from_str(json.dumps(settings | {"model": settings["model"] | model}))
