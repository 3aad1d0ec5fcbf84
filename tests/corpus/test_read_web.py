"""HTML pages and WARC archives: the main text comes out, what is around it stays."""

import gzip
import io
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import zstandard
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from dilmac.core import InputError, read_lines
from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Document, Reject
from dilmac.corpus.read import read_file, web

BODY = [
    "Kasabanın saat kulesi yüz yirmi yıl sonra yeniden çalışıyor. Ustalar, çarkları tek tek söküp "
    "temizledi, kırılan dişleri pirinçten döktü.",
    "Kulenin bekçisi Şükrü Bey, çan sesini ilk duyduğunda ağladığını söyledi. Çocuklar ise her "
    "saat başı meydana koşup vuruşları sayıyor.",
    "Belediye, kulenin içini pazar günleri ziyarete açacak; merdivenler dar olduğu için gruplar on "
    "kişiyi geçmeyecek.",
]
PAGE = """<!DOCTYPE html>
<html lang="tr"><head><title>Saat kulesi | İlçe Postası</title>{meta}
<script>var reklam = "Hemen tıklayın";</script><style>p {{ color: red }}</style></head>
<body><nav><ul><li><a href="/">Ana sayfa</a></li><li><a href="/spor">Spor</a></li>
<li><a href="/iletisim">İletişim</a></li></ul></nav>
<div class="cookie-banner">Sitemizde çerezler kullanılır. <button>Kabul et</button></div>
<article><h1>Saat kulesi yeniden çalışıyor</h1>{body}<pre><code>saat --kur 12:00</code></pre>
<table><tr><td>Giriş ücreti</td><td>yirmi lira</td></tr></table></article>
<aside><h3>Çok okunanlar</h3><ul><li><a href="/1">Yağmur geliyor</a></li></ul></aside>
<div id="comments"><h3>Yorumlar</h3><p class="comment">İlk yorumu ben yazdım, beğenin.</p></div>
<footer>© 2024 İlçe Postası. Tüm hakları saklıdır.</footer></body></html>"""


def page(meta: str = '<meta charset="utf-8">') -> str:
    return PAGE.format(meta=meta, body="".join(f"<p>{paragraph}</p>" for paragraph in BODY))


def read(path: Path) -> list[Document | Reject]:
    records = read_file(path, CorpusConfig.model_validate({"inputs": ("x",), "out": "unused"}))
    return [web.open_page(record) if isinstance(record, Document) else record for record in records]


def check_text(text: str) -> None:
    assert [line for line in text.split("\n") if line in BODY] == BODY
    assert "yirmi lira" in text
    for around in ("Ana sayfa", "çerez", "okunan", "yorum", "hakları", "reklam", "color", "--kur"):
        assert around not in text


def test_the_main_text_of_a_page_comes_out(tmp_path: Path) -> None:
    for name, pack in {
        "kule.html": bytes,
        "kule.htm.gz": gzip.compress,
        "kule.html.zst": zstandard.compress,
    }.items():
        (tmp_path / name).write_bytes(pack(page().encode()))
        (document,) = read(tmp_path / name)
        assert isinstance(document, Document)
        assert (document.id, document.source) == (name, "kule")
        check_text(document.text)


@pytest.mark.parametrize(
    ("encoding", "meta"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("utf-8", '<meta charset="iso-8859-9">'),  # what is valid UTF-8 is nothing else
        ("cp1254", '<meta charset="windows-1254">'),
        ("cp1254", '<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-9">'),
        ("cp1254", '<meta charset="utf-8">'),
        ("cp1254", '<meta charset="punycode">'),
        ("cp1254", '<meta charset="undefined">'),
        ("cp1254", '<meta charset="no-such-thing">'),
        ("cp1254", ""),
    ],
)
def test_encodings_are_found_out(tmp_path: Path, encoding: str, meta: str) -> None:
    path = tmp_path / "kule.html"
    path.write_bytes(page(meta).encode(encoding))
    (document,) = read(path)
    check_text(document.text)


def test_whole_pages_are_told_from_texts_about_them() -> None:
    for text in (
        page(),
        f"\ufeff\n  <!-- sürüm 2 --><HTML><body>{BODY[0]}</body></HTML>",
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0">'
        "<html><head></head></html>",
    ):
        assert web.is_html_page(text)
    for text in (
        "",
        BODY[0],
        "<html> etiketi bir belgenin köküdür; içine başka etiketler yazılır.",
        f"Şöyle yazın: {page()}",
        f"<p>{BODY[0]}</p>",
        "<htmlx><body></body></htmlx>",
    ):
        assert not web.is_html_page(text)


