"""The apostrophe and the suffix after it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dilmac.turkish import is_suffix, normalize_apostrophes, split_suffix

MARKS = "'’ʼ‘´`＇"

_SPLIT = """
    İstanbul'da Ankara'dan Ayşe'nin Ali'ye Ali'yle Ali'ymiş Türkiye'nin Türkiye'mizin Atatürk'ün
    TBMM'nin NATO'nun Google'ın X'in A.Ş.'nin Mah.'nin İSTANBUL'DA TÜRKİYE'NİN iPhone'um km'lik
    85'i 3'üncü 5'inci 6'şar 5'er 10'lu 1990'lardaki 2'si 100'ü 9'uncusu Kur'an'ın
    Avrupa'dakinden Türkiye'dekilerin Ankara'dandır Meclis'indir Google'ınki Bakanlığı'nca state'i
    İstanbul'lu O'na Ali'den
    """
_WHOLE = """
    O'Connor O'Brien rock'n'roll don't I'm it's we've they're y'all l'un L'un d'un qu'un dell'un
    d'Or Kur'an kıt'a kat'i nev'i vak'a re'sen mü'min mes'ul San'at'x 'kelime' 'kelime kelime'
    'ev'de D'Artagnan İstanbul'indan Ali'x Ali'dA ali'DA Ali' 'da ' '' kelime
    """


@pytest.mark.parametrize("word", _SPLIT.split())
@pytest.mark.parametrize("mark", MARKS)
def test_suffix_is_split(word: str, mark: str) -> None:
    stem, _, suffix = word.rpartition("'")
    assert split_suffix(f"{stem}{mark}{suffix}") == (stem, suffix)


@pytest.mark.parametrize("word", _WHOLE.split())
def test_no_suffix_no_split(word: str) -> None:
    assert split_suffix(word) is None


@pytest.mark.parametrize(
    "suffix",
    ["nin", "ün", "ların", "lerdeki", "dır", "yla", "sındaki", "ydı", "ki".join(["da", ""])],
)
def test_is_suffix(suffix: str) -> None:
    assert is_suffix(suffix)


@pytest.mark.parametrize(
    "text", ["", "t", "m", "ll", "indan", "sıni", "lerda", "DA", "dan da", "xyz"]
)
def test_is_no_suffix(text: str) -> None:
    assert not is_suffix(text)


@given(st.text(max_size=20))
def test_a_split_puts_together_what_it_took_apart(word: str) -> None:
    parts = split_suffix(word)
    if parts is not None:
        stem, suffix = parts
        assert stem and suffix
        assert word.startswith(stem) and word.endswith(suffix)
        assert word[len(stem) : -len(suffix)] in set(MARKS + "′")


@pytest.mark.parametrize("mark", MARKS)
def test_normalize(mark: str) -> None:
    text = f"İstanbul{mark}da, TBMM{mark}nin 5{mark}inci (Ali{mark}ye) A.Ş.{mark}nin."
    assert normalize_apostrophes(text) == text.replace(mark, "'")


def test_a_new_line_starts_anew() -> None:
    assert normalize_apostrophes("açık ‘kalan\nAli’nin") == "açık ‘kalan\nAli'nin"


@pytest.mark.parametrize(
    "text",
    [
        "‘Türk Dili’nde ve ’kelime’ ile ‘kelime’",
        "‘kelime’de",
        "`list`in ve `dict`ten",
        "O’Connor don’t rock’n’roll l’un d’Or",
        "5’ 10’’ 3´",
        "’nin ’de",
        "Ali’xyz Ali’de’",
        "",
    ],
)
def test_quotation_marks_and_others_stay(text: str) -> None:
    assert normalize_apostrophes(text) == text


def test_a_closed_quotation_does_not_matter() -> None:
    assert normalize_apostrophes("‘güzel’ şehir, Ali’nin") == "‘güzel’ şehir, Ali'nin"


@example("5´AʼA")  # U+02BC is a letter to Unicode
@given(st.text(MARKS + "′Alinde 5.-\n“”", max_size=60) | st.text(max_size=60))
def test_normalize_changes_marks_only_and_once(text: str) -> None:
    once = normalize_apostrophes(text)
    assert len(once) == len(text)
    assert normalize_apostrophes(once) == once
    for before, after in zip(text, once, strict=True):
        assert before == after or (before in MARKS + "′" and after == "'")
