"""Claim: personal data is found in ten spellings of every kind, and clean text is left alone.

    python benchmarks/personal_data.py SHARD…  [--count 14400] [--seed 42]

Plants invented numbers into clean Turkish documents and measures the recall; then lists what is
found in the clean documents themselves, for a person to say which of it is no personal data.
The numbers are invented as those of tr-raw-messy are: TCKN of the unassigned range 100000…,
telephones of exchanges 000 beside ordinary ones, addresses at example.com and example.org.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from stdnum import iban, luhn
from stdnum.tr import tckimlik, vkn

from dilmac.core import read_measured_texts
from dilmac.corpus.steps.personal import PersonalData, find_personal_data
from support.measuring import heading

NO_BREAK, THIN, NARROW, NO_BREAK_HYPHEN = "\u00a0", "\u2009", "\u202f", "\u2011"
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
TURKISH_UPPER = str.maketrans({"i": "İ", "ı": "I"})


@dataclass(frozen=True)
class Planted:
    """An invented item and where it stands: `text[start:end]`."""

    kind: str
    spelling: str
    start: int
    end: int


@dataclass
class Recall:
    """How often a spelling was found with exactly its kind and place."""

    planted: int = 0
    found: int = 0
    misses: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.found / self.planted if self.planted else 0.0


def grouped(sizes: str, separator: str) -> Callable[[str], str]:
    """Spelling in groups: `grouped("3 2", "-")("12345") == "123-45"`."""
    return filled(separator.join("#" * int(size) for size in sizes.split()))


def in_digits(
    table: dict[int, int], spell: Callable[[str], str] | None = None
) -> Callable[[str], str]:
    """Spelling with other digits (and letters, where the table has them)."""
    return lambda value: (spell(value) if spell else value).translate(table)


def filled(pattern: str) -> Callable[[str], str]:
    """Spelling by a picture: each # takes the next character of the value."""

    def spell(value: str) -> str:
        rest = iter(value)
        return "".join(next(rest) if char == "#" else char for char in pattern)

    return spell


def address(at: str, dot: str) -> Callable[[str], str]:
    """Spelling of an e-mail address; the points before the sign stay."""
    return lambda value: value.split("@")[0] + at + value.split("@")[1].replace(".", dot)


IBAN_GROUPS = "4 4 4 4 4 4 2"


def usual(sizes: str) -> dict[str, Callable[[str], str]]:
    """Nine spellings that a number of digits can have; each kind adds its own."""
    return {
        "plain": str,
        "spaces": grouped(sizes, " "),
        "dots": grouped(sizes, "."),
        "hyphens": grouped(sizes, "-"),
        "no-break spaces": grouped(sizes, NO_BREAK),
        "thin spaces": grouped(sizes, THIN),
        "Arabic-Indic digits": in_digits(ARABIC),
        "Persian digits": in_digits(PERSIAN),
        "fullwidth, spaces": in_digits(FULLWIDTH, grouped(sizes, " ")),
    }


