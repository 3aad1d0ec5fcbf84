"""Quality rules: each has a text that only it rejects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.corpus import CorpusConfig
from dilmac.corpus.quality import quality_fault, repeated_line_share, top_bigram_share

CONFIG = CorpusConfig(inputs=("x",), out="y")  # type: ignore[arg-type]
GOOD = (
    "Kasabanın meydanında her sabah aynı saatte fırıncı kepengini açar ve sıcak ekmek kokusu "
    "bütün sokağa yayılır. Çocuklar okula giderken bu kokuyu duyar, yaşlılar ise kahvenin "
    "önünde çay içer."
)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD, None),
        ("Ana sayfa", "too_short"),
        (GOOD + " 1 2 3 4 5 6 7 8 9 0" * 3, "not_words"),
        ("a b c ç d e f g ğ h ı i j k l m n o ö p r", "word_length"),
        ("Bu satır hep aynıdır.\n" * 12, "repeated_lines"),
        ("kara kedi " * 8 + "bir gün bizim eve geldi sonra da sessizce gitti", "repeated_words"),
        (
            " ".join(f"Kırmızı{n} mavi{n} yeşil{n} beyaz{n} siyah{n}" for n in "abcdefghijkl"),
            "no_stop_words",
        ),
    ],
)
def test_each_rule_says_its_reason(text: str, fault: str | None) -> None:
    assert quality_fault(text, CONFIG) == fault


@given(st.lists(st.sampled_from(["bir", "iki", "üç", "kedi"]), max_size=60))
def test_shares_are_shares(words: list[str]) -> None:
    assert 0 <= top_bigram_share(words) <= 1
    assert 0 <= repeated_line_share("\n".join(words)) < 1
