"""Part of `corpus_quality.py`: planted near-duplicates, found and not found."""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

from dilmac.core import JsonlWriter, read_records
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.words import ngram_hashes, word_table

Records = dict[str, list[dict[str, Any]]]
MAX_CHARACTERS = 8000  # the messy shard's documents are cut there, so their originals are, too
TRULY_ALIKE = 0.5  # share of common 5-word runs from which a pair that was not planted counts
SCHEMES = {
    "20 bands of 6, compared (default)": {},
    "14 bands of 8 (FineWeb-2's), compared": {"bands": 14, "hashes_per_band": 8},
    "14 bands of 8, not compared": {"bands": 14, "hashes_per_band": 8, "min_similarity": 0.0},
}


def dedup_section(messy: Records, originals: dict[str, str], clean: list[dict[str, Any]]) -> None:
    """Recall over planted pairs, precision over all pairs that were taken for the same."""
    texts, planted = _documents(messy, originals, clean)
    print(f"\n### Near-duplicates: {len(planted)} planted pairs among {len(texts):,} documents\n")
    print("| scheme | recall | pairs found | precision | not planted and unlike |")
    print("|---|---|---|---|---|")
    runs = {name: _runs(text) for name, text in texts.items()}
    for scheme, settings in SCHEMES.items():
        kept_by = _deduplicate(texts, settings)
        same = [(a, b) for a, b in planted if kept_by.get(a, a) == kept_by.get(b, b)]
        pairs = [(gone, stays) for gone, stays in kept_by.items() if gone != stays]
        wrong = [
            (gone, stays)
            for gone, stays in pairs
            if (gone, stays) not in planted
            and (stays, gone) not in planted
            and _alike(runs[gone], runs[stays]) < TRULY_ALIKE
        ]
        precision = 1 - len(wrong) / len(pairs)
        recall = len(same) / len(planted)
        print(f"| {scheme} | {recall:.3f} | {len(pairs)} | {precision:.3f} | {len(wrong)} |")
        for gone, stays in wrong[:5]:
            print(f"|  {gone} / {stays}: {_alike(runs[gone], runs[stays]):.2f} |||||")


def _documents(
    messy: Records, originals: dict[str, str], clean: list[dict[str, Any]]
) -> tuple[dict[str, str], set[tuple[str, str]]]:
    texts: dict[str, str] = {}
    copies: dict[str, list[str]] = {}
    for record in [*messy["near-duplicate"], *messy["exact-duplicate"]]:
        name = record["id"]
        texts[name] = record["text"]
        copies.setdefault(record["ref"], [f"original {record['ref']}"]).append(name)
    for reference in copies:
        texts[f"original {reference}"] = originals[reference][:MAX_CHARACTERS]
    for record in clean:
        if record["id"] not in copies:
            texts[record["id"]] = record["text"]
    planted = {pair for names in copies.values() for pair in combinations(names, 2)}
    return texts, planted


def _deduplicate(texts: dict[str, str], settings: dict[str, Any]) -> dict[str, str]:
    """The id of the document that stays, for each that goes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "in.jsonl.zst")
        writer = JsonlWriter(path, level=1)
        for name, text in texts.items():
            writer.write({"id": name, "text": text})
        writer.close()
        config = CorpusConfig(
            inputs=(str(path),), out=Path(folder, "out"), steps=("deduplicate",), **settings
        )
        out = build_corpus(config).path
        rejects = read_records([out / "rejects.jsonl.zst"])
        return {str(reject["id"]): str(reject["kept"]) for reject in rejects}


def _runs(text: str) -> set[int]:
    return set(ngram_hashes(word_table([text]).hashes, 5).tolist())


def _alike(one: set[int], other: set[int]) -> float:
    return len(one & other) / max(1, len(one | other))
