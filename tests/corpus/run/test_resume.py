"""A corpus killed at any moment and repeated has the bytes of one that was left alone."""

import random
from contextlib import closing
from pathlib import Path

import pytest

from corpora import documents, large_text, write
from dilmac.core import InputError, UnreadableInputError, open_artifact
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.run import divide
from dilmac.corpus.run.workers import Workers
from killing import kill_dilmac_when, run_dilmac, start_dilmac


@pytest.mark.slow
def test_a_build_killed_ten_times_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    text = large_text(tmp_path / "text.jsonl", 42_000)  # about 40 MB: ten parts
    calm = tmp_path / "calm"
    flags = ["corpus", "build", str(text), "--workers", "2"]
    assert run_dilmac(*flags, "--out", str(calm)).returncode == 0
    killed = tmp_path / "killed"
    work = tmp_path / ".killed.partial" / "work"
    draw = random.Random(3)
    moments = [("clean", n) for n in (0, 1, 3, 6, 9)] + [("sketch", n) for n in (1, 5)]
    moments += [("dedup", 1), ("final", 1), ("final", 6)]
    reached = 0
    for stage, count in moments:
        pattern = "*.npy" if stage == "dedup" else "*.json"

        def is_there(stage: str = stage, pattern: str = pattern, count: int = count) -> bool:
            done = len(list((work / stage).glob(pattern)))
            return work.is_dir() and done >= count and draw.random() < 0.3

        reached += kill_dilmac_when(is_there, *flags, "--out", str(killed))
        assert not killed.exists()
    assert reached == len(moments)
    assert run_dilmac(*flags, "--out", str(killed)).returncode == 0
    one, other = open_artifact(calm), open_artifact(killed)
    assert one.manifest.digest == other.manifest.digest
    assert one.figures == other.figures
    assert one.figures["rejected"]["near_duplicate"] > 1000
    assert not work.exists()


def test_the_number_of_workers_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "in.jsonl", [{"text": text} for text in documents(60)])
    config = CorpusConfig(inputs=(str(path),), out=tmp_path / "one", workers=1)
    one = build_corpus(config)
    two = build_corpus(config.model_copy(update={"out": tmp_path / "two", "workers": 2}))
    assert one.manifest.digest == two.manifest.digest
    monkeypatch.setattr(divide, "PART_CHARACTERS", 2000)
    parts = build_corpus(config.model_copy(update={"out": tmp_path / "parts"}))
    assert parts.figures == one.figures


@pytest.mark.slow
@pytest.mark.parametrize("others", [("--engine", "datatrove"), ("--workers", "1")])
def test_another_engine_goes_on_where_one_was_killed(
    tmp_path: Path, others: tuple[str, str]
) -> None:
    texts = [large_text(tmp_path / f"text{number}.jsonl", 9_000, number) for number in range(3)]
    flags = ["corpus", "build", *map(str, texts), "--steps", "language", "--steps", "quality"]
    flags += ["--out", str(tmp_path / "killed")]
    done = tmp_path / ".killed.partial" / "work" / "clean"
    assert kill_dilmac_when(lambda: any(done.glob("*.json")), *flags, "--workers", "2")
    assert run_dilmac(*flags, *others).returncode == 0
    found = open_artifact(tmp_path / "killed")
    config = CorpusConfig(
        inputs=tuple(map(str, texts)), out=tmp_path / "calm", steps=("language", "quality")
    )
    assert build_corpus(config).manifest.digest == found.manifest.digest
    lines = sum(text.read_bytes().count(b"\n") for text in texts)
    assert found.figures["documents_read"] == lines


def test_workers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    import psutil

    text = large_text(tmp_path / "text.jsonl", 30_000)
    process = start_dilmac(
        "corpus", "build", str(text), "--workers", "2", "--out", str(tmp_path / "c"), output=-3
    )
    root = psutil.Process(process.pid)
    workers: list[psutil.Process] = []
    while process.poll() is None and len(workers) < 2:
        workers = [
            child
            for child in root.children(recursive=True)
            if any("spawn_main" in word for word in child.cmdline())
        ]
    assert len(workers) == 2
    root.kill()
    process.wait()
    gone, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive and len(gone) == 2


def _double(number: int) -> int:
    return 2 * number


def _die(number: int) -> int:
    import os

    os._exit(number)


def test_results_come_in_the_order_of_the_tasks() -> None:
    with closing(Workers(2)) as workers:
        assert list(workers.map(_double, range(1))) == [0]
        assert list(workers.map(_double, range(20))) == [2 * n for n in range(20)]
        assert list(workers.map(_double, [])) == []
        assert list(workers.map(_double, range(5))) == [0, 2, 4, 6, 8]


@pytest.mark.slow
def test_a_worker_that_dies_is_told() -> None:
    from dilmac.core import DilmacError

    with (
        closing(Workers(2)) as workers,
        pytest.raises(DilmacError, match="worker process died"),
    ):
        list(workers.map(_die, [3, 4, 5]))


def test_a_run_stopped_while_it_is_hashed_goes_on_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "in.jsonl", [{"text": text} for text in documents(20)])
    config = CorpusConfig(inputs=(str(path),), out=tmp_path / "c")
    calm = build_corpus(config.model_copy(update={"out": tmp_path / "calm"}))

    def stopped(folder: Path, **_: object) -> dict[str, object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("dilmac.core.artifact.record_files", stopped)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(config)
    aside = tmp_path / ".c.work"
    assert (aside / "clean" / "whole").is_file()

    def unread(*args: object) -> None:
        raise AssertionError("the input is read again")

    monkeypatch.setattr(divide, "read_source", unread)
    assert build_corpus(config).manifest.digest == calm.manifest.digest
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c", "calm", "in.jsonl"]


def test_a_fault_of_the_disk_keeps_what_is_done_and_damage_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "in.jsonl", [{"text": text} for text in documents(20)])
    config = CorpusConfig(inputs=(str(path),), out=tmp_path / "c", workers=1)
    real = divide.read_source
    monkeypatch.setattr(divide, "PART_CHARACTERS", 1000)
    for error, is_kept in ((UnreadableInputError, True), (InputError, False)):

        def failing(source: object, config: object, error: type[InputError] = error) -> object:
            yield from list(real(source, config))[:15]  # type: ignore[arg-type]
            raise error("cannot be read (stale file handle)", where=path)

        monkeypatch.setattr(divide, "read_source", failing)
        with pytest.raises(error):
            build_corpus(config)
        done = tmp_path / ".c.partial" / "work" / "clean"
        assert bool(list(done.glob("*.json"))) == is_kept
