"""Turkish is told from its sisters, by document and by paragraph, with or without its letters."""

import pytest

from corpora import documents
from dilmac.core import ConfigError, bundled_prose, read_measured_texts
from dilmac.corpus import CorpusConfig
from dilmac.corpus.steps.evidence import is_surely_turkish
from dilmac.corpus.steps.language import (
    check_language_code,
    foreign_paragraphs,
    identify_all,
    is_ascii_only,
    language_fault,
)
from dilmac.turkish import fold, lower, upper

CONFIG = CorpusConfig(inputs=("x",), out="y")  # type: ignore[arg-type]
PROSE = [text for text in read_measured_texts(bundled_prose()) if len(text.split()) > 50]
SISTERS = {
    "az": "Kəndimizin ortasında yaşı heç kəsin bilmədiyi böyük bir çinar var. Yayda uşaqlar onun "
    "kölgəsində oynayır, qocalar isə çay içib söhbət edirlər. Hər il payızda yarpaqları tökülür.",
    "tk": "Biziň obamyzda her ýyl güýzde uly bazar gurulýar. Daýhanlar öz ýetişdiren gawunlaryny "
    "getirýärler, aýallar bolsa eliniň hünärini satýarlar. Çagalar oýnap, süýji iýýärler.",
    "uz": "Bobom har kuni ertalab bog‘ga chiqib, daraxtlarni birma-bir ko‘zdan kechiradi. Keyin "
    "ariqdan suv ochib, gullarni sug‘oradi va nonushta uchun meva teradi.",
    "tt": "Безнең авылда һәр елны көз көне зур ярминкә була. Игенчеләр үзләре үстергән яшелчәләрне "
    "алып киләләр, балалар исә уйныйлар.",
    "kk": "Біздің ауылда жыл сайын күзде үлкен жәрмеңке болады. Диқандар өздері өсірген "
    "көкөністерін әкеледі, балалар болса ойнайды.",
    "en": "The old ferry leaves the harbour twice a day, once before breakfast and once after the "
    "lamps are lit. The captain knows every passenger by name and asks about their families.",
}


def faults(texts: list[str]) -> list[str]:
    return [language_fault(language, score, CONFIG) for language, score in identify_all(texts)]


@pytest.mark.parametrize("language", sorted(SISTERS))
def test_sisters_and_strangers_are_not_turkish(language: str) -> None:
    text = SISTERS[language]
    assert identify_all([text])[0][0] == language
    assert faults([text, lower(text), f"{text}\n{text}"]) == ["other_language"] * 3
    assert not is_surely_turkish([text])[0]


def test_turkish_is_kept_in_any_spelling() -> None:
    for spell in (str, lower, upper, fold, lambda text: fold(lower(text))):
        assert not any(faults([spell(text) for text in PROSE])), spell


def test_ascii_only_turkish_is_marked() -> None:
    marked = [is_ascii_only(fold(text)) for text in PROSE]
    assert sum(marked) / len(marked) > 0.95
    assert not any(map(is_ascii_only, PROSE))
    assert not any(map(is_ascii_only, SISTERS.values()))


def test_a_text_is_judged_alike_alone_and_among_others() -> None:
    texts = [PROSE[0], SISTERS["az"], "", "?", PROSE[1], SISTERS["en"], fold(PROSE[2])]
    assert identify_all(texts) == [identify_all([text])[0] for text in texts]


def test_a_long_foreign_paragraph_goes_and_a_short_or_turkish_one_stays() -> None:
    turkish = documents(2)
    text = "\n".join([turkish[0], SISTERS["en"], "To be or not to be", turkish[1]])
    kept, gone = foreign_paragraphs(text, CONFIG)
    assert gone == [SISTERS["en"]]
    assert kept == "\n".join([turkish[0], "To be or not to be", turkish[1]])
    assert foreign_paragraphs(kept, CONFIG) == (kept, [])


def test_code_and_ascii_turkish_are_no_foreign_paragraphs() -> None:
    code = "for line in open(path): if line.startswith('#') and len(line) > 3: print(line) " * 3
    text = "\n".join([documents(1)[0], code, fold(documents(2)[1])])
    assert foreign_paragraphs(text, CONFIG) == (text, [])


def test_another_language_can_be_kept() -> None:
    config = CONFIG.model_copy(update={"language": "en"})
    found = identify_all([SISTERS["en"], PROSE[0]])
    assert [language_fault(*pair, config) for pair in found] == ["", "other_language"]
    assert foreign_paragraphs(SISTERS["en"], config) == (SISTERS["en"], [])


def test_unknown_codes_are_refused() -> None:
    check_language_code("tr")
    check_language_code("az")
    with pytest.raises(ConfigError, match="unknown language 'turkish'"):
        check_language_code("turkish")
