"""datatrove hands out the same stages: the same documents come out, whoever runs them."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from corpora import documents, large_text, write
from dilmac.core import ConfigError, DilmacError, read_documents
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.run import datatrove as engine
from dilmac.turkish import upper


def sources(folder: Path) -> tuple[str, ...]:
    folder.mkdir()
    paths = []
    for number in range(3):
        texts = documents(40 + number)[number:]
        lines = [{"text": text} for text in texts]
        lines += [{"text": upper(text)} for text in texts[:5]]
        lines.append({"text": "English only. " * 9})
        paths.append(write(folder / f"source{number}.jsonl", lines))
    return tuple(map(str, paths))


def contents(corpus: Path) -> set[tuple[str, str]]:
    """Split and text of every document. Of equal texts any one's id may stay."""
    return {
        (split, document["text"])
        for split in ("train", "heldout")
        for document in read_documents(corpus, split)
    }


def build(inputs: tuple[str, ...], out: Path, **settings: Any) -> tuple[set[Any], dict[str, Any]]:
    values = {"inputs": inputs, "out": out, "holdout_percent": 5, **settings}
    artifact = build_corpus(CorpusConfig.model_validate(values))
    assert not (artifact.path / "work").exists()
    return contents(artifact.path), artifact.figures


Found = tuple[set[Any], dict[str, Any]]  # contents and figures


def assert_same(one: Found, other: Found) -> None:
    assert one[0] == other[0] and len(one[0]) > 30
    for figure in ("documents_read", "documents_kept", "rejected", "text_bytes_kept"):
        assert one[1][figure] == other[1][figure], figure


@pytest.mark.parametrize("workers", [2, 5])
def test_the_local_executor_gives_the_same_documents(tmp_path: Path, workers: int) -> None:
    inputs = sources(tmp_path / "in")
    builtin = build(inputs, tmp_path / "builtin")
    assert builtin[1]["rejected"]["duplicate"] >= 15
    settings = {"engine": "datatrove", "workers": workers}
    assert_same(builtin, build(inputs, tmp_path / "datatrove", **settings))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # datatrove's calls of Ray
def test_ray_gives_the_same_documents(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    text = large_text(tmp_path / "large.jsonl", 12_000)  # several parts
    inputs = (*sources(tmp_path / "in"), str(text))
    builtin = build(inputs, tmp_path / "builtin", workers=2)
    settings = {"engine": "datatrove", "executor": "ray", "workers": 2}
    try:
        assert_same(builtin, build(inputs, tmp_path / "ray", **settings))
    finally:
        import ray

        ray.shutdown()


SBATCH = """#!{python}
# Stands in for Slurm's sbatch: runs the array's tasks one after the other, here and now.
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
last = int(re.search(r"array=0-(\\d+)", script)[1])
for task in range(last + 1):
    environment = dict(os.environ, SLURM_ARRAY_TASK_ID=str(task), SLURM_JOB_ID="7", RUN_OFFSET="0",
                       SLURM_ARRAY_JOB_ID="7", SLURM_NODELIST="here", SLURM_NODEID="0")
    subprocess.run(["bash", "-c", script], env=environment, stdout=2, stderr=2)
print("Submitted batch job 7")
"""
SRUN = '#!/bin/sh\nwhile [ "$1" != launch_pickled_pipeline ]; do shift; done\nexec "$@"\n'
SCONTROL = "#!/bin/sh\necho here\n"
SQUEUE = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def slurm_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the commands of Slurm: what we hand to them is what is tested."""
    folder = tmp_path / "bin"
    folder.mkdir()
    texts = {"sbatch": SBATCH.format(python=sys.executable), "srun": SRUN}
    texts |= {"scontrol": SCONTROL, "squeue": SQUEUE}
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(stat.S_IRWXU)
    paths = [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(paths))
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.1)
    return folder


@pytest.mark.slow
def test_slurm_jobs_are_handed_in_and_waited_for(tmp_path: Path, slurm_commands: Path) -> None:
    inputs = sources(tmp_path / "in")
    settings = {"engine": "datatrove", "executor": "slurm", "partition": "cpu", "workers": 2}
    found = build(inputs, tmp_path / "slurm", **settings)
    assert_same(build(inputs, tmp_path / "builtin"), found)


def test_slurm_without_its_commands_or_a_partition_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = sources(tmp_path / "in")
    settings = {"engine": "datatrove", "executor": "slurm"}
    with pytest.raises(ConfigError, match="is missing"):
        build(inputs, tmp_path / "c", **settings)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="no sbatch"):
        build(inputs, tmp_path / "c", partition="cpu", **settings)


# In a process of its own: its tasks are forked, so that they see the failure, and a fork of a
# process with threads (this one) may wait for a lock that no thread of it will open.
FAILING = """
import sys
from dilmac.core import DilmacError
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.run import datatrove, divide

real, (out, broken, *inputs) = divide.read_source, sys.argv[1:]

def failing(source, config):
    if source.place == broken:
        raise RuntimeError("the disk is on fire")
    return real(source, config)

divide.read_source, datatrove.START_METHOD = failing, "fork"
try:
    build_corpus(CorpusConfig(inputs=inputs, out=out, engine="datatrove", workers=3))
except DilmacError as error:
    print(error)
"""


def test_tasks_that_fail_are_told(tmp_path: Path) -> None:
    inputs = sources(tmp_path / "in")
    command = [sys.executable, "-c", FAILING, str(tmp_path / "c"), inputs[1], *inputs]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "on fire" in told.stdout
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_input_is_told_as_on_one_machine(tmp_path: Path, workers: int) -> None:
    inputs = sources(tmp_path / "in")
    cut = tmp_path / "cut.jsonl.zst"
    cut.write_bytes(zstandard.compress(Path(inputs[0]).read_bytes())[:-5])
    with pytest.raises(DilmacError, match="damaged or truncated"):
        build((*inputs, str(cut)), tmp_path / "c", engine="datatrove", workers=workers)


def test_our_steps_run_in_a_datatrove_pipeline() -> None:
    from datatrove.data import Document

    good = documents(3)
    texts = [good[0], good[1].encode().decode("latin-1"), "This is English. " * 20, good[2]]
    step = engine.DilmacSteps(["repair", "language"])
    found = list(step.run(iter([Document(text=text, id="same") for text in texts])))
    assert [document.text for document in found] == good
    assert {name: stat.total for name, stat in step.stats.stats.items()} == {
        "kept": 3,
        "rejected_other_language": 1,
    }
