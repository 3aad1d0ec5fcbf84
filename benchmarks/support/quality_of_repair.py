"""Part of `corpus_quality.py`: repaired text against the documents that it was made from."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

from rapidfuzz.distance import Levenshtein

from dilmac.corpus.read.web import extract_main_text
from dilmac.corpus.steps.boilerplate import strip_boilerplate
from dilmac.corpus.steps.language import identify, is_ascii_only
from dilmac.corpus.steps.repair import repair

Records = dict[str, list[dict[str, Any]]]
MAX_ERROR = 0.001  # character error of a mended record: 0.1 %
INVERTIBLE = (
    "nfd-decomposed",
    "decomposed-I-dot (I+U+0307) and cedilla s",
    "mojibake-utf8-as-latin1",
    "mojibake-utf8-as-cp1254",
    "mojibake-double",
    "html-entities",
    "invisible-chars (ZWSP,SHY,NBSP,BOM)",
    "homoglyph-cyrillic",
    "boilerplate-banner",
    "none",
)
LOSSY = (
    "asciified",
    "python-lower-dotted-i (i+U+0307)",
    "question-mark-loss",
    "replacement-char-loss",
    "wrong-upper (i→I)",
    "truncated-mid-word",
)


def mended(text: str) -> str:
    """A text after the repair and boilerplate steps."""
    return strip_boilerplate(repair(text))[0]


def error(text: str, original: str) -> float:
    """Character error against the stretch of the original that the record was cut from [0-1]."""
    text, original = text.strip(), original.strip()
    if text == original or original.startswith(text):
        return 0.0
    anchors = {original.find(text[start : start + 30]) - start for start in (0, 60, 200, 500)}
    starts = {anchor for anchor in anchors if anchor >= 0} | {0}
    return min(
        Levenshtein.distance(text, original[start : start + len(text)]) / max(1, len(text))
        for start in starts
    )


def repair_section(messy: Records, originals: dict[str, str]) -> None:
    """Invertible noise: how many records come back, and what became of each of the others."""
    print("\n### Invertible noise: character error against the original at most 0.1 %\n")
    print("| noise | records | mended | share | worst | mended, but for lost bytes | as it came |")
    print("|---|---|---|---|---|---|---|")
    failed: list[str] = []
    for noise in INVERTIBLE:
        records = [record for record in messy[noise] if record["ref"] in originals]
        errors, but_for_lost, untouched = list[float](), 0, 0
        for record in records:
            original, text = originals[record["ref"]], mended(record["text"])
            found = error(text, original)
            errors.append(found)
            # A character whose byte a decoder threw away (U+FFFD) cannot be known.
            known = found - text.count("\ufffd") / max(1, len(text))
            but_for_lost += known <= MAX_ERROR
            untouched += error(record["text"], original) <= MAX_ERROR
            if found > MAX_ERROR:
                failed.append(f"{noise}, `{record['id']}`: {found:.2%}, U+FFFD {text.count('�')}")
        good = sum(found <= MAX_ERROR for found in errors)
        print(
            f"| {noise} | {len(errors)} | {good} | {good / len(errors):.1%} | {max(errors):.2%} "
            f"| {but_for_lost} | {untouched} |"
        )
    print(*("", *(f"- {line}" for line in failed)), sep="\n")


def lossy_section(messy: Records) -> None:
    """Noise that loses information: what can still be known."""
    print("\n### Noise that loses information\n")
    print("| noise | records | Turkish kept | marked ASCII-only | without U+0307 |")
    print("|---|---|---|---|---|")
    for noise in LOSSY:
        texts = [repair(record["text"]) for record in messy[noise]]
        kept = sum(identify(text)[0] == "tr" for text in texts)
        marked = sum(map(is_ascii_only, texts))
        plain = sum("\u0307" not in text for text in texts)
        print(f"| {noise} | {len(texts)} | {kept} | {marked} | {plain} |")


def real_section(messy: Records, originals: dict[str, str]) -> None:
    """Noise that was found and not made."""
    print("\n### Real noise\n")
    print("| noise | records | measure | before | after |")
    print("|---|---|---|---|---|")
    measures = {
        "mojibake-cp1254-as-latin1": ("records with ð þ ý Ð Þ Ý", "[ðþýÐÞÝ]"),
        "hard-wrapped-lines+front-matter": (
            "line breaks inside sentences",
            r"[a-zçğıöşü,]\n[a-zçğıöşü]",
        ),
        "missing-spaces": (
            "marks without a space after them",
            r"[a-zçğıöşü]{3}(?:\.[A-ZÇĞİÖŞÜ][a-zçğıöşü]{2}|[,;][a-zçğıöşü]{3})",
        ),
    }
    for noise, (name, pattern) in measures.items():
        texts = [record["text"] for record in messy[noise]]
        if name.startswith("records"):
            before, after = (
                sum(bool(re.search(pattern, text)) for text in some)
                for some in (texts, map(repair, texts))
            )
        else:
            before, after = (
                sum(len(re.findall(pattern, text)) for text in some)
                for some in (texts, map(repair, texts))
            )
        print(f"| {noise} | {len(texts)} | {name} | {before:,} | {after:,} |")
    _html(messy["html-page-with-navigation"], originals)


def _html(records: list[dict[str, Any]], originals: dict[str, str]) -> None:
    recalls, precisions = [], []
    for record in records:
        original = originals.get(record["ref"])
        if original is None:
            continue
        found = Counter(re.findall(r"\w+", extract_main_text(record["text"]) or ""))
        wanted = Counter(re.findall(r"\w+", original))
        common = (found & wanted).total()
        recalls.append(common / max(1, wanted.total()))
        precisions.append(common / max(1, found.total()))
    mean = [sum(values) / len(values) for values in (recalls, precisions)]
    name = "words of the source found / of the text in the source"
    print(
        f"| html-page-with-navigation | {len(recalls)} | {name} | | {mean[0]:.1%} / {mean[1]:.1%} |"
    )


CAUSES = {
    "soft hyphens and other invisible characters": (
        "[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
    ),
    "unusual spaces": "[\u00a0\u2000-\u200a\u202f\u205f\u3000]",
    "i with a combining dot, decomposed letters": "[\u0300-\u036f]",
    "Cyrillic letters in Latin words": "[\u0400-\u04ff]",
    "control characters": "[\x00-\x08\x0b-\x1f\x7f-\x9f]",
    "markup leftovers, entities": "<|&\\w",
}


def clean_section(clean: list[dict[str, Any]]) -> None:
    """Good text: what repair changes there, each case by its cause, with an example."""
    by_cause: dict[str, list[str]] = defaultdict(list)
    for record in clean:
        text = record["text"].strip()
        repaired = repair(text)
        if repaired != text:
            by_cause[_cause(text, repaired)].append(_shown(record["id"], text, repaired))
    print(f"\n### Repair of {len(clean):,} clean documents\n")
    print("| cause | documents changed | for example |")
    print("|---|---|---|")
    for cause, shown in sorted(by_cause.items(), key=lambda item: -len(item[1])):
        print(f"| {cause} | {len(shown)} | {shown[0]} |")
    for cause, shown in by_cause.items():
        if cause == "other":
            print(*(f"- {example}" for example in shown), sep="\n")


def _cause(text: str, repaired: str) -> str:
    for cause, pattern in CAUSES.items():
        if re.search(pattern, text) and not re.search(pattern, repaired):
            return cause
    for cause, pattern in CAUSES.items():
        if len(re.findall(pattern, text)) != len(re.findall(pattern, repaired)):
            return cause
    if "".join(text.split()) == "".join(repaired.split()):
        joined = repaired.count("\n") < text.count("\n")
        return "lines broken at a column" if joined else "spaces lost after marks"
    return "other"


def _shown(name: str, text: str, repaired: str) -> str:
    place = next(
        (n for n, (a, b) in enumerate(zip(text, repaired, strict=False)) if a != b), len(repaired)
    )
    before, after = (some[max(0, place - 15) : place + 20] for some in (text, repaired))
    return f"`{name}`: {before!r} → {after!r}".replace("|", "/")
