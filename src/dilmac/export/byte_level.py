"""A byte-level BPE as llama.cpp reads it, if it cuts text as Qwen's does.

llama.cpp knows a tokenizer's split pattern by a name (`tokenizer.ggml.pre`), and has a matcher
written by hand for each. A pattern without a name cannot be told it; names other than Qwen's were
not compared with Hugging Face's reading, so they are refused.
"""

from __future__ import annotations

import json
from typing import Any

from dilmac.core import InputError
from dilmac.tokenizer import PieceType, Tokenizer, byte_of_symbol

PRE = "qwen2"  # of Qwen2, 2.5 and 3
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MEND = "use Qwen2's, 2.5's or 3's tokenizer, or one that `dilmac tokenizer extend` made of it"


def read_byte_level(tokenizer: Tokenizer) -> tuple[dict[int, tuple[str, PieceType]], list[str]]:
    """Rows in GPT-2's alphabet with their types, and the merges, best first.

    Raises:
        InputError: llama.cpp would cut some text otherwise.
    """
    spec = json.loads(tokenizer.fast.to_str())
    if fault := _fault(spec):
        raise InputError(
            f"{fault}: llama.cpp would read text otherwise",
            where=tokenizer.folder / "tokenizer.json",
            mend=MEND,
        )
    controls = set(tokenizer.control_tokens.values())
    rows = {
        row: (name, PieceType.CONTROL if row in controls else PieceType.NORMAL)
        for name, row in tokenizer.fast.get_vocab(with_added_tokens=True).items()
    }
    return rows, [" ".join(pair) for pair in spec["model"]["merges"]]


def _fault(spec: dict[str, Any]) -> str | None:
    """What of a `tokenizer.json` is not as in Qwen's."""
    model = spec["model"]
    if model["type"] != "BPE":
        return f"a byte-level {model['type']}, no BPE"
    ours = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
    if other := next((key for key in ours if model.get(key)), None):
        return f"a BPE with {other}"
    if spec["normalizer"] != {"type": "NFC"}:
        return f"its normalizer is {_shown(spec['normalizer'])}, Qwen's is NFC"
    if fault := _split_fault(spec["pre_tokenizer"]):
        return fault
    if missing := next((s for s in byte_of_symbol() if s not in model["vocab"]), None):
        return f"no row for the byte {byte_of_symbol()[missing]:02X}"
    return None


def _split_fault(pre_tokenizer: dict[str, Any] | None) -> str | None:
    parts = (pre_tokenizer or {}).get("pretokenizers", [])
    if [part["type"] for part in parts] != ["Split", "ByteLevel"]:
        return f"its pre-tokenizer is {_shown(pre_tokenizer)}, not Qwen's"
    split, byte_level = parts
    pattern = split["pattern"].get("Regex")
    if pattern != QWEN_SPLIT:
        return f"its split pattern is {_shown(split['pattern'])}, not Qwen's"
    if split["behavior"] != "Isolated" or split["invert"]:
        return "it splits otherwise than Qwen's"
    if byte_level["add_prefix_space"] or byte_level["use_regex"]:
        return "its ByteLevel step splits or adds a space, Qwen's does not"
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"
