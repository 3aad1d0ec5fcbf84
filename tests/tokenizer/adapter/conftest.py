"""Tokenizers of every kind, made small: byte-level, extended, with lossy normalizers."""

import io
import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from adapter_parts import saved, with_merges
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from dilmac.core import bundled_prose, read_measured_texts
from dilmac.tokenizer import Tokenizer

# Of Qwen2, 2.5 and 3.
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Joined in one place and not in another: "x.da" is "x" ".da", " .da" is " ." "da".
ODD_MERGES = [(".", "d"), (".d", "a"), ("'", "l"), ("D", "A"), ("Ġ", "."), ("Ġ.", "."), ("Ģ", "Ģ")]


@pytest.fixture(scope="session")
def prose() -> list[str]:
    return [line for text in read_measured_texts(bundled_prose()) for line in text.split("\n")]


@pytest.fixture(scope="session")
def byte_level(made: Path, prose: list[str]) -> Path:
    """A tokenizer built as Qwen's is, of 700 rows; `<think>` is not "special" there."""
    fast = FastTokenizer(models.BPE())
    fast.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated")
    byte_symbols = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast.pre_tokenizer = pre_tokenizers.Sequence([split, byte_symbols])
    fast.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    fast.train_from_iterator(prose, trainer)
    fast.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|video_pad|>"])
    fast.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>")])
    return saved(fast, made / "byte_level")


@pytest.fixture(scope="session")
def extended(made: Path, byte_level: Path, prose: list[str]) -> Path:
    """The same with 300 merges more."""
    settings = json.loads((byte_level / "tokenizer.json").read_text(encoding="utf-8"))
    merges = continued(FastTokenizer.from_str(json.dumps(settings)), prose[:300], 300)
    return saved(with_merges(settings, merges), made / "extended")


def continued(base: FastTokenizer, lines: list[str], count: int) -> list[tuple[str, str]]:
    """The plainest byte-pair training, over the base's tokens."""
    counts = Counter(w for line in lines for w, _ in base.pre_tokenizer.pre_tokenize_str(line))
    words = [([token.value for token in base.model.tokenize(w)], n) for w, n in counts.items()]
    known, merges = set(base.get_vocab()), []

    def join(pair: tuple[str, str]) -> None:
        merges.append(pair)
        known.add("".join(pair))
        for word, _ in words:
            for place in range(len(word) - 2, -1, -1):
                if tuple(word[place : place + 2]) == pair:
                    word[place : place + 2] = ["".join(pair)]

    for pair in ODD_MERGES:
        if "".join(pair) not in known:
            join(pair)
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, number in words:
            for pair in pairwise(word):
                pairs[pair] += number
        join(next(pair for pair, _ in pairs.most_common() if "".join(pair) not in known))
    return merges


@pytest.fixture(scope="session")
def own_model(made: Path, prose: list[str]) -> Callable[..., Path]:
    """A maker of SentencePiece models with a user's own settings."""

    def make(name: str, **settings: Any) -> Path:
        path = made / f"{name}.model"
        if not path.exists():
            model = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=filter(None, prose),
                model_writer=model,
                vocab_size=800,
                minloglevel=2,
                **settings,
            )
            path.write_bytes(model.getvalue())
        return path

    return make


@pytest.fixture(scope="session")
def turkish(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


@pytest.fixture(scope="session")
def qwen_like(byte_level: Path) -> Tokenizer:
    return Tokenizer(byte_level)
