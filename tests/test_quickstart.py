"""The main job, at its real size: it ends with an answer, survives kill -9, repeats to the byte."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dilmac.core import open_artifact
from killing import has_steps, kill_dilmac_when, run_dilmac

pytestmark = pytest.mark.slow
ARTIFACTS = ("corpus", "tokenizer", "base", "chat", "gguf")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("quickstart") / "out"
    ended = run_dilmac("quickstart", "--out", str(out))
    assert ended.returncode == 0, ended.stderr[-2000:]
    return out, ended.stdout


def test_it_ends_with_a_table_an_answer_and_a_report(undisturbed: tuple[Path, str]) -> None:
    out, screen = undisturbed
    for word in (*ARTIFACTS, "bits/byte", "PPMd", "Qwen3", "babbles", "dilmac chat"):
        assert word in screen
    assert "> Merhaba, sen kimsin?\n" in screen
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Plotly" in report and 'class="tokens"' in report
    assert "http" not in report.split("</script>")[-1].replace("https://plot.ly", "")


def test_held_out_bits_fall_and_answers_improve(undisturbed: tuple[Path, str]) -> None:
    out, _ = undisturbed
    events = (out / "base" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    held_out = [e["bits_per_byte"] for e in map(json.loads, events) if e["event"] == "heldout"]
    assert held_out[-1] < held_out[0] - 0.8
    chat = open_artifact(out / "chat").figures
    assert chat["validation_loss"] < chat["validation_loss_before"]
    assert open_artifact(out / "gguf").figures["parity"]["ids"]["different"] == 0


def moments(out: Path) -> list[Callable[[], bool]]:
    """Five moments: while the corpus is made, in pretraining (twice), in fine-tuning, at export."""
    return [
        lambda: (out / ".corpus.partial").exists() or (out / "corpus").exists(),
        lambda: has_steps(out / ".base.partial" / "events.jsonl", 30),
        lambda: has_steps(out / ".base.partial" / "events.jsonl", 450),
        lambda: has_steps(out / ".chat.partial" / "events.jsonl", 25),
        lambda: (out / ".gguf.partial").exists() or (out / "gguf").exists(),
    ]


def test_killed_five_times_it_ends_with_the_same_bytes(
    undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for moment in moments(out):
        assert kill_dilmac_when(moment, "quickstart", "--out", str(out))
    ended = run_dilmac("quickstart", "--out", str(out))
    assert ended.returncode == 0, ended.stderr[-2000:]
    for name in ARTIFACTS:
        ours, theirs = open_artifact(out / name), open_artifact(undisturbed[0] / name)
        assert ours.manifest.files == theirs.manifest.files, name
        assert ours.figures == theirs.figures, name
    assert not list(out.glob(".*.partial"))