SPELLINGS: dict[str, dict[str, Callable[[str], str]]] = {
    "tckn": {**usual("3 3 3 2"), "spaces 3-4-4": grouped("3 4 4", " ")},
    "vkn": {**usual("3 3 4"), "pairs": grouped("2 2 2 2 2", " ")},
    "card": {**usual("4 4 4 4"), "no-break hyphens": grouped("4 4 4 4", NO_BREAK_HYPHEN)},
    "iban": {
        "plain": str,
        "groups of four": grouped(IBAN_GROUPS, " "),
        "TR apart": lambda value: "TR " + value[2:],
        "dots": grouped(IBAN_GROUPS, "."),
        "hyphens": grouped(IBAN_GROUPS, "-"),
        "no-break spaces": grouped(IBAN_GROUPS, NO_BREAK),
        "thin spaces, Arabic-Indic": in_digits(ARABIC, grouped(IBAN_GROUPS, THIN)),
        "fullwidth": in_digits(FULLWIDTH),
        "lower case": str.lower,
        "lower case, groups": lambda value: grouped(IBAN_GROUPS, " ")(value.lower()),
    },
    "phone": {  # of ten digits; those without 0 and parentheses are for mobile numbers
        "0### ### ## ##": filled("0### ### ## ##"),
        "0 ### ### ## ##": filled("0 ### ### ## ##"),
        "+90 ### ### ## ##": filled("+90 ### ### ## ##"),
        "+90##########": filled("+90##########"),
        "0090 ### ### ####": filled("0090 ### ### ####"),
        "(0###) ### ## ##": filled("(0###) ### ## ##"),
        "0(###) ### ## ##": filled("0(###) ### ## ##"),
        "(###) ### ## ##": filled("(###) ### ## ##"),
        "0##########": filled("0##########"),
        "0###-###-##-##": filled("0###-###-##-##"),
        "0###.###.##.##": filled("0###.###.##.##"),
        "0###/### ## ##": filled("0###/### ## ##"),
        "mobile ### ### ## ##": filled("### ### ## ##"),
        "mobile ###-###-##-##": filled("###-###-##-##"),
        "mobile ##########": str,
        "no-break and thin": filled(f"+90{NO_BREAK}###{THIN}###{NARROW}##{NO_BREAK_HYPHEN}##"),
        "Arabic-Indic digits": in_digits(ARABIC, filled("0### ### ## ##")),
        "fullwidth": in_digits(FULLWIDTH, filled("+90(###)###-##-##")),
    },
    "email": {
        "plain": str,
        "upper case": str.upper,
        "Turkish upper case": lambda value: value.translate(TURKISH_UPPER).upper(),
        "lower of İ": lambda value: value.translate(TURKISH_UPPER).lower(),
        "[at] [dot]": address(" [at] ", " [dot] "),
        "[at] .": address("[at]", "."),
        "(at)": address(" (at) ", "."),
        "(at) (nokta)": address("(at)", "(nokta)"),
        "at nokta": address(" at ", " nokta "),
        "@ nokta": address("@", " nokta "),
        " @ ": address(" @ ", "."),
        "fullwidth sign": address("＠", "."),
    },
    "plate": {
        "spaces": filled("## ### ###"),
        "plain": str,
        "hyphens": filled("##-###-###"),
        "dots": filled("##.###.###"),
        "no-break spaces": filled(f"##{NO_BREAK}###{NO_BREAK}###"),
        "thin spaces": filled(f"##{THIN}###{THIN}###"),
        "half apart": filled("## ######"),
        "lower case": lambda value: filled("## ### ###")(value.lower()),
        "lower case, plain": str.lower,
        "Arabic-Indic digits": in_digits(ARABIC, filled("## ### ###")),
        "fullwidth": in_digits(FULLWIDTH, filled("## ### ###")),
    },
}

# Written for the project. {} is the item. Each kind: after a label, after a colon without a
# space, with a suffix, in parentheses, at the end of a line, beside other figures and signs.
CARRIERS: dict[str, tuple[str, ...]] = {
    "tckn": (
        "Başvuru sahibinin T.C. kimlik numarası {} olarak kayda geçti.",
        "Adı Ayşe Örnek, TCKN:{}, doğum yılı 1980.",
        "Kimlik numarası {}'dir ve 12 Mart 2021 tarihinde verilmiştir.",
        "Ayşe Örnek ({}), 3 çocuk annesidir.",
        "Listenin sonunda şu kişi vardı: Mehmet Deneme {}\n",
        "1) Mehmet Deneme; {}; Ankara.",
    ),
    "vkn": (
        "Şirketin vergi kimlik numarası {} olarak bildirildi.",
        "Örnek Ticaret A.Ş., VKN:{}, sermayesi 50.000 TL.",
        "Vergi no'su {}'dir ve 12 Mart 2021 tarihinde alınmıştır.",
        "Örnek Gıda Ltd. Şti. (Vergi Dairesi ve No: Kadıköy {}) ihaleye katıldı.",
        "Fatura şu firmaya kesilecek, VERGİ NUMARASI: {}\n",
        "İhaleyi {} vergi numaralı firma kazandı.",
    ),
    "iban": (
        "Bağışlarınızı {} numaralı hesaba yatırabilirsiniz.",
        "Örnek Bankası, IBAN:{}, Ayşe Örnek adına.",
        "Hesabımız {}'dir, açıklamaya 2021 yazınız.",
        "Kira bedeli (IBAN {}) her ayın 5'ine kadar ödenir.",
        "Ödeme için hesap numarası: {}\n",
        "Mehmet Deneme, {}, 1.250,00 TL.",
    ),
    "card": (
        "Müşterinin kart numarası {} olarak göründü.",
        "Kredi kartı:{}, son kullanma 12/27.",
        "Numara {}'dir, arkasında 3 haneli kod vardır.",
        "Ödeme yapılan kart ({}) ertesi gün kapatıldı.",
        "Ekranda şu numara yazıyordu: {}\n",
        "Mehmet Deneme; {}; 1.250,00 TL.",
    ),
    "phone": (
        "Randevu için {} numaralı telefondan ulaşabilirsiniz.",
        "Adres: Örnek Sokak 5, Tel:{}, Ankara.",
        "Numaram {}'dir, akşam 7'den sonra ara.",
        "Ayşe Örnek ({}) toplantıya geç kalacak.",
        "Sorularınız için: {}\n",
        "Mehmet Deneme, {}, Ankara.",
    ),
    "email": (
        "Başvurularınızı {} adresine gönderebilirsiniz.",
        "İletişim:{}, Ankara.",
        "Adresim {}'dur, 2 gün içinde yanıt veririm.",
        "Ayşe Örnek ({}) toplantıya geç kalacak.",
        "E-posta: {}\n",
        "Mehmet Deneme, {}; Ankara.",
    ),
    "plate": (
        "Kaza anında {} plakalı araç park hâlindeydi.",
        "Aracın plakası:{}, rengi beyaz.",
        "Aracın plakası {}'dir ve 2021 modeldir.",
        "Çalınan otomobil (plaka no: {}) 2 gün sonra bulundu.",
        "Aranan aracın plakası: {}\n",
        "Polis {} plakalı kamyoneti 3 saat sonra buldu.",
    ),
}


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choices("0123456789", k=count))


