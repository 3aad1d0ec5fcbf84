"""The work of `dilmac corpus build`, done by datatrove: the rival of `corpus_speed.py`.

FineWeb-2's filters with its Turkish thresholds → MinHash in four stages (14 bands of 8 hashes over
word 5-grams, xxhash of 64 bits), on datatrove's local executor. Neither side identifies languages:
datatrove's filter needs a model that it downloads.

Settings are those that made datatrove quickest here (10 MB, 2 workers):
- filters before MinHash, signatures made in the pass that filters: 24.1 s against 26.5 in the
  order of FineWeb-2 with spaCy's words, no difference with words between spaces;
- the input divided into one file per worker beforehand, not timed (datatrove deals out whole
  files); two or four files per worker are no quicker;
- workers forked after the imports: 6.5 s against 8.4 for datatrove's default, a fork server.
In its favor without a measurement: nothing it writes is packed, and signatures are read at once.
Number normalization in MinHash stays on, as in FineWeb-2: on real text it changed one document
of 2,400 (a made-up text of `word17 word4` would collapse).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zstandard
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer, load_word_tokenizer

TOKENIZERS = ("spacy", "whitespace")

# FineWeb-2, configs/tur_Latn.yml; what it leaves at datatrove's defaults or changes for every
# language is as in its fineweb-2-pipeline.py.
REPETITION: dict[str, Any] = {
    "dup_line_frac": 0.272,
    "dup_para_frac": 0,
    "dup_line_char_frac": 0,
    "dup_para_char_frac": 0,
    "top_n_grams": ((2, 0.214), (3, 0.168), (4, 0.147)),
    "dup_n_grams": ((5, 0.154), (6, 0.144), (7, 0.134), (8, 0.124), (9, 0.113), (10, 0.103)),
}
FINEWEB: dict[str, Any] = {
    "line_punct_thr": 0.091,
    "short_line_thr": 999,
    "char_duplicates_ratio": 0.1,
    "new_line_ratio": 0.222,
}
STOP_WORDS = "ve bir olarak bu ile için olan da de tarafından yılında sonra en daha ilk the"
QUALITY: dict[str, Any] = {
    "min_avg_word_length": 3,
    "max_avg_word_length": 21,
    "max_non_alpha_words_ratio": 0.773,
    "min_stop_words": 2,
    "stop_words": STOP_WORDS.split(),
}


@dataclass(frozen=True)
class Job:
    """A run of datatrove: what, where, and the settings that were tried against each other."""

    folder: str
    workers: int
    tokenizer: str
    tasks: int = 0  # 0: one for each worker
    order: str = "filters-first"  # or "minhash-first", FineWeb-2's
    norm_numbers: bool = True
    keep_rejects: bool = True
    start_method: str = "fork"


@dataclass(frozen=True)
class Outcome:
    """What a side did: seconds on the wall and of all cores, ids kept, why others were not."""

    seconds: float
    cpu_seconds: float
    kept: frozenset[str]
    reasons: dict[str, str]  # of each rejected id


class SpaceTokenizer(WordTokenizer):
    """Words are what stands between spaces: the quickest tokenizer that Python has."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return text.splitlines()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise AssertionError(f"neither filters nor MinHash ask for places: {text[:20]!r}")


SPACE_TOKENIZER = SpaceTokenizer()


def run_datatrove(
    input_path: Path, work_folder: Path, workers: int, tokenizer: str, **settings: Any
) -> Outcome:
    """Run the whole job in a process of its own, held to `workers` cores.

    The time is taken inside, from before the first stage to after the last: without the start of
    Python and the imports. What remains of start-up (four pools of processes) shows in a run on
    a file of a few documents.
    """
    job = Job(str(work_folder), workers, tokenizer, **settings)
    divide(input_path, work_folder / "input", job.tasks or job.workers)
    timing = work_folder / "timing.json"
    with (work_folder / "log.txt").open("wb") as log:
        command = [sys.executable, __file__, json.dumps(asdict(job)), str(timing)]
        subprocess.run(command, stdout=log, stderr=log, env=environment(), check=True)
    took = json.loads(timing.read_text())
    rejected = dict(_rejected(work_folder / "rejects"))
    kept = frozenset(line["id"] for line in _lines(work_folder / "output"))
    return Outcome(took["seconds"], took["cpu_seconds"], kept, rejected)


