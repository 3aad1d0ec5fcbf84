"""The main job: at its real size it ends with an answer; it survives kill -9, to the byte."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dilmac.core import (
    ArtifactError,
    InputError,
    bundled_prose,
    bundled_recipe,
    open_artifact,
    read_documents,
)
from dilmac.models import DEFAULT_MODEL
from dilmac.quickstart import QuickstartConfig, plain_words, print_summary, quickstart
from killing import has_steps, kill_dilmac_when, run_dilmac
from standin import place_standin

slow, whole_machine = pytest.mark.slow, pytest.mark.whole_machine
CONTINUED = ("corpus", "base", "chat", "gguf")
FROM_SCRATCH = ("corpus", "tokenizer", "base", "chat", "gguf")


# With a tiny model in the place of the one that ships.


def test_your_text_and_instructions_reach_every_stage(
    tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object
) -> None:
    place_standin(tiny_chat, tmp_path, monkeypatch)
    monkeypatch.setattr("dilmac.quickstart.load_recipe", small_recipe)
    mine = tmp_path / "mine.jsonl"
    pair = {"id": "benim-1", "instruction": "Kedimin adı ne?", "response": "Boncuk."}
    mine.write_text(json.dumps(pair, ensure_ascii=False) + "\n", encoding="utf-8")
    text = tuple(map(str, bundled_prose()[:3]))
    config = QuickstartConfig(text=text, instructions=(str(mine),), out=tmp_path / "out")
    figures = quickstart(config)

    documents = [*read_documents(tmp_path / "out" / "corpus", "train")]
    assert {doc["source"] for doc in documents} == {path.stem for path in bundled_prose()[:3]}
    inputs = open_artifact(tmp_path / "out" / "chat").manifest.inputs
    assert "mine.jsonl" in {record.name for record in inputs["data"]}
    assert [record.name for record in inputs["model"]] == ["base"]
    inputs = open_artifact(tmp_path / "out" / "base").manifest.inputs
    assert [record.name for record in inputs["model"]] == [DEFAULT_MODEL]

    assert not figures["from_scratch"] and DEFAULT_MODEL in plain_words(figures)
    assert figures["tokens"]["documents"] == sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in bundled_prose()
    )
    before, after = (figures["stages"][name] for name in ("before", "evaluation"))
    assert before["measured_bytes"] == after["measured_bytes"] > 0
    assert before["bits_per_byte"] != after["bits_per_byte"]
    print_summary(figures)
    for change in ({"text": ()}, {"instructions": ()}, {"from_scratch": True}):
        with pytest.raises(ArtifactError, match="choose another --out"):
            quickstart(config.model_copy(update=change))


def test_a_single_document_leaves_nothing_to_measure_on(
    tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_standin(tiny_chat, tmp_path, monkeypatch)
    one = tmp_path / "one.jsonl"
    first = bundled_prose()[0].read_text(encoding="utf-8").splitlines()[0]
    one.write_text(first + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        quickstart(QuickstartConfig(text=(str(one),), out=tmp_path / "out"))
    assert caught.value.mend and "at least two documents" in caught.value.mend


def small_recipe(path: Path) -> dict[str, Any]:
    """The recipe with a budget of some seconds."""
    from dilmac.recipe import load_recipe

    values = load_recipe(path)
    stages = values["stages"]
    stages["base"] |= {"tokens": 4096, "eval_bytes": 1000, "sample_prompts": ["Bir"]}
    stages["chat"] |= {"epochs": 0.02, "max_length": 128}
    for name in stages.keys() & {"before", "evaluation"}:
        stages[name] |= {"max_text_bytes": 5000, "max_prime_bytes": 5000}
    stages["gguf"] |= {"num_lines": 20, "num_fuzz": 20, "num_positions": 20}
    return values


# At its real size, with what really ships.


def check_the_end(out: Path, screen: str, *words: str) -> None:
    for word in (*words, "bits/byte", "PPMd", "Qwen3", "dilmac chat"):
        assert word in screen
    assert "> Merhaba, sen kimsin?\n" in screen
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Plotly" in report and 'class="tokens"' in report
    assert "http" not in report.split("</script>")[-1].replace("https://plot.ly", "")
    chat = open_artifact(out / "chat").figures
    assert chat["validation_loss"] < chat["validation_loss_before"]
    assert open_artifact(out / "gguf").figures["parity"]["ids"]["different"] == 0


@slow
@whole_machine
def test_it_ends_with_a_table_an_answer_and_a_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = run_dilmac("quickstart", "--out", str(out))
    assert ended.returncode == 0, ended.stderr[-2000:]
    check_the_end(out, ended.stdout, *CONTINUED, DEFAULT_MODEL, "→")
    before, after = (
        json.loads((out / f"{name}.json").read_text(encoding="utf-8"))["figures"]
        for name in ("before", "evaluation")
    )
    # dilmac-mini needs 2.27 before it goes on, 2.13 afterwards; a new model of its size about 2.5.
    assert after["bits_per_byte"] < before["bits_per_byte"] < 2.35


@slow
@whole_machine
def test_from_scratch_it_makes_its_own_tokenizer_and_learns(tmp_path: Path) -> None:
    ended = run_dilmac("quickstart", "--from-scratch", "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr[-2000:]
    check_the_end(tmp_path / "out", ended.stdout, *FROM_SCRATCH, "babbles")
    events = (tmp_path / "out" / "base" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    held_out = [e["bits_per_byte"] for e in map(json.loads, events) if e["event"] == "heldout"]
    assert held_out[-1] < held_out[0] - 0.8


# The same stages with budgets of seconds, in processes that are killed.


def moments(out: Path) -> list[Callable[[], bool]]:
    """Five moments: while the corpus is made, in pretraining (twice), in fine-tuning, at export."""
    return [
        lambda: (out / ".corpus.partial").exists() or (out / "corpus").exists(),
        lambda: has_steps(out / ".base.partial" / "events.jsonl", 2),
        lambda: has_steps(out / ".base.partial" / "events.jsonl", 10),
        lambda: has_steps(out / ".chat.partial" / "events.jsonl", 3),
        lambda: (out / ".gguf.partial").exists() or (out / "gguf").exists(),
    ]


@slow
def test_killed_five_times_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    values = small_recipe(bundled_recipe("quickstart"))
    values["stages"]["base"] |= {"tokens": 8192, "batch_tokens": 512, "checkpoint_steps": 4}
    values["stages"]["chat"] |= {"epochs": 0.1, "checkpoint_steps": 2}
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"
    for moment in moments(out):
        assert kill_dilmac_when(moment, "run", str(recipe), "--out", str(out))
    for folder in (out, undisturbed):
        ended = run_dilmac("run", str(recipe), "--out", str(folder))
        assert ended.returncode == 0, ended.stderr[-2000:]
    for name in CONTINUED:
        ours, theirs = open_artifact(out / name), open_artifact(undisturbed / name)
        assert ours.manifest.files == theirs.manifest.files, name
        assert ours.figures == theirs.figures, name
    assert not list(out.glob(".*.partial"))
