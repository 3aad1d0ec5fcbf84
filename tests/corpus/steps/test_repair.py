"""Repair: good text comes out unchanged, broken text as it was meant."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import bundled_prose, bundled_raw_text, read_measured_texts
from dilmac.corpus.steps.repair import repair

PROSE = list(read_measured_texts(bundled_prose()))
DIRTY = [
    json.loads(line) for line in bundled_raw_text()[-1].read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("text", PROSE, ids=lambda text: text[:20])
def test_clean_prose_is_left_as_it_is(text: str) -> None:
    assert repair(text) == text


@pytest.mark.parametrize(
    "line", [line for line in DIRTY if "clean" in line], ids=lambda line: line["fault"]
)
def test_dirty_text_comes_out_clean(line: dict[str, str]) -> None:
    assert repair(line["text"]) == line["clean"]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_repairing_twice_changes_nothing_more(text: str) -> None:
    once = repair(text)
    assert repair(once) == once


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PROSE))
def test_every_encoding_accident_is_undone(text: str) -> None:
    paragraph = text.split("\n\n", maxsplit=1)[0]
    assert repair(unicodedata.normalize("NFD", paragraph)) == paragraph
    assert repair(paragraph.encode().decode("latin-1")) == paragraph


def test_texts_about_html_and_iceland_are_left_alone() -> None:
    for text in (
        "Bağlantı için <a> etiketi, satır için <br> değil <p> kullanılır.",
        "Koşul a < b && b > c biçiminde yazılır.",
        "Þingvellir, İzlanda'da bir ulusal parktır; ğ ve ş onun yazımında yoktur.",
        "👩‍👩‍👧 ailesi",
    ):
        assert repair(text) == text


@pytest.mark.slow
def test_real_clean_text_keeps_its_letters(shared: Path) -> None:
    path = shared / "corpus" / "tr-encyclopedic.jsonl.zst"
    changed = total = 0
    for text in read_measured_texts([path]):
        total += 1
        before = [character for character in text if character.isalnum()]
        changed += before != [character for character in repair(text) if character.isalnum()]
    assert total > 2000
    assert changed / total < 0.02


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Bkz. https://x.tr/ara?kod=1&section=5&copy=2&region=34 ve Tom &amp; Jerry",
            "Bkz. https://x.tr/ara?kod=1&section=5&copy=2&region=34 ve Tom & Jerry",
        ),
        (f"Tom &amp; Jerry &#{'1' * 5000}", f"Tom & Jerry &#{'1' * 5000}"),
        ("Eiður Guðjohnsen macta iki gol atti", "Eiður Guðjohnsen macta iki gol atti"),
        ("Dobrý den, nový rok, každý den je dobrý čas", None),
        ("Mal sahibi &uuml;&ccedil; kiþi", "Mal sahibi üç kiþi"),
        ("Baþkan Yýlmaz, Ýzmir'de deðil", "Başkan Yılmaz, İzmir'de değil"),
    ],
)
def test_names_addresses_and_other_languages_stay(text: str, expected: str | None) -> None:
    assert repair(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 200_000 + "b\u00ad c \n",
        "a" * 200_000 + " ж",
        "<!--" * 50_000 + "&amp;",
        "<b>" * 50_000 + "&nbsp;",
        "\t " * 100_000 + "x \n",
    ],
    ids=["spaces", "one word", "comments", "tags", "tabs"],
)
def test_hostile_texts_of_legal_size_come_through(text: str) -> None:
    """Each of these took minutes before its pattern was bounded on the left."""
    assert repair(repair(text)) == repair(text)
