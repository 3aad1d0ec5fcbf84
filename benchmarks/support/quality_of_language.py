"""Part of `corpus_quality.py`: which documents the language step keeps."""

from __future__ import annotations

from collections import Counter
from typing import Any

from dilmac.corpus import CorpusConfig
from dilmac.corpus.steps.language import identify_all, is_ascii_only, language_fault
from dilmac.corpus.steps.repair import repair
from dilmac.turkish import fold

Records = dict[str, list[dict[str, Any]]]
CONFIG = CorpusConfig(inputs=("-",), out="-")  # type: ignore[arg-type]
MIN_WORDS = CONFIG.min_words  # shorter documents are rejected for that


def kept_of(texts: list[str]) -> list[bool]:
    """Whether the language step keeps each text, after repair."""
    found = identify_all([repair(text) for text in texts])
    return [not language_fault(language, score, CONFIG) for language, score in found]


def language_section(messy: Records, clean: list[dict[str, Any]]) -> None:
    """Foreign documents removed, Turkish ones kept, ASCII-only ones kept and marked."""
    print("\n### Language\n")
    print("| documents | language | kept | share |")
    print("|---|---|---|---|")
    foreign = messy["other-language"]
    kept = kept_of([record["text"] for record in foreign])
    by_language = Counter(record["lang"] for record in foreign)
    wrongly = Counter(r["lang"] for r, is_kept in zip(foreign, kept, strict=True) if is_kept)
    for language, count in sorted(by_language.items()):
        print(f"| news | {language} | {wrongly[language]} of {count} | |")
    removed = 1 - sum(kept) / len(kept)
    print(
        f"| news in other languages, all | | {sum(kept)} of {len(kept)} | removed {removed:.1%} |"
    )
    for noise in ("wrong-or-mixed-language", "mixed-language-partial-translation"):
        _row(noise, "mixed", [record["text"] for record in messy[noise]])
    long_enough = [r["text"] for r in clean if len(r["text"].split()) >= MIN_WORDS]
    _row("clean shards", "tr", long_enough)
    turkish = [
        record["text"]
        for noise, records in messy.items()
        for record in records
        if record["lang"] == "tr"
        and noise not in ("too-short", "symbol-soup", "html-page-with-navigation")
    ]
    _row("messy shard, without pages, symbol soup and short ones", "tr", turkish)
    _row("messy shard, asciified", "tr", [record["text"] for record in messy["asciified"]])
    folded = [fold(text) for text in long_enough[::4]]
    _row("clean shards, folded to ASCII", "tr", folded)
    marked = sum(map(is_ascii_only, folded))
    print(
        f"| of these marked as ASCII-only | | {marked} of {len(folded)} "
        f"| {marked / len(folded):.1%} |"
    )
    falsely = sum(map(is_ascii_only, long_enough))
    print(f"| clean shards marked as ASCII-only | | {falsely} of {len(long_enough)} | |")


def _row(name: str, language: str, texts: list[str]) -> None:
    kept = sum(kept_of(texts))
    print(f"| {name} | {language} | {kept:,} of {len(texts):,} | kept {kept / len(texts):.1%} |")