def test_a_page_without_text_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "bos.html"
    path.write_text("<html><body><nav><img alt='Kule'></nav></body></html>", encoding="utf-8")
    (reject,) = read(path)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.id, reject.source) == ("no_main_text", "bos.html", "bos")
    assert "Kule" in reject.text
    path.write_bytes(b"<html><body><p>" + b"a " * web.MAX_PAGE_BYTES)
    (reject,) = read(path)
    assert isinstance(reject, Reject)
    assert reject.reason == "page_too_long" and len(reject.text) == web.SHOWN_CHARS
    assert web.extract_main_text("<html><body><p>" + "a " * web.MAX_PAGE_BYTES) is None


MALICE = {
    "attributes": "<html><body><p " + " ".join(f"a{n}=1" for n in range(200_000)) + ">",
    "attributes, never closed": "<html><body><p " + " ".join(f"a{n}=1" for n in range(200_000)),
    "attributes with brackets": "<html><body><p " + "".join(f"a{n}=1 <b " for n in range(100_000)),
    "nested": "<html><body>" + "<div>" * 100_000,
    "nested spans": "<html><body><p>" + "<span>" * 100_000,
    "tables in tables": "<html><body>" + "<table><tr><td>" * 40_000,
    "brackets": "<html><body>" + "<" * 1_000_000,
    "comment": "<html><body><!--" + "-" * 1_000_000,
    "entities": "<html><body><p>" + "&amp;&uuml;" * 100_000,
    "doctype": "<!doctype html [" + '<!ENTITY a "&b;&b;">' * 10_000 + "]><html><body>&a;",
}


@pytest.mark.parametrize("kind", sorted(MALICE))
def test_malicious_pages_do_not_hold_up_the_rest(kind: str) -> None:
    """Without the limits of `web.py` some of these took minutes or gigabytes."""
    web.is_html_page(MALICE[kind])
    text = web.extract_main_text(MALICE[kind] + "".join(f"<p>{part}</p>" for part in BODY))
    assert text is None or text.encode()


@pytest.mark.parametrize("noise", ["\0", "\x01\x0b", "\N{REPLACEMENT CHARACTER}"])
def test_control_characters_do_not_hide_a_page(noise: str) -> None:
    text = web.extract_main_text(
        page().replace("Kulenin bekçisi", f"{noise}Kulenin bekçisi{noise}")
    )
    assert text is not None and BODY[0] in text and "bekçisi" in text


def test_an_image_in_a_tag_costs_no_text() -> None:
    image = f'<img alt="kule" src="data:image/png;base64,{"A" * 50_000}">'
    text = web.extract_main_text(page().replace("</h1>", f"</h1>{image}"))
    assert text is not None
    check_text(text)


def records() -> list[tuple[str, str, str, list[tuple[str, str]], bytes]]:
    """(record type, URL, status, HTTP headers, body)."""
    html = ("Content-Type", "text/html; charset=utf-8")
    turkish = ("Content-Type", "text/html; charset=windows-1254")
    good = page("").encode()
    packed = [html, ("Content-Encoding", "gzip")]
    return [
        ("warcinfo", "", "", [], b"software: test\r\n"),
        ("request", "https://ilce.example/kule", "", [], b"GET /kule HTTP/1.1\r\n\r\n"),
        ("response", "https://ilce.example/kule", "200 OK", [html], good),
        (
            "response",
            "http://Eski.example:8080/a?b=1",
            "200 OK",
            [turkish],
            page("").encode("cp1254"),
        ),
        (
            "response",
            "https://ilce.example/logo.png",
            "200 OK",
            [("Content-Type", "image/png")],
            good,
        ),
        ("response", "https://ilce.example/adsiz", "200 OK", [], good),
        ("response", "https://ilce.example/yok", "404 Not Found", [html], good),
        ("response", "https://ilce.example/bos", "200 OK", [html], b"<html></html>"),
        ("response", "https://ilce.example/paketli", "200 OK", packed, gzip.compress(good)),
        ("response", "https://ilce.example/bozuk", "200 OK", packed, gzip.compress(good)[:-300]),
        ("resource", "https://ilce.example/dosya", "", [], good),
        ("response", "<https://koseli.example/>", "200 OK", [html], good),
        ("response", "https://ilce.example/son", "200 OK", [html], good),
    ]


