"""Personal data: found whole in every spelling, and nothing else taken for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.corpus.steps.personal import (
    PLACEHOLDERS,
    PersonalData,
    find_personal_data,
    mask_personal_data,
)

# Invented: the unassigned range of TCKN, exchanges 000, test numbers of the issuers.
TCKN = "10000063516"
VKN = "1234567890"  # its check digit is right


def masked(text: str) -> str:
    return mask_personal_data(text, find_personal_data(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"T.C. Kimlik No: {TCKN}, Ankara", "T.C. Kimlik No: <TCKN>, Ankara"),
        (f"TC:{TCKN}'dir.", "TC:<TCKN>'dir."),
        (f"Ayşe Örnek ({TCKN})", "Ayşe Örnek (<TCKN>)"),
        (f"1 {TCKN} Ayşe\n2 10000019674 Mehmet", "1 <TCKN> Ayşe\n2 <TCKN> Mehmet"),
        ("TCKN 100 000 635 16.", "TCKN <TCKN>."),
        ("TCKN 100.000.635.16, 3 çocuk", "TCKN <TCKN>, 3 çocuk"),
        ("kimlik no ١٠٠٠٠٠٦٣٥١٦ olan", "kimlik no <TCKN> olan"),
        ("kimlik no １００００\u2009０６３５１６ olan", "kimlik no <TCKN> olan"),
        (f"Vergi No:{VKN}", "Vergi No:<VKN>"),
        ("VERGİ KİMLİK NUMARASI 123-456-7890", "VERGİ KİMLİK NUMARASI <VKN>"),
        (f"{VKN} vergi numaralı firma", "<VKN> vergi numaralı firma"),
        ("IBAN:TR330006100519786457841326'dır", "IBAN:<IBAN>'dır"),
        ("tr33 0006 1005 1978 6457 8413 26 25 adet", "<IBAN> 25 adet"),
        ("TR33 0006 1005 1978\n6457 8413 26\n3", "<IBAN>\n3"),
        ("ＴＲ３３\u00a00006\u00a01005\u00a01978\u00a06457\u00a08413\u00a026!", "<IBAN>!"),
        ("DE89 3704 0044 0532 0130 00 ve GB29NWBK60161331926819", "<IBAN> ve <IBAN>"),
        ("kart 4111 1111 1111 1111, 12/27", "kart <KART>, 12/27"),
        ("4111-1111-1111-1111'e", "<KART>'e"),
        ("Amex 378282246310005", "Amex <KART>"),
    ],
)
def test_numbers_with_check_digits(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "number",
    [
        "0532 123 45 67",
        "0 500 000 00 00",
        "+90 212 000 95 44",
        "0(555) 000 76 63",
        "0090 532 123 45 67",
        "(0532) 123 45 67",
        "(0 532) 123 45 67",
        "(532) 123 45 67",
        "(+90) 532 123 45 67",
        "+90 (532) 123 45 67",
        "0532-123-45-67",
        "532-123-45-67",
        "5321234567",
        "05321234567",
        "+905321234567",
        "0(212)5551234",
        "0212/555 12 34",
        "0532.123.45.67",
        "0532\u00a0123\u200945\u202f67",
        "٠٥٣٢ ١٢٣ ٤٥ ٦٧",
        "۰۵۳۲ ۱۲۳ ۴۵ ۶۷",
        "＋９０５３２１２３４５６７",
        "+49 30 901820",
    ],
)
@pytest.mark.parametrize(
    "carrier",
    ["Ara: {}", "Tel:{}.", "Numaram {}'dir.", "Ayşe ({}), Ankara", "{}\n2 elma", "Yarın {}, 12.00"],
)
def test_phones_in_their_spellings(number: str, carrier: str) -> None:
    assert masked(carrier.format(number)) == carrier.format("<TELEFON>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ayse.ornek484@example.com'dan", "<EPOSTA>'dan"),
        ("e-posta:AYŞE.İNCE@ÖRNEK.COM.TR.", "e-posta:<EPOSTA>."),
        ("BİLGİ@EXAMPLE.İNFO'ya", "<EPOSTA>'ya"),
        ("ad.soyad [at] example [dot] com, tel", "<EPOSTA>, tel"),
        ("ad.soyad(at)example.com", "<EPOSTA>"),
        ("ad.soyad at example nokta com adresi", "<EPOSTA> adresi"),
        ("ad nokta soyad at example nokta com nokta tr", "<EPOSTA>"),
        ("AD (AT) EXAMPLE (DOT) COM", "<EPOSTA>"),
        ("ayse＠example.com", "<EPOSTA>"),
        ("ayse@example.com.Sonra geldi", "<EPOSTA>.Sonra geldi"),
        ("5321234567@example.com", "<EPOSTA>"),
        ("34 ABC 123 plakalı", "<PLAKA> plakalı"),
        ("plakası 34abc123'tür", "plakası <PLAKA>'tür"),
        ("PLAKA:06-A-1234", "PLAKA:<PLAKA>"),
        ("34 ABC 123 ve 06 DU 6059 plakalı", "<PLAKA> ve <PLAKA> plakalı"),
    ],
)
def test_addresses_and_plates(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Sipariş no: 12345678901",  # check digits are wrong
        f"Sipariş no: {TCKN}",  # right by chance
        f"Tutar {TCKN} TL",
        f"1.234.567.890,00 TL, {VKN}",  # VKN without a label
        "1 234 567 890 lira vergi",
        "12.03.2019 14.05.2020 ve 2021-03-12 10:11:12.1234567",
        "(Ek: 28/12/2006-5571/29 md.) 26/9/2004 tarihli ve 5237 sayılı",
        "ISBN 978-975-08-0294-3, ISBN: 9789750802943",
        "192.168.100.200 255.255.255.0",
        "550e8400-e29b-41d4-a716-446655440000 12345678-1234-1234-1234-123456789012",
        "sürüm 1.2.3.4567890, commit 10000063516f",
        "2 125 555 12 34",
        "12 532 123 45 67 89",
        "1985 555 100 20 30 1986 544 200 10 20",
        "0.5321234567 ve 3,14159265358",
        "https://example.com/5321234567?id=10000063516",
        "5321234567 adet, 5321234567 bayt",
        "0 212 555 12 34 56 78",
        "GTİP 0207.14.10.00.11",
        "4111 1111 1111 1112",
        "TR33 0006",
        "logo@2x.png, react@18.2.0, git@github.com:a/b.git, https://u:p@host.com/x, @Html.Partial",
        "Look at example.com",
        "at yarışı, nokta, com",
        "plaka 34, 12 ton 500 kilo; 06 ve 2019; 34 ABC",
        "34 ABC 123",  # no word says that it is a plate
    ],
)
def test_what_is_no_personal_data(text: str) -> None:
    assert find_personal_data(text) == []


def test_spans_are_exact() -> None:
    text = "Ğ: tel:0532 123 45 67'dir, e-posta ayse@example.com."
    assert find_personal_data(text) == [
        PersonalData("phone", 7, 21, "0532 123 45 67"),
        PersonalData("email", 35, 51, "ayse@example.com"),
    ]


def test_a_mask_is_no_label_and_a_second_pass_finds_nothing() -> None:
    assert masked(f"VKN {VKN} {VKN}") == "VKN <VKN> <VKN>"
    assert masked("0532 123 45 67 532 123 45 67") == "<TELEFON> <TELEFON>"
    assert find_personal_data(f"<VKN> {VKN}") == []


SOUP = st.lists(
    st.sampled_from(
        [
            *"0123456789 .-/()+@\n'",
            "\u00a0",
            "٥",
            "TR",
            "VKN ",
            "tel ",
            "plaka ",
            " at ",
            "[at]",
            " nokta ",
            "com",
            "<TCKN>",
            "34 ABC 123",
            "İ",
            "\U0001d7d8",
            "\ud800",
            TCKN,
            "0532 123 45 67",
            "5321234567",
            "TR330006100519786457841326",
            "4111 1111 1111 1111",
            "a@b.com",
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(SOUP, st.text()))
def test_spans_are_sorted_apart_and_gone_after_the_mask(text: str) -> None:
    found = find_personal_data(text)
    last = 0
    for item in found:
        assert last <= item.start < item.end <= len(text)
        assert item.text == text[item.start : item.end]
        assert item.kind in PLACEHOLDERS
        last = item.end
    assert find_personal_data(mask_personal_data(text, found)) == []


NO_CANDIDATE = st.text(st.characters(exclude_categories=["Nd"], exclude_characters="@＠[](){}<>"))


@given(NO_CANDIDATE.filter(lambda text: " nokta " not in text))
def test_text_without_digits_and_signs_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("unit", ["1", "0 ", "a@", "(0", "[at]", "1/", "a at b nokta "])
def test_a_long_repetition_is_read_to_its_end(unit: str) -> None:
    # What is quadratic in the length would take hours, and would be ended by whoever waits.
    assert find_personal_data(unit * (1_000_000 // len(unit))) == []


def test_phonenumbers_is_loaded_only_when_needed() -> None:
    code = (
        "import sys; from dilmac.corpus.steps.personal import find_personal_data as find;"
        "find('Bugün 12.03.2019, 5237 sayılı Kanun'); assert 'phonenumbers' not in sys.modules;"
        "assert find('0532 123 45 67'); assert 'phonenumbers' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
