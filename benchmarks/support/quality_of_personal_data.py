"""Part of `corpus_quality.py`: planted personal data found, and clean text left alone."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from dilmac.corpus.steps.personal import find_personal_data
from personal_data import Recall, find_in_clean, measure, plant

Records = dict[str, list[dict[str, Any]]]
NUM_PLANTED = 12_000
SEED = 11


def personal_section(messy: Records, clean: list[dict[str, Any]]) -> None:
    """Recall by kind over all spellings, and every place found in clean text."""
    texts = [record["text"] for record in clean]
    recalls = measure(plant(SEED, texts, NUM_PLANTED))
    by_kind: dict[str, list[tuple[str, Recall]]] = defaultdict(list)
    for (kind, spelling), recall in recalls.items():
        by_kind[kind].append((spelling, recall))
    print(f"\n### Personal data: {NUM_PLANTED:,} planted\n")
    print("| kind | spellings | planted | recall | worst spelling |")
    print("|---|---|---|---|---|")
    for kind, some in by_kind.items():
        planted = sum(recall.planted for _, recall in some)
        found = sum(recall.found for _, recall in some)
        spelling, worst = min(some, key=lambda item: item[1].share)
        print(
            f"| {kind} | {len(some)} | {planted} | {found / planted:.4f} "
            f"| {spelling} {worst.share:.3f} |"
        )
    records = messy["pii-synthetic"]
    with_data = sum(bool(find_personal_data(record["text"])) for record in records)
    print(f"\nMessy shard: data found in {with_data} of {len(records)} `pii-synthetic` records.")
    listed, num_bytes, seconds = find_in_clean(texts)
    megabytes = num_bytes / 1e6
    print(
        f"\nIn {len(texts):,} clean documents ({megabytes:.1f} MB, "
        f"{megabytes / seconds:.0f} MB/s): {len(listed)} places, "
        f"{len(listed) / megabytes:.2f} a MB, to be judged by a person:\n"
    )
    for place, _ in listed:
        print(f"- {place.kind}: `{place.text}`")