def write_warc(path: Path, *, gzipped: bool) -> bytes:
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=gzipped)
    for kind, url, status, headers, body in records():
        http = StatusAndHeaders(status, headers, protocol="HTTP/1.1") if status else None
        record = writer.create_warc_record(
            url or "urn:x", kind, payload=io.BytesIO(body), http_headers=http
        )
        writer.write_record(record)
    path.write_bytes(stream.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.warc.zst"])
def test_warc_gives_its_html_responses(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = write_warc(path, gzipped=name.endswith(".gz"))
    if name.endswith(".zst"):
        path.write_bytes(zstandard.compress(data))
    found = read(path)
    assert [(record.id, record.source) for record in found[:2]] == [
        ("https://ilce.example/kule", "ilce.example"),
        ("http://Eski.example:8080/a?b=1", "eski.example"),
    ]
    fates = {r.id: r.reason if isinstance(r, Reject) else "" for r in found}
    broken = fates.pop("https://ilce.example/bozuk")
    assert broken in ("", "no_main_text")  # half a packed page is a page that ends early
    assert fates == {
        "https://ilce.example/kule": "",
        "http://Eski.example:8080/a?b=1": "",
        "https://ilce.example/bos": "no_main_text",
        "https://ilce.example/paketli": "",
        "https://koseli.example/": "",
        "https://ilce.example/son": "",
    }
    for record in found:
        if fates.get(record.id) == "":
            check_text(record.text)


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
@pytest.mark.parametrize("cut", [40, 700, 3000])
def test_a_cut_off_warc_is_an_error(tmp_path: Path, name: str, cut: int) -> None:
    path = tmp_path / name
    data = write_warc(path, gzipped=name.endswith(".gz"))
    path.write_bytes(data[:-cut])
    records = read_file(path, CorpusConfig.model_validate({"inputs": ("x",), "out": "unused"}))
    found = []
    with pytest.raises(InputError, match=r"damaged or truncated|no readable WARC") as caught:
        for record in records:
            found.append(record.id)
    assert caught.value.where == str(path)
    if name == "a.warc":  # of the packed one not a block comes out
        assert found[0] == "https://ilce.example/kule"
    assert "https://ilce.example/son" not in found


def test_what_is_no_warc_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_text("Bu bir WARC değil.\n" * 100, encoding="utf-8")
    with pytest.raises(InputError, match="no readable WARC"):
        read(path)


def test_a_bomb_in_a_response_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.warc.gz"
    stream = io.BytesIO()
    writer = WARCWriter(stream, gzip=True)
    headers = [("Content-Type", "text/html"), ("Content-Encoding", "gzip")]
    http = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1")
    bomb = gzip.compress(b"<html><body><p>" + b"a " * 100_000_000, 1)
    writer.write_record(
        writer.create_warc_record(
            "http://bomb.example/", "response", payload=io.BytesIO(bomb), http_headers=http
        )
    )
    path.write_bytes(stream.getvalue())
    (reject,) = read(path)
    assert isinstance(reject, Reject) and reject.reason == "page_too_long"


def words(text: str) -> Counter[str]:
    return Counter(word.lower() for word in re.findall(r"\w+", text))


def test_extraction_holds_its_measured_quality(shared: Path) -> None:
    texts: dict[str, str] = {}
    pages: list[dict[str, str]] = []
    for name in ("tr-blog", "tr-blog-2", "tr-raw-messy"):
        for line in read_lines(shared / "corpus" / f"{name}.jsonl.zst"):
            record = json.loads(line.data or b"")
            texts[record["id"]] = record["text"]
            if record.get("noise") == "html-page-with-navigation":
                pages.append(record)
    found, expected, common = Counter[str](), Counter[str](), 0
    template = words(
        "Bir şeyler bu yazıda doğru ya da eksik değil mi? Düzenleyin ve pull request Oluşturun"
    )
    pages = [record for record in pages if record["ref"] in texts]
    assert len(pages) > 100
    for record in pages:
        assert web.is_html_page(record["text"])
        text, reference = (
            words(web.extract_main_text(record["text"]) or ""),
            words(texts[record["ref"]]),
        )
        text -= template  # under every page; the boilerplate step's business
        common += (text & reference).total()
        found += text
        expected += reference
    assert common / expected.total() > 0.96
    assert 1 - common / found.total() < 0.01


def test_the_installed_command_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['trafilatura'] = None\n"
        "from dilmac.corpus.read.web import extract_main_text\n"
        "try: extract_main_text('<html>')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "MissingDependencyError" in done.stdout and "pip install 'dilmac[web]'" in done.stdout