def environment() -> dict[str, str]:
    """One thread per process in the numeric libraries: cores are shared out by processes."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return os.environ | dict.fromkeys(threads, "1")


def divide(path: Path, folder: Path, parts: int) -> None:
    """Deal the lines of a packed JSONL file to `parts` packed files."""
    folder.mkdir(parents=True)
    packers = [zstandard.ZstdCompressor(level=1) for _ in range(parts)]
    outs = [
        zstandard.open(folder / f"{number:03d}.jsonl.zst", "wb", cctx=packer)
        for number, packer in enumerate(packers)
    ]
    with zstandard.open(path, "rb") as lines:
        for number, line in enumerate(_split(lines)):
            outs[number % parts].write(line + b"\n")
    for out in outs:
        out.close()


def _split(stream: Any) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines


def _lines(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def _rejected(folder: Path) -> Iterator[tuple[str, str]]:
    for name in sorted(path.name for path in folder.glob("*")):
        for line in _lines(folder / name):
            yield line["id"], line.get("metadata", {}).get("filter_reason", name)


class Pipeline:
    """datatrove's stages for a job."""

    def __init__(self, job: Job):
        self.job = job
        self.folder = Path(job.folder)
        self.words: Any = SPACE_TOKENIZER if job.tokenizer == "whitespace" else "tur_Latn"
        self.config = MinhashConfig(
            n_grams=5,
            num_buckets=14,
            hashes_per_bucket=8,
            norm_config=TextNormConfig(norm_numbers=job.norm_numbers),
            hash_config=HashConfig(precision=64, hash_fc="xxhash"),
        )

    def run(self) -> None:
        tasks = self.job.tasks or self.job.workers
        if self.job.order == "filters-first":
            first = [self.read("input"), *self.filters(), self.write("passed")]
            last = [self.read("passed"), self.unique(), self.write("output")]
        else:
            first = [self.read("input"), self.write("passed")]
            last = [self.read("passed"), self.unique(), *self.filters(), self.write("output")]
        signatures, buckets, removed = (
            str(self.folder / name) for name in ("signatures", "buckets", "removed")
        )
        self.stage("1", [*first, self.signature(signatures)], tasks)
        pairs = MinhashDedupBuckets(signatures, buckets, config=self.config, lines_to_buffer=-1)
        self.stage("2", [pairs], self.config.num_buckets)
        cluster = MinhashDedupCluster(buckets, removed, config=self.config, lines_to_buffer=-1)
        self.stage("3", [cluster], 1)
        self.stage("4", last, tasks)

    def stage(self, name: str, steps: list[PipelineStep], tasks: int) -> None:
        LocalPipelineExecutor(
            pipeline=steps,
            tasks=tasks,
            workers=min(tasks, self.job.workers),
            logging_dir=str(self.folder / "logs" / name),
            start_method=self.job.start_method,
        ).run()

    def read(self, name: str) -> PipelineStep:
        return JsonlReader(str(self.folder / name), add_file_path=False)

    def write(self, name: str) -> PipelineStep:
        return JsonlWriter(str(self.folder / name), compression=None)

    def rejects(self, name: str) -> PipelineStep | None:
        if not self.job.keep_rejects:
            return None
        return JsonlWriter(str(self.folder / "rejects" / name), compression=None)

    def filters(self) -> list[PipelineStep]:
        """In the order of FineWeb-2."""
        return [
            GopherRepetitionFilter(
                **REPETITION, language=self.words, exclusion_writer=self.rejects("repetition")
            ),
            FineWebQualityFilter(
                **FINEWEB, language=self.words, exclusion_writer=self.rejects("fineweb")
            ),
            GopherQualityFilter(
                **QUALITY, language=self.words, exclusion_writer=self.rejects("quality")
            ),
        ]

    def signature(self, folder: str) -> PipelineStep:
        return MinhashDedupSignature(folder, config=self.config, language=self.words)

    def unique(self) -> PipelineStep:
        return MinhashDedupFilter(
            str(self.folder / "removed"),
            exclusion_writer=self.rejects("duplicate"),
            lines_to_buffer=-1,
        )


def main(job_json: str, timing: str) -> None:
    """Run a job and write its seconds: `python datatrove_peer.py JOB TIMING` (see Job)."""
    job = Job(**json.loads(job_json))
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.workers])
    words = SPACE_TOKENIZER if job.tokenizer == "whitespace" else load_word_tokenizer("tur_Latn")
    words.word_tokenize("Hepsi önceden yüklenir.")
    started, cpu = time.perf_counter(), _cpu_seconds()
    Pipeline(job).run()
    seconds = time.perf_counter() - started
    took = {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu}
    Path(timing).write_text(json.dumps(took))


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def reason_counts(outcome: Outcome) -> dict[str, int]:
    """How many documents each rule rejected, most first."""
    return dict(Counter(outcome.reasons.values()).most_common())


if __name__ == "__main__":
    main(*sys.argv[1:])