def _tckn(draw: random.Random) -> str:
    body = f"100000{draw.randrange(1000):03}"
    return body + tckimlik.calc_check_digits(body)


def _vkn(draw: random.Random) -> str:
    body = _digits(draw, 9)
    return body + vkn.calc_check_digit(body)


def _iban(draw: random.Random) -> str:
    # The number of an existing bank's place, the reserved 0, and an account that is drawn.
    body = f"00{draw.choice(['062', '064', '046', '010'])}0{_digits(draw, 16)}"
    return f"TR{iban.calc_check_digits('TR00' + body)}{body}"


def _card(draw: random.Random) -> str:
    body = draw.choice(["4", "51", "55", "9792", "2221", "6011"])
    body += _digits(draw, 15 - len(body))
    return body + luhn.calc_check_digit(body)


def _phone(draw: random.Random, *, mobile: bool) -> str:
    codes = ["500", "505", "532", "533", "542", "544", "555"]
    code = draw.choice(codes if mobile else [*codes, "212", "216", "312", "232", "222"])
    exchange = draw.choice(["000", str(draw.randrange(210, 700))])
    return f"{code}{exchange}{_digits(draw, 4)}"


def _email(draw: random.Random) -> str:
    names = [
        "ayse.ornek",
        "mehmet_deneme",
        "iletisim.birimi",
        "ali-veli",
        "m.deneme",
        "bilgi.islem",
    ]
    domains = ["example.com", "example.org", "mail.example.com", "example.com.tr"]
    return (
        f"{draw.choice(names)}{draw.choice(['', str(draw.randrange(1000))])}@{draw.choice(domains)}"
    )


def _plate(draw: random.Random) -> str:
    letters = "".join(draw.choices("ABCDEFGHIJKLMNOPRSTUVYZ", k=3))
    return f"{draw.randrange(1, 82):02}{letters}{draw.randrange(100, 1000)}"


def invent(draw: random.Random, kind: str, spelling: str) -> str:
    """A valid invented item of a kind in one of its `SPELLINGS`."""
    makers: dict[str, Callable[[random.Random], str]] = {
        "tckn": _tckn,
        "vkn": _vkn,
        "iban": _iban,
        "card": _card,
        "email": _email,
        "plate": _plate,
        "phone": lambda drawn: _phone(drawn, mobile=spelling.startswith("mobile")),
    }
    return SPELLINGS[kind][spelling](makers[kind](draw))


