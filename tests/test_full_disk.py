"""A disk that runs full: a clear word, exit code 2, and no folder with a final name."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dilmac.core import bundled_instructions
from killing import run_dilmac


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "verb",
    [
        "corpus",
        "tokenizer",
        pytest.param("pretrain", marks=pytest.mark.slow),
        pytest.param("finetune", marks=pytest.mark.slow),
        "export",
    ],
)
def test_a_full_disk_is_said_and_nothing_half_made_is_named(
    verb: str,
    small_disk: Path,
    sample_corpus: Path,
    sample_tokenizer: Path,
    tiny_model: Path,
) -> None:
    out = small_disk / "out"
    corpus, tokenizer = str(sample_corpus), str(sample_tokenizer)
    commands = {
        "corpus": ["corpus", "build", str(bundled_instructions()[0]), "--text-field", "response"],
        "tokenizer": ["tokenizer", "train", "--corpus", corpus, "--vocab-size", "8000"],
        "pretrain": ["pretrain", "--corpus", corpus, "--tokenizer", tokenizer, "--tokens", "3000"],
        "finetune": [
            "finetune",
            "--model",
            str(tiny_model),
            "--data",
            str(bundled_instructions()[0]),
        ],
        "export": ["export", "gguf", "--model", str(tiny_model)],
    }
    (small_disk / "filler").write_bytes(b"x" * 200_000)
    ended = run_dilmac(*commands[verb], "--out", str(out))
    assert ended.returncode == 2, ended.stderr
    assert "the disk is full" in ended.stderr and "Traceback" not in ended.stderr
    assert not out.exists()
