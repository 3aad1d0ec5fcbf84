"""Pieces across words: which pairs may be joined, which are chosen, and what stays as it was."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import ConfigError
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import (
    PieceType,
    Tokenizer,
    TokenizerConfig,
    read_pieces,
    train_tokenizer,
)
from dilmac.tokenizer import train as train_module
from dilmac.tokenizer.merges import PairMerger, Pieces, without_overlap
from dilmac.tokenizer.special import CONTROL_TOKENS
from dilmac.tokenizer.superwords import PieceRules, borders_of, crosses_words

ALLOWED = [
    ("▁ya", "▁da"),
    ("lar", "▁ve"),
    ("et", "ti."),
    (",", "▁ve"),
    (".", "\n"),
    (".", "\n\n"),
    ("\n", "\n"),
    ("▁", "▁"),
]
REFUSED = [
    (".\n", "\n"),
    ("etti.", "▁Sonra"),
    ("dedi:", "▁gel"),
    ("gitti._", "▁Ama"),
    ('dedi."', "▁O"),
    ("1", "▁ev"),
    ("ev", "5"),
    ("\n", "Ev"),
    ("ev", "\n"),
    ("ev", "\u2028"),
    ("ev", "\x85"),
    ("ev", "\t"),
    ("▁ve", "▁"),
    ("▁bir▁iki▁üç▁dört", "▁beş"),
    ("a" * 20, "b" * 13),
]


@pytest.mark.parametrize(("left", "right"), ALLOWED)
def test_these_may_be_joined(left: str, right: str) -> None:
    assert PieceRules(4).allow(left, right)


@pytest.mark.parametrize(("left", "right"), REFUSED)
def test_these_may_not(left: str, right: str) -> None:
    assert not PieceRules(4).allow(left, right)


@given(
    places=st.sets(st.integers(0, 30)).map(sorted),
    seed=st.integers(0, 1000),
)
def test_pairs_that_are_merged_share_no_token(places: list[int], seed: int) -> None:
    rank = np.random.default_rng(seed).integers(0, 4, len(places))
    taken = without_overlap(np.array(places, dtype=np.int64), rank)
    chosen = [place for place, is_taken in zip(places, taken, strict=True) if is_taken]
    assert all(b - a > 1 for a, b in pairwise(chosen))
    best = [place for place, r in zip(places, rank, strict=True) if r == min(rank, default=0)]
    if best:
        assert best[0] in chosen  # the leftmost of the best never waits


def anything(*_: str) -> bool:
    return True


def merged(text: str, num: int, allow: Callable[[str, str], bool] = anything) -> list[str]:
    letters = ["<unk>", *sorted(set(text))]
    pieces = Pieces(letters, [False] + [True] * (len(letters) - 1))
    ids = np.array([letters.index(letter) for letter in text], dtype=np.int32)
    return PairMerger(pieces, (ids, np.ones(len(ids), np.float32)), allow, borders_of).run(num)


def test_the_most_frequent_pair_comes_first() -> None:
    assert merged("abcabcabxab", 1) == ["ab"]
    assert merged("abababab" + "cd", 2)[:2] == ["ab", "abab"]
    counts = Counter(merged("abcabcabcabd" * 5, 10))
    assert counts and set(counts.values()) == {1}


def test_refused_pairs_do_not_end_the_search() -> None:
    text = "ab" * 50 + "cd" * 3
    assert merged(text, 1, lambda *pair: "a" not in "".join(pair)) == ["cd"]
    assert merged(text, 5, lambda *_: False) == []


@pytest.fixture(scope="module")
def text_about_control_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus in which control strings are the most frequent words."""
    folder = tmp_path_factory.mktemp("control")
    lines = [
        f"{place} model <think> ile düşünür, <|im_end|> ile susar ve </think> yazar; öğrenciler "
        f"bunu {'abcçdefgğh'[place % 10]} harfinden öğrenir ve ya da der"
        for place in range(600)
    ]
    (folder / "text.txt").write_text("\n\n".join(lines), encoding="utf-8")
    config = CorpusConfig(inputs=(str(folder),), steps=("repair",), out=folder / "corpus")
    return build_corpus(config).path


def test_no_piece_takes_the_name_of_a_control_token(
    text_about_control_tokens: Path, tmp_path: Path
) -> None:
    config = TokenizerConfig(
        corpus=text_about_control_tokens, vocab_size=570, superwords=55, out=tmp_path / "t"
    )
    folder = train_tokenizer(config).path
    pieces = read_pieces(folder / "tokenizer.model")
    assert Counter(piece.text for piece in pieces).most_common(1)[0][1] == 1
    assert [piece.text for piece in pieces[: len(CONTROL_TOKENS)]] == list(CONTROL_TOKENS)
    assert any(crosses_words(piece.text) for piece in pieces if piece.type == PieceType.NORMAL)
    sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = Tokenizer(folder)
    text = "a\n<think>b</think><|im_end|>"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert not set(tokenizer.encode(text)) & set(tokenizer.control_tokens.values())


def test_more_pieces_than_the_text_has_are_refused(sample_corpus: Path, tmp_path: Path) -> None:
    config = TokenizerConfig(
        corpus=sample_corpus,
        vocab_size=40_600,
        superwords=40_000,
        max_superword_bytes=20_000,
        out=tmp_path / "t",
    )
    with pytest.raises(ConfigError, match=r"--superwords(.|\n)*give at most [\d,]+"):
        train_tokenizer(config)
    with pytest.raises(ConfigError, match="leave 500 for pieces inside words"):
        train_tokenizer(config.model_copy(update={"superwords": 40_100}))


@pytest.mark.parametrize(
    "settings",
    [{"superwords": 200}, {"algorithm": "unigram"}, {"digits": "triples", "user_tokens": ("[A]",)}],
)
def test_the_number_of_cores_changes_no_byte(
    sample_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
) -> None:
    digests = set()
    for cores in (1, 3):
        monkeypatch.setattr(train_module, "num_cpus", lambda cores=cores: cores)
        config = TokenizerConfig(
            corpus=sample_corpus, vocab_size=1200, out=tmp_path / str(cores), **settings
        )
        digests.add(train_tokenizer(config).manifest.digest)
    assert len(digests) == 1
