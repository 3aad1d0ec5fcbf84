"""Claim: the corpus steps mend what can be mended, leave good text alone, and know what is to go.

    python benchmarks/corpus_quality.py --corpus DIR

DIR holds `tr-raw-messy.jsonl.zst` (its fields `noise`, `synthetic`, `ref`, `lang` are the truth)
and the clean `tr-*.jsonl.zst` shards that `ref` names documents of.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.core import read_records
from support.measuring import heading
from support.quality_of_dedup import dedup_section
from support.quality_of_language import language_section
from support.quality_of_personal_data import personal_section
from support.quality_of_repair import clean_section, lossy_section, real_section, repair_section

Records = dict[str, list[dict[str, Any]]]
NUM_CLEAN = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/corpus"))
    parser.add_argument("--only", nargs="*", help="repair, clean, language, dedup, personal")
    arguments = parser.parse_args()
    if not (arguments.corpus / "tr-raw-messy.jsonl.zst").is_file():
        print("needs the development data: --corpus DIR")
        return
    print(heading("python benchmarks/corpus_quality.py --corpus DIR"))
    messy = by_noise(arguments.corpus / "tr-raw-messy.jsonl.zst")
    shards = [
        path for path in sorted(arguments.corpus.glob("tr-*.jsonl.zst")) if "messy" not in path.name
    ]
    clean = list(clean_documents(shards, NUM_CLEAN))
    everything = [path for path in arguments.corpus.glob("*.jsonl.zst") if "messy" not in path.name]
    originals = originals_of(messy, sorted(everything))
    sections = {
        "repair": lambda: (
            repair_section(messy, originals),
            lossy_section(messy),
            real_section(messy, originals),
        ),
        "clean": lambda: clean_section(clean),
        "language": lambda: language_section(messy, clean),
        "dedup": lambda: dedup_section(messy, originals, clean),
        "personal": lambda: personal_section(messy, clean),
    }
    for name, section in sections.items():
        if not arguments.only or name in arguments.only:
            section()


def by_noise(path: Path) -> Records:
    """Records of the messy shard by their `noise`."""
    kinds: Records = defaultdict(list)
    for record in read_records([path]):
        kinds[str(record["noise"])].append(record)
    return kinds


def originals_of(messy: Records, shards: list[Path]) -> dict[str, str]:
    """Text of each clean document that a `ref` names."""
    wanted = {record.get("ref") for records in messy.values() for record in records}
    return {
        str(record["id"]): str(record["text"])
        for record in read_records(shards)
        if record.get("id") in wanted and "text" in record
    }


def clean_documents(shards: list[Path], count: int) -> Iterator[dict[str, Any]]:
    """Documents spread evenly over the shards, a shard giving at most its share."""
    left = count
    sized = sorted((list(read_records([shard])) for shard in shards), key=len)
    for place, records in enumerate(sized):
        share = left // (len(sized) - place)
        step = max(1, len(records) / max(1, share))
        chosen = [records[int(n * step)] for n in range(min(share, len(records)))]
        left -= len(chosen)
        yield from chosen


if __name__ == "__main__":
    main()
