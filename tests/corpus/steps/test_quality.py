"""Quality rules: each has a text that only it rejects."""

import pytest

from dilmac.corpus import CorpusConfig
from dilmac.corpus.steps.quality import faults, measure
from dilmac.corpus.words import word_table

CONFIG = CorpusConfig(inputs=("x",), out="y")  # type: ignore[arg-type]
OFF = {  # every rule so loose that nothing breaks it
    "min_words": 1,
    "min_mean_word_length": 0,
    "max_mean_word_length": 1000,
    "min_letter_word_share": 0,
    "max_repeated_line_share": 1,
    "max_top_bigram_share": 1,
    "max_top_trigram_share": 1,
    "max_top_fourgram_share": 1,
    "max_repeated_phrase_shares": (1, 1, 1, 1, 1, 1),
    "min_stop_words": 0,
    "min_finished_line_share": 0,
    "max_lines_per_word": 1000,
    "max_bullet_line_share": 1,
    "max_ellipsis_line_share": 1,
    "max_symbols_per_word": 1000,
}
GOOD = (
    "Kasabanın meydanında her sabah aynı saatte fırıncı kepengini açar ve sıcak ekmek kokusu "
    "bütün sokağa yayılır. Çocuklar okula giderken bu kokuyu duyar, yaşlılar ise kahvenin "
    "önünde çay içer."
)
PHRASE = "ilçe merkezinden on kilometre uzakta bulunan eski değirmenin hemen arkasında"


def fault(text: str, *rules: str) -> str:
    """What is wrong with a text by these rules alone, or by all."""
    off = {name: value for name, value in OFF.items() if name not in rules} if rules else {}
    config = CorpusConfig.model_validate({"inputs": ("x",), "out": "y", **off})
    return faults(measure(word_table([text])), config)[0]


def lines(pattern: str) -> str:
    return "\n".join(pattern.format(n=n) for n in range(30))


@pytest.mark.parametrize(
    ("text", "rule", "reason"),
    [
        ("Ana sayfa", "min_words", "too_short"),
        (GOOD + " 1 2 3 4 5 6 7 8 9 0" * 3, "min_letter_word_share", "not_words"),
        ("a b c ç d e f g ğ h ı i j k l m", "min_mean_word_length", "word_length"),
        ("çekoslovakyalılaştıramadıklarımızdan " * 3, "max_mean_word_length", "word_length"),
        ("Bu satır hep aynıdır.\n" * 12, "max_repeated_line_share", "repeated_lines"),
        ("kara kedi " * 8 + "bize geldi sonra gitti", "max_top_bigram_share", "repeated_words"),
        ("kara kedi geldi " * 4, "max_top_trigram_share", "repeated_words"),
        ("kara kedi eve geldi " * 4, "max_top_fourgram_share", "repeated_words"),
        (
            f"{GOOD} {PHRASE} bir çeşme vardır ve {PHRASE} olan bağ ise {PHRASE} durur.",
            "max_repeated_phrase_shares",
            "repeated_phrases",
        ),
        (
            " ".join(f"Kırmızı{n} mavi{n} yeşil{n} beyaz{n} siyah{n}" for n in "abcdefghijkl"),
            "min_stop_words",
            "no_stop_words",
        ),
        (lines("{n}. gün için bir yazı"), "min_finished_line_share", "unfinished_lines"),
        (lines("Ayşe{n} geldi."), "max_lines_per_word", "list_like"),
        (lines("- Bu {n}. maddedir."), "max_bullet_line_share", "bullets"),
        (lines("Bu {n}. yazının devamı var…"), "max_ellipsis_line_share", "ellipses"),
        (lines("Bu {n}. yazının devamı var..."), "max_ellipsis_line_share", "ellipses"),
        ("# bir # iki # üç # dört", "max_symbols_per_word", "symbols"),
    ],
)
def test_each_rule_says_its_reason(text: str, rule: str, reason: str) -> None:
    others = [name for name in OFF if name != rule]
    assert fault(text, rule) == reason
    assert fault(GOOD, rule) == ""
    assert fault(text, *others) != reason or rule.startswith(("max_top", "min_mean", "max_mean"))


def test_good_prose_breaks_no_rule() -> None:
    assert fault(GOOD) == ""
    assert fault("") == "too_short"


def test_a_text_is_measured_alike_alone_and_among_others() -> None:
    texts = ["Ana sayfa", GOOD, "Bu satır hep aynıdır.\n" * 12, "", GOOD + " ek."]
    together = faults(measure(word_table(texts)), CONFIG)
    assert together == [fault(text) for text in texts]


def test_ascii_only_turkish_has_stop_words() -> None:
    text = " ".join(f"kirmizi{n} araba cok hizli gitti ama sonra icin degil" for n in range(9))
    assert measure(word_table([text])).num_stop_words[0] >= 4
    assert faults(measure(word_table(["kalem defter silgi " * 30])), CONFIG, is_turkish=False)