def plant(
    seed: int, clean_documents: Iterable[str], count: int
) -> Iterator[tuple[str, tuple[Planted, ...]]]:
    """Clean documents with one invented item each, and the places of the items.

    Kinds, spellings and carriers take turns, so each is planted equally often; the same seed and
    documents give the same texts. Documents are used again when there are fewer than `count`.
    """
    draw = random.Random(seed)
    documents = [text for text in islice(clean_documents, count) if text.strip()]
    turns = [(kind, spelling) for kind in SPELLINGS for spelling in SPELLINGS[kind]]
    for number in range(count):
        kind, spelling = turns[number % len(turns)]
        carriers = CARRIERS[kind]
        carrier = carriers[(number // len(turns)) % len(carriers)]
        item = invent(draw, kind, spelling)
        before, after = _opened(draw, documents[number % len(documents)])
        head, tail = carrier.split("{}")
        start = len(before) + len(head)
        text = f"{before}{head}{item}{tail}{after}"
        yield text, (Planted(kind, spelling, start, start + len(item)),)


def _opened(draw: random.Random, document: str) -> tuple[str, str]:
    """A document in two, at the end of a line or of a sentence."""
    places = [place + 1 for place, char in enumerate(document) if char == "\n"]
    places += [place + 2 for place in range(len(document)) if document[place : place + 2] == ". "]
    place = draw.choice([0, len(document), *places])
    before = document[:place]
    return (before if before[-1:] in {"", " ", "\n"} else f"{before} "), f" {document[place:]}"


def measure(
    planted: Iterable[tuple[str, Sequence[Planted]]],
    find: Callable[[str], list[PersonalData]] = find_personal_data,
) -> dict[tuple[str, str], Recall]:
    """Recall by kind and spelling; only the exact kind and place count as found."""
    recalls: dict[tuple[str, str], Recall] = {}
    for text, items in planted:
        found = {(item.kind, item.start, item.end) for item in find(text)}
        for item in items:
            recall = recalls.setdefault((item.kind, item.spelling), Recall())
            recall.planted += 1
            if (item.kind, item.start, item.end) in found:
                recall.found += 1
            else:
                recall.misses.append(text[max(0, item.start - 40) : item.end + 20])
    return recalls


def find_in_clean(
    texts: Iterable[str], find: Callable[[str], list[PersonalData]] = find_personal_data
) -> tuple[list[tuple[PersonalData, str]], int, float]:
    """What is found in clean texts, each with the text around it; bytes read; seconds."""
    listed, size, seconds = list[tuple[PersonalData, str]](), 0, 0.0
    for text in texts:
        size += len(text.encode())
        started = time.perf_counter()
        found = find(text)
        seconds += time.perf_counter() - started
        for item in found:
            listed.append((item, text[max(0, item.start - 40) : item.end + 20].replace("\n", "⏎")))
    return listed, size, seconds


def print_recall(recalls: dict[tuple[str, str], Recall]) -> None:
    print(f"{'kind':6} {'spelling':26} {'planted':>7} {'recall':>7}")
    for (kind, spelling), recall in sorted(recalls.items()):
        print(f"{kind:6} {spelling:26} {recall.planted:7} {recall.share:7.4f}")
        for miss in recall.misses[:3]:
            print(f"       missed: {miss!r}")
    for kind in SPELLINGS:
        own = [recall for key, recall in recalls.items() if key[0] == kind]
        planted, found = sum(r.planted for r in own), sum(r.found for r in own)
        print(f"{kind:6} {'all':26} {planted:7} {found / max(1, planted):7.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--count", type=int, default=14_400, help="documents to plant")
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    names = " ".join(Path(shard).name for shard in asked.shards)
    print(heading(f"python benchmarks/personal_data.py {names}"))
    documents = (text for text in read_measured_texts(asked.shards) if len(text) < 20_000)
    print_recall(measure(plant(asked.seed, documents, asked.count)))
    total, listed = 0, []
    for shard in asked.shards:
        found, size, seconds = find_in_clean(read_measured_texts([shard]))
        kinds = dict(Counter(item.kind for item, _ in found))
        rate = f"{len(found) / (size / 1e6):.2f} found/MB, {size / 1e6 / seconds:.0f} MB/s"
        print(f"{Path(shard).name}: {size / 1e6:.2f} MB, {rate}, {kinds}")
        total += size
        listed += found
    print(f"found in clean text: {len(listed)} in {total / 1e6:.1f} MB; each of them:")
    for item, around in sorted(listed, key=lambda pair: (pair[0].kind, pair[0].text)):
        print(f"  {item.kind:6} {item.text!r:40} {around!r}")


if __name__ == "__main__":
    main()
