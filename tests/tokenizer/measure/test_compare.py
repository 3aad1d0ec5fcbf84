"""The figures of a comparison, checked against calculation by hand or by another way."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from dilmac.core import (
    ConfigError,
    DilmacError,
    InputError,
    bundled_prose,
    read_measured_texts,
)
from dilmac.tokenizer import CompareConfig, Tokenizer, compare_tokenizers
from dilmac.tokenizer.measure.figures import Tally, renyi_efficiency
from dilmac.tokenizer.measure.peers import open_peer

PROSE = [str(path) for path in bundled_prose()]


def compare(*inputs: Any, **values: Any) -> dict[str, Any]:
    return compare_tokenizers(CompareConfig(inputs=tuple(map(str, inputs)), **values))


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SentencePiece with its own defaults: NFKC, spaces collapsed, no byte fallback."""
    path = tmp_path_factory.mktemp("lossy") / "lossy"
    SentencePieceTrainer.Train(
        sentence_iterator=iter(read_measured_texts(PROSE[:3])),
        model_prefix=str(path),
        vocab_size=700,
        minloglevel=2,
    )
    return path.with_suffix(".model")


def write_records(path: Path, *records: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_figures_are_what_counting_gives(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    texts = list(read_measured_texts(PROSE))
    encoded = [tokenizer.encode(text) for text in texts]
    tokens, joined = sum(map(len, encoded)), "".join(texts)
    words = [word for text in texts for word in text.split()]
    figures = compare(*PROSE, tokenizer=(str(sample_tokenizer),))
    row = figures["tokenizers"][0]
    assert (figures["texts"], figures["words"]) == (len(texts), len(words))
    assert (figures["characters"], figures["bytes"]) == (len(joined), len(joined.encode()))
    assert row["tokens"] == tokens and row["vocab_size"] == 1024
    assert row["tokens_per_word"] == round(tokens / len(words), 4)
    assert row["bytes_per_token"] == round(len(joined.encode()) / tokens, 4)
    assert row["characters_per_token"] == round(len(joined) / tokens, 4)
    assert (row["round_trip_percent"], row["unknown_percent"], row["saved_percent"]) == (100, 0, 0)
    shares = np.unique(np.concatenate(encoded), return_counts=True)[1] / tokens
    entropy = -math.log(sum(share**2.5 for share in shares)) / 1.5
    assert row["renyi_efficiency"] == pytest.approx(entropy / math.log(1024), abs=1e-4)
    assert figures["lost"] == [] == figures["cost"] == figures["parallel"]


def test_renyi_efficiency_of_known_distributions() -> None:
    assert renyi_efficiency(np.full(64, 5)) == pytest.approx(1)
    assert renyi_efficiency(np.array([9, 0, 0, 0])) == pytest.approx(0)
    assert renyi_efficiency(np.array([1, 1, 0, 0])) == pytest.approx(0.5)  # two of four alike
    assert renyi_efficiency(np.array([3, 1]), order=2) == pytest.approx(-math.log2(10 / 16))
    assert renyi_efficiency(np.zeros(8, dtype=int)) == 0


def test_whole_words_are_words_of_one_token(sample_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    assert len(tokenizer.encode(" bir")) == 1 and len(tokenizer.encode(" mumyalama")) > 1
    (tmp_path / "a.txt").write_text("bir, «bir» mumyalama bir! … -", encoding="utf-8")
    row = compare(tmp_path / "a.txt", tokenizer=(str(sample_tokenizer),))["tokenizers"][0]
    assert row["whole_word_percent"] == 75  # marks alone are no words


def test_parts_of_characters_are_counted_and_whole_ones_are_not(
    sample_tokenizer: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("漢\na", encoding="utf-8")
    tokenizer = Tokenizer(sample_tokenizer)
    ids = tokenizer.encode("漢\na")
    assert [tokenizer.piece(row) for row in ids[:4]] == ["⟨E6⟩", "⟨BC⟩", "⟨A2⟩", "\n"]
    row = compare(tmp_path / "a.txt", tokenizer=(str(sample_tokenizer),))["tokenizers"][0]
    assert row["byte_token_percent"] == round(300 / len(ids), 4)


def test_unknown_tokens_and_losses_are_shown(lossy: Path, tmp_path: Path) -> None:
    path = write_records(
        tmp_path / "a.jsonl", {"text": "bir gün"}, {"text": "iki  gün"}, {"text": "漢 gün"}
    )
    peer = open_peer(str(lossy))
    figures = compare(path, tokenizer=(str(lossy),))
    row = figures["tokenizers"][0]
    assert [peer.piece(row) for row in peer.encode("漢 gün")][1] == "<unk>"
    assert row["unknown_percent"] == round(100 / row["tokens"], 4)
    assert row["round_trip_percent"] == round(100 / 3, 4)
    assert figures["lost"] == [
        {"tokenizer": str(lossy), "text": "iki  gün", "came_back": "iki gün"}
    ]


def test_any_text_is_counted_once_and_comes_back(sample_tokenizer: Path) -> None:
    peer = open_peer(str(sample_tokenizer))
    hostile = st.sampled_from(["<|im_end|>", "a\u2581b", "e\u0301\0", " ", "\n\u200d😀"])

    @settings(max_examples=150, deadline=None)
    @given(st.lists(st.text(max_size=30) | hostile))
    def holds(texts: list[str]) -> None:
        tally = Tally(peer)
        tally.add(["a"] * len(texts), texts)
        assert (
            tally.occurrences.sum() == tally.tokens["a"] == sum(len(peer.encode(t)) for t in texts)
        )
        assert (tally.exact, tally.lost) == (len(texts), None)

    holds()


def test_groups_are_files_or_a_field_and_macro_is_their_mean(
    sample_tokenizer: Path, lossy: Path, tmp_path: Path
) -> None:
    short, long = "Bir göl kıyısında.", "Uzun bir metin ve 1234 sayı; " * 40
    one = write_records(tmp_path / "one.jsonl", {"text": short, "domain": "a"})
    two = tmp_path / "two.txt.gz"
    two.write_bytes(gzip.compress(long.encode()))
    names = (str(sample_tokenizer), str(lossy))
    figures = compare(one, two, tokenizer=names)
    assert list(figures["groups"]) == ["one", "two"]
    rows = [rows[1] for rows in figures["groups"].values()]
    total = figures["tokenizers"][1]
    for name in ("tokens_per_word", "bytes_per_token", "saved_percent"):
        mean = (rows[0][name] + rows[1][name]) / 2
        assert total[f"macro_{name}"] == pytest.approx(mean, abs=1e-4)
        assert total[name] != pytest.approx(mean, abs=1e-3)
    assert total["tokens"] == rows[0]["tokens"] + rows[1]["tokens"]
    both = write_records(
        tmp_path / "both.jsonl",
        {"text": short, "domain": "one"},
        {"text": long.rstrip(), "domain": "two"},
    )
    by_field = compare(both, tokenizer=names, group_field="domain")["groups"]
    assert by_field["one"] == figures["groups"]["one"] and list(by_field) == ["one", "two"]


def test_files_of_one_name_stay_apart(sample_tokenizer: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"metin {name}", encoding="utf-8")
    groups = compare(tmp_path, tokenizer=(str(sample_tokenizer),))["groups"]
    assert list(groups) == [str(tmp_path / "x" / "a.txt"), str(tmp_path / "y" / "a.txt")]


@pytest.mark.parametrize("group_field", [None, "domain"])
def test_each_file_is_read_up_to_its_bound(
    sample_tokenizer: Path, tmp_path: Path, group_field: str | None
) -> None:
    records = [{"text": "0123456789", "domain": "d"}] * 5
    paths = [write_records(tmp_path / f"{name}.jsonl", *records) for name in "ab"]
    figures = compare(
        *paths, tokenizer=(str(sample_tokenizer),), max_text_bytes=35, group_field=group_field
    )
    assert (figures["texts"], figures["bytes"]) == (6, 60)


def test_premium_is_the_ratio_of_tokens(sample_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    path = write_records(
        tmp_path / "p.jsonl", {"t": "Su içtim.", "e": "I drank."}, {"t": "Ev", "e": "A house"}
    )
    turkish, english = (
        sum(len(tokenizer.encode(text)) for text in texts)
        for texts in (("Su içtim.", "Ev"), ("I drank.", "A house"))
    )
    row = compare(
        PROSE[0],
        tokenizer=(str(sample_tokenizer),),
        parallel=path,
        turkish_field="t",
        english_field="e",
    )["parallel"][0]
    assert (row["turkish_tokens"], row["english_tokens"]) == (turkish, english)
    assert row["turkish_premium"] == round(turkish / english, 4)
    assert row["turkish_saved_percent"] == row["english_saved_percent"] == 0


def test_cost_and_context_by_hand(sample_tokenizer: Path, lossy: Path) -> None:
    figures = compare(
        *PROSE,
        tokenizer=(str(sample_tokenizer), str(lossy)),
        requests_per_month=1000,
        characters_per_request=500,
        price_per_million_tokens=2,
        context=1000,
    )
    tokens = [row["tokens"] for row in figures["tokenizers"]]
    months = [500_000 * count / figures["characters"] for count in tokens]
    for month, count, cost, context in zip(
        months, tokens, figures["cost"], figures["context"], strict=True
    ):
        assert cost["tokens_per_month"] == round(month)
        assert cost["usd_per_month"] == pytest.approx(month * 2e-6, abs=0.005)
        assert cost["usd_per_year"] == pytest.approx(month * 24e-6, abs=0.005)
        assert cost["usd_saved_per_year"] == pytest.approx((months[0] - month) * 24e-6, abs=0.005)
        assert context["context_words"] == round(1000 * figures["words"] / count)
        assert context["context_characters"] == round(1000 * figures["characters"] / count)
        gained = 100 * (tokens[0] / count - 1)
        assert context["context_gained_percent"] == pytest.approx(gained, abs=0.005)


def test_a_request_is_as_long_as_a_text_if_nothing_is_said(sample_tokenizer: Path) -> None:
    figures = compare(
        *PROSE,
        tokenizer=(str(sample_tokenizer),),
        requests_per_month=7,
        price_per_million_tokens=1.5,
    )
    expected = 7 * figures["tokenizers"][0]["tokens"] / figures["texts"]
    assert figures["cost"][0]["tokens_per_month"] == round(expected)


def test_all_but_speed_repeats(sample_tokenizer: Path, lossy: Path) -> None:
    names = (str(sample_tokenizer), str(lossy))
    first, second = (compare(*PROSE, tokenizer=names) for _ in range(2))
    speeds = first.pop("speed"), second.pop("speed")
    assert first == second
    assert all(row["mb_per_second_one_thread"] > 0 for rows in speeds for row in rows)


def test_comparison_measures_composed_text(sample_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "nfd.txt").write_text("c\u0327ay s\u0327eker", encoding="utf-8")
    (tmp_path / "nfc.txt").write_text("çay şeker", encoding="utf-8")
    counts = [
        compare(tmp_path / name, tokenizer=(str(sample_tokenizer),))["tokenizers"]
        for name in ("nfd.txt", "nfc.txt")
    ]
    assert counts[0] == counts[1]
    assert counts[0][0]["tokens_per_word"] == counts[0][0]["tokens"] / 2


def test_comparison_without_text_is_refused(sample_tokenizer: Path, tmp_path: Path) -> None:
    path = write_records(tmp_path / "empty.jsonl", {"text": ""})
    with pytest.raises(InputError, match="no text to measure"):
        compare(path, tokenizer=(str(sample_tokenizer),))
    with pytest.raises(InputError, match=r"no text to measure(.|\n)*--max-text-bytes"):
        compare(PROSE[0], tokenizer=(str(sample_tokenizer),), max_text_bytes=3)
    (tmp_path / "text.txt").write_text("metin", encoding="utf-8")
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        compare(tmp_path / "text.txt", tokenizer=(str(tmp_path),))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"group_field": "domain"}, "no text in the field 'domain'(.|\n)*fields there: text"),
        ({"parallel": "a.jsonl"}, "no text in the field 'tr'(.|\n)*fields there: text"),
        ({"parallel": "none.jsonl"}, "no such file"),
        ({"parallel": "blank.jsonl"}, "holds no pair of sentences"),
        ({"parallel": "half.jsonl"}, "lone surrogate at character 0"),
        ({"sentence": ("a\ud800",)}, "lone surrogate at character 1"),
        ({"text_field": "body"}, "no text(.|\n)*fields there: text"),
        ({"html": "none/page.html"}, "--html none/page.html: no folder to write to"),
        ({"html": "."}, "is a folder"),
    ],
)
def test_bad_input_is_refused(
    sample_tokenizer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, Any],
    found: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path / "a.jsonl", {"text": "metin"})
    write_records(tmp_path / "blank.jsonl", {"tr": "", "en": "word"})
    write_records(tmp_path / "half.jsonl", {"tr": "\ud800", "en": "word"})
    with pytest.raises(DilmacError, match=found):
        compare("a.jsonl", tokenizer=(str(sample_tokenizer),), **values)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"price_per_million_tokens": 0, "requests_per_month": 5}, "greater than 0"),
        ({"price_per_million_tokens": -1, "requests_per_month": 5}, "greater than 0"),
        ({"price_per_million_tokens": math.nan, "requests_per_month": 5}, "finite"),
        ({"price_per_million_tokens": math.inf, "requests_per_month": 5}, "finite"),
        ({"price_per_million_tokens": 1, "requests_per_month": 0}, "greater than or equal to 1"),
        ({"price_per_million_tokens": 1}, "only together"),
        ({"requests_per_month": 5}, "only together"),
        ({"characters_per_request": 5}, "goes with --requests-per-month"),
        ({"context": 0}, "greater than or equal to 1"),
        ({"tokenizer": ()}, "at least 1 item"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], found: str) -> None:
    settings_of = {"inputs": ("a.txt",), "tokenizer": ("t",), **values}
    with pytest.raises(ConfigError, match=found):
        CompareConfig.from_mapping(settings_of, where="recipe")


def test_comparison_with_qwen(shared: Path, sample_tokenizer: Path) -> None:
    qwen = str(shared / "tokenizers" / "qwen3")
    text = shared / "corpus" / "tr-education-2.jsonl.zst"
    first, second = compare(text, tokenizer=(qwen, str(sample_tokenizer)))["tokenizers"]
    assert (first["saved_percent"], first["round_trip_percent"]) == (0.0, 100.0)
    assert second["round_trip_percent"] == 100.0
    assert first["vocab_size"] == 151_669
    saved = 100 * (1 - second["tokens"] / first["tokens"])
    assert second["saved_percent"] == pytest.approx(saved, abs=0.005)


def test_parallel_text_has_a_premium_under_qwen(shared: Path) -> None:
    qwen = str(shared / "tokenizers" / "qwen3")
    pairs = shared / "corpus" / "parallel-tr-en.jsonl.zst"
    row = compare(PROSE[0], tokenizer=(qwen,), parallel=pairs)["parallel"][0]
    assert 1.4 < row["turkish_premium"] < 1.7  # FLORES: 1.61 (Petrov et al.); NTREX: 1.62
