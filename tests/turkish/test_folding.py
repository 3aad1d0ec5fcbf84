"""Turkish without its letters: folding, what comes back, and telling it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.turkish import capitalize, fold, is_ascii_turkish, lower, unfold, upper
from dilmac.turkish.folding import _TURKISH

TURKISH = (
    "Türkiye Büyük Millet Meclisi bugün toplandı. Görüşmelerin ardından yapılan oylamada "
    "değişiklik önerisi büyük çoğunlukla kabul edildi; böylece yasanın yürürlüğe girmesi için "
    "gereken son adım da atılmış oldu. Bakan, çocukların eğitimi için ayrılan bütçenin yeterli "
    "olmadığını söyledi."
)
FOREIGN = {
    "en": "The quick brown fox jumps over the lazy dog. One is sure that the gun of the dun "
    "colored sire is on the bus once more, and ever since then he goes to the bank every "
    "day at noon, or so it has been said by all of the men who have been there before.",
    "de": "Der Bundestag hat heute in Berlin über das neue Gesetz beraten. Die Abgeordneten "
    "waren sich nicht einig, ob die Mittel für die Bildung der Kinder ausreichen, und "
    "vertagten daher die Entscheidung dort auf die kommende Woche.",
    "fr": "L'universite et le gouvernement ont annonce que les mesures prises la semaine "
    "derniere seraient reconduites. Les deputes de la majorite ont vote pour, ceux de "
    "l'opposition contre, et le texte sera donc examine par le Senat au mois de juin.",
    "it": "I cavalieri solari e i dollari: gli scolari popolari hanno visto i mari e gli "
    "esemplari. Il governo ha detto che i singolari casi sono ormai alti e che le alte "
    "misure non basteranno.",
    "es": "El gobierno dijo ayer que los precios de la gasolina no van a bajar en los meses que "
    "vienen, ya que el costo del petroleo sigue en aumento en todo el mundo, y las "
    "familias lo saben.",
    "id": "Pemerintah mengatakan bahwa harga bahan bakar tidak akan turun dalam beberapa bulan "
    "ke depan karena biaya minyak terus meningkat di seluruh dunia dan masyarakat sudah "
    "tahu akan hal.",
    "uz": "Yangi yilda bu yerda ko'p bolalar bor edi va ular bir yil ichida juda ko'p narsani "
    "o'rgandilar. Bizning maktabda har bir o'qituvchi bolalari bilan ishlaydi va ularning "
    "qilgan ishlarini ko'radi.",
    "fi": "Hallitus kertoi eilen, etta polttoaineen hinnat eivat laske lahikuukausina, koska "
    "oljyn hinta nousee edelleen kaikkialla maailmassa ja ihmiset tietavat sen jo varsin "
    "hyvin.",
}

words = st.sampled_from(sorted(_TURKISH.values()))


def test_fold_maps_every_letter() -> None:
    assert fold("çğıöşüâîûÇĞİÖŞÜÂÎÛ") == "cgiosuaiuCGIOSUAIU"
    assert fold("IŞIK çok iyi") == "ISIK cok iyi"


@given(st.text(max_size=80))
def test_fold_keeps_length_and_everything_else(text: str) -> None:
    folded = fold(text)
    assert len(folded) == len(text)
    assert fold(folded) == folded
    for before, after in zip(text, folded, strict=True):
        assert before == after or before in "çğıöşüâîûÇĞİÖŞÜÂÎÛ"


@given(words)
def test_every_listed_word_comes_back_in_its_case(word: str) -> None:
    assert lower(word) == word
    for cased in (word, upper(word), capitalize(word)):
        assert unfold(fold(cased)) == cased


@given(st.lists(words | st.text("abcdi ığ.'-_@\n", max_size=6), max_size=12).map(" ".join))
def test_unfold_folds_back(text: str) -> None:
    once = unfold(text)
    assert fold(once) == fold(text)
    assert len(once) == len(text)
    assert unfold(once) == once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cok guzel, degil mi?", "Çok güzel, değil mi?"),
        ("COK ICIN Icin", "ÇOK İÇİN İçin"),
        ("Turkiye'de (bugun)", "Türkiye'de (bugün)"),
        ("simdi...", "şimdi..."),
    ],
)
def test_unfold(text: str, expected: str) -> None:
    assert unfold(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        # two words in one spelling, in Turkish or with English
        "acik kis sik ac on is gun",
        "olmus oldugu ayni adi mudur sinirli unlu aksam basina turu suresi",
        "sure once gore ask sari satin Turk Istanbul Kirk",
        # not whole words, not plain words
        "cokca icin2 icin_var cOk x-cok cok-guzel",
        "www.guzel.com https://guzel.com/cok ali@guzel.com guzel@x.com #cok cok.py C:\\cok\\guzel",
    ],
)
def test_unfold_leaves_what_is_not_certain(text: str) -> None:
    assert unfold(text) == text


def test_no_listed_spelling_is_listed_twice_or_ascii() -> None:
    assert all(word != ascii_word for ascii_word, word in _TURKISH.items())
    assert len(_TURKISH) == 505


def test_folded_turkish_is_told() -> None:
    assert is_ascii_turkish(fold(TURKISH))
    assert is_ascii_turkish(fold(TURKISH).upper())
    assert is_ascii_turkish("cok guzel, degil mi")
    assert is_ascii_turkish(
        "Urun cok guzel “ilk kutumu” bitirdim, siparis verecegim… hic ise yaramadi"
    )
    # a name or two with their letters do not make it proper Turkish
    assert is_ascii_turkish(fold(TURKISH) + " Ayşe")


def test_ordinary_turkish_is_not() -> None:
    assert not is_ascii_turkish(TURKISH)
    # of the ASCII sentences of Turkish: nothing is lost in them
    assert not is_ascii_turkish(
        "Bana kalan tek bir ev var; orada senin dedenin eski evi de var ama."
    )


@pytest.mark.parametrize("language", sorted(FOREIGN))
def test_other_languages_are_not(language: str) -> None:
    assert not is_ascii_turkish(FOREIGN[language])
    assert not is_ascii_turkish(fold(FOREIGN[language]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cok guzel",  # below four words
        "def add(first: int, second: int) -> int: return sum([first, second]) if first else second",
        TURKISH.encode().decode("latin-1"),  # mojibake has lost its letters in another way
        "\ud800 " * 40,
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not is_ascii_turkish(text)


@given(st.text(max_size=200))
def test_telling_never_crashes(text: str) -> None:
    assert is_ascii_turkish(text) in (True, False)


def test_a_long_text_is_told_to_its_end() -> None:
    # What is quadratic in the length would take hours, and would be ended by whoever waits.
    assert is_ascii_turkish(fold(TURKISH) * 4000)
