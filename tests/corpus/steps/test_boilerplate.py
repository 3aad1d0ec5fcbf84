"""Cookie banners and menus go, also where only their repetition tells; sentences stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpora import documents
from dilmac.core import bundled_prose, read_measured_texts
from dilmac.corpus.document import Document
from dilmac.corpus.steps.boilerplate import (
    edge_line_hashes,
    is_boilerplate,
    repeated_lines,
    strip_boilerplate,
    strip_repeated,
)

BANNERS = [
    "Sitemizde size daha iyi hizmet verebilmek için çerezler kullanılır. Kabul Et | Reddet",
    "ÇEREZ POLİTİKAMIZ: Sitemiz çerez kullanır. TAMAM",
    "Ana Sayfa > Spor > Futbol",
    "Anasayfa » Haberler » Ekonomi",
    "© 2023 Kasaba Gazetesi. Tüm hakları saklıdır.",
    "Tüm hakları saklıdır",
    "Paylaş: Facebook Twitter WhatsApp",
    "Facebook | Twitter | Instagram | YouTube",
    "Giriş Yap | Üye Ol",
    "Önceki yazı » Sonraki yazı",
]
SENTENCES = [
    "Çerezler, sitelerin tarayıcıda tuttuğu küçük dosyalardır.",
    "Fırından yeni çıkan çerez ve leblebiyi komşulara dağıttık.",
    "Haberi önce Twitter üzerinden paylaş, sonra bana da haber ver.",
    "Facebook ve Instagram aynı şirketindir.",
    "Bu kitabın tüm hakları saklıdır ve izinsiz çoğaltılamaz, dedi yayıncı.",
    "Dosya > Aç komutunu seçin.",
    "Ana sayfadaki düğmeye basın.",
    "Evin iletişim hattı dün kesildi.",
    "",
]


@pytest.mark.parametrize("line", BANNERS)
def test_lines_of_a_page_are_known(line: str) -> None:
    assert is_boilerplate(line)
    text, lines = strip_boilerplate(f"{line}\n{documents(1)[0]}\n{line}")
    assert text == documents(1)[0] and lines == [line, line]


@pytest.mark.parametrize("line", SENTENCES)
def test_sentences_are_no_boilerplate(line: str) -> None:
    assert not is_boilerplate(line)


def test_inside_a_text_such_lines_stay() -> None:
    inside = "\n".join([*documents(6), BANNERS[0], *documents(12)[6:]])
    assert strip_boilerplate(inside) == (inside, [])
    assert strip_boilerplate("\n".join(BANNERS[:3])) == ("", BANNERS[:3])


def test_prose_is_left_alone() -> None:
    for text in read_measured_texts(bundled_prose()):
        assert strip_boilerplate(text) == (text, [])


def site(name: str, count: int, header: str) -> list[Document]:
    return [Document(str(n), f"{header}\n{text}", name) for n, text in enumerate(documents(count))]


def test_a_line_at_the_edge_of_many_documents_of_a_source_is_a_template() -> None:
    pages = site("köy.example", 40, "Köyümüzün sesi, her gün yeniden")
    rare = site("kent.example", 40, "Kent")
    for number, document in enumerate(rare):
        document.text = document.text.replace("Kent", "Kent" if number < 5 else f"Kent {number}")
    rows = edge_line_hashes([*pages, *rare])
    repeated = repeated_lines(rows, {"köy.example": 40, "kent.example": 40})
    assert len(repeated) == 1
    for document, text in zip(pages, documents(40), strict=True):
        found = strip_repeated(document.text, document.source, repeated)
        assert found == (text, ["Köyümüzün sesi, her gün yeniden"])
    assert strip_repeated(rare[0].text, "kent.example", repeated) == (rare[0].text, [])
    # The same line on another site is not that site's template.
    assert strip_repeated(pages[0].text, "kent.example", repeated)[1] == []


def test_no_documents_have_no_templates() -> None:
    assert edge_line_hashes([]).shape == (0, 2)
    assert repeated_lines(np.zeros((0, 2), np.uint64), {}) == frozenset()


@given(st.text(max_size=300))
def test_nothing_is_lost(text: str) -> None:
    kept, lines = strip_boilerplate(text)
    before = sorted(line for line in text.split("\n") if line)
    assert sorted([*(line for line in kept.split("\n") if line), *filter(None, lines)]) == before
