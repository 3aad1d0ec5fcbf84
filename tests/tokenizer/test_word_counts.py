"""Words and how often each counts: as they stand, weighted, once a passage, in bounded memory."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.tokenizer.words import LINE_BREAK, PASSAGE_CHARS, WordCounts, count_words, write_words

letters = st.text("abcçğıİş.,'", min_size=1, max_size=6)


def test_a_word_keeps_its_space_and_a_line_end_its_marks() -> None:
    words = count_words([("Ev var.\n\nBir ev", 1.0)])
    assert words == {
        "Ev": 1,
        " var.": 1,
        f".{LINE_BREAK}{LINE_BREAK}": 1,
        "Bir": 1,
        " ev": 1,
    }


def test_a_word_counts_once_a_passage_times_its_weight() -> None:
    passage = "ev " * (PASSAGE_CHARS // 3) + " "
    assert count_words([(passage, 0.5)]) == {"ev": 0.5, " ev": 0.5}
    words = count_words([("ev ev ev", 1.0), ("ev ve", 2.5), ("ev", 1.0)])
    assert words == {"ev": 1 + 2.5 + 1, " ev": 1, " ve": 2.5}
    twice = count_words([(("x" * 10 + " ") * (2 * PASSAGE_CHARS // 11), 1.0)])
    assert twice[" " + "x" * 10] == 2


@given(lines=st.lists(st.lists(letters, min_size=1, max_size=8), min_size=1, max_size=5))
def test_every_word_of_a_short_text_is_found(lines: list[list[str]]) -> None:
    text = "\n".join(" ".join(line) for line in lines)
    words = {word for word in count_words([(text, 1.0)]) if LINE_BREAK not in word}
    inside = {" " + word for line in lines for word in line[1:]}
    assert words == {line[0] for line in lines} | inside


@pytest.mark.parametrize("odd", ["a\tb", "a\0", "a\u2581b", f"a{LINE_BREAK}", f"{LINE_BREAK}a"])
def test_what_the_trainer_cannot_read_is_left_out(odd: str) -> None:
    assert count_words([(f"ev {odd} var", 1.0)]) == {"ev": 1, " var": 1}


def test_a_full_table_loses_what_counts_least(capsys: pytest.CaptureFixture[str]) -> None:
    counts = WordCounts(max_words=100)
    for number in range(1000):
        counts.add(f"söz{number} ve bir", 1.0)
    words = counts.words()
    assert 50 <= len(words) <= 120  # looked at every ten words
    assert words[" ve"] == words[" bir"] == 1000
    assert "the table was full" in capsys.readouterr().err


def test_ties_are_kept_up_to_the_half_and_the_same_ones() -> None:
    kept = []
    for _ in range(2):
        counts = WordCounts(max_words=10)
        for letter in "abcdefghijkl":
            counts.add(letter, 1.0)
        kept.append(sorted(counts.words()))
    assert kept[0] == kept[1] == list("abcde")


def test_a_long_line_of_dashes_is_read_at_once() -> None:
    words = count_words([("-" * 200_000 + "\n" + "世" * 50_000, 1.0)])
    assert len(words) <= 3 and all(LINE_BREAK in word for word in words)


def test_words_are_written_most_first_and_digits_cut_by_three(tmp_path: Path) -> None:
    words = {" ev": 1.0, " 1234567": 2.0, "az": 0.01}
    write_words(words, tmp_path / "w.tsv", triples=False)
    assert (tmp_path / "w.tsv").read_text(encoding="utf-8") == " 1234567\t20\n ev\t10\n"
    write_words(words, tmp_path / "w.tsv", triples=True)
    lines = (tmp_path / "w.tsv").read_text(encoding="utf-8").splitlines()
    assert Counter(lines) == Counter([" 123\t20", "456\t20", "7\t20", " ev\t10"])
