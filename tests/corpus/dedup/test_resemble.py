"""Texts in memory: nearly equal ones find each other, short ones and other kinds don't."""

import numpy as np

from corpora import documents
from dilmac.corpus import nearly_equal, sketch_texts

TEXTS = documents(12)


def with_a_word_changed(text: str) -> str:
    words = text.split()
    words[len(words) // 2] = "değişti"
    return " ".join(words)


def test_a_near_copy_finds_its_original_and_others_find_none() -> None:
    long = [" ".join(documents(40)[place : place + 4]) for place in (0, 4, 8, 12)]
    ours = [with_a_word_changed(long[2]), "Bambaşka bir şey " + " ".join("abcçdefgğh"), long[0]]
    found = nearly_equal(sketch_texts(ours), sketch_texts(long))
    assert found.tolist() == [2, -1, 0]


def test_alone_each_is_compared_with_those_before_it() -> None:
    long = " ".join(TEXTS)
    found = nearly_equal(sketch_texts([long, TEXTS[0][:20], with_a_word_changed(long), long]))
    assert found[:3].tolist() == [-1, -1, 0] and found[3] in (0, 2)


def test_short_texts_and_texts_of_another_kind_are_never_nearly_equal() -> None:
    short, long = "Kısa bir söz.", " ".join(TEXTS)
    assert nearly_equal(sketch_texts([short, short])).tolist() == [-1, -1]
    kinds = np.array([1, 2, 1], dtype=np.uint64)
    assert nearly_equal(sketch_texts([long] * 3, kinds)).tolist() == [-1, -1, 0]


def test_no_texts_are_no_matter() -> None:
    nothing = sketch_texts([], np.zeros(0, np.uint64))
    assert not len(nearly_equal(nothing)) and not len(nearly_equal(nothing, sketch_texts(TEXTS)))
    assert nearly_equal(sketch_texts(TEXTS), nothing).tolist() == [-1] * len(TEXTS)
