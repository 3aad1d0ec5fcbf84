"""tiktoken's rank files (`TOKEN-IN-BASE64 RANK` on each line) → Hugging Face's Rust tokenizer.

A rank file holds no split pattern and no special tokens: the pattern comes from the encoding's
name, and control strings are text here as everywhere.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from dilmac.core import ConfigError, InputError
from dilmac.tokenizer.canonical import byte_of_symbol

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_WORDS = rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_CL100K = rf"{_WORDS}|\p{{N}}{{1,3}}|{_MARKS}|{_REST}"
_QWEN = rf"{_WORDS}|\p{{N}}|{_MARKS}|{_REST}"
_O200K = (
    rf"{_UPPER}*{_LOWER}+{_CONTRACTION}?|{_UPPER}+{_LOWER}*{_CONTRACTION}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_REST}"
)

# By the names in tiktoken_ext/openai_public.py, and Qwen's and Llama 3's own tokenization files.
SPLITS = {
    "gpt2": _GPT2,
    "r50k": _GPT2,
    "p50k": _GPT2,
    "cl100k": _CL100K,
    "llama3": _CL100K,
    "o200k": _O200K,
    "qwen": _QWEN,
}
_LINE = re.compile(rb"([A-Za-z0-9+/]+={0,2}) (\d+)")


def is_tiktoken(path: Path) -> bool:
    """Whether its name says so, or it begins with a token in base64 and its rank."""
    if path.suffix == ".tiktoken":
        return True
    with path.open("rb") as file:
        return _LINE.fullmatch(file.readline(1000).strip()) is not None


def read_tiktoken(path: Path, split: str | None) -> tokenizers.Tokenizer:
    """The tokenizer of a rank file; `split` is a name in `SPLITS` or a regular expression.

    Its BPE joins the pair of lowest rank, and takes a word that is a token whole, as tiktoken does.

    Raises:
        InputError: a line is no token with its rank, or a byte has no token.
        ConfigError: no pattern is known for it, or the pattern is no regular expression.
    """
    ranks = _read_ranks(path)
    pattern = _pattern(path, split)
    symbol = {byte: name for name, byte in byte_of_symbol().items()}

    def name(token: bytes) -> str:
        return "".join(symbol[byte] for byte in token)

    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:place], token[place:]) for place in range(1, len(token))]
        known = [(left, right) for left, right in cuts if left in ranks and right in ranks]
        known.sort(key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
        merges += [(name(left), name(right)) for left, right in known]
    vocab = {name(token): rank for token, rank in ranks.items()}
    fast = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    return fast


def _read_ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    used: set[int] = set()
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        token, rank = _read_line(line.strip(), f"{path}:{number}")
        if token in ranks or rank in used:
            raise InputError("the token or its rank was there before", where=f"{path}:{number}")
        ranks[token] = rank
        used.add(rank)
    absent = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if absent:
        raise InputError(f"no token for the byte 0x{absent[0]:02X}", where=path)
    if max(used) >= 2 * len(used):  # a gap or two is usual: p50k leaves out its control token
        raise InputError(f"{len(used)} tokens, but a rank of {max(used)}", where=path)
    return ranks


def _read_line(line: bytes, where: str) -> tuple[bytes, int]:
    try:
        token, rank = line.split()
        number = int(rank)
        if number < 0:
            raise ValueError(f"a rank below zero: {number}")
        return base64.b64decode(token, validate=True), number
    except ValueError as error:
        raise InputError("no token in base64 with its rank", where=where) from error


def _pattern(path: Path, split: str | None) -> Regex:
    named = [key for key in SPLITS if key in path.name.lower().replace("-", "")]
    if split is None and not named:
        raise ConfigError(
            f"no split pattern is known for {path.name}",
            where="--tiktoken-split",
            mend=f"give {', '.join(SPLITS)} or a regular expression",
        )
    chosen = split if split is not None else named[0]
    try:
        return Regex(SPLITS.get(chosen, chosen))
    except Exception as error:  # the Rust library raises bare Exception
        raise ConfigError(f"no regular expression ({error})", where="--tiktoken-split") from error
