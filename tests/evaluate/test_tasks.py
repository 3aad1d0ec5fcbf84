"""`dilmac evaluate --tasks`: figures that repeat, chance, lm-eval's own numbers, two models."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="needs the extra `eval`")

from corpora import documents
from dilmac.core import ConfigError, Figures, InputError
from dilmac.evaluate import EvaluateConfig, evaluate
from dilmac.evaluate.harness import lm_eval_task, run_task
from dilmac.evaluate.subject import EngineSubject
from dilmac.evaluate.tasks.files import FOLDER, read_task
from dilmac.evaluate.tasks.records import Items, read_items

NUM_QUESTIONS, FEW = 90, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions whose right choice is drawn by lot: no model can do better than chance."""
    folder = tmp_path_factory.mktemp("task-data")
    lot = random.Random(3)
    sentences = [text[:36] for text in documents(5 * NUM_QUESTIONS)]
    records = [
        {
            "question": sentences[5 * place],
            "choices": sentences[5 * place + 1 : 5 * place + 5],
            "label": lot.randrange(4),
        }
        for place in range(NUM_QUESTIONS)
    ]
    write(folder / "arc.jsonl", records)
    passages = [
        {"context": text[:200], "question": "Nerede?", "answers": ["denizde"]}
        for text in documents(3)
    ]
    write(folder / "tquad.jsonl", passages)
    return folder


def write(path: Path, records: list[dict[str, Any]]) -> None:
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    path.write_text("".join(lines), encoding="utf-8")


def config(model: Path, data: Path, **settings: Any) -> EvaluateConfig:
    return EvaluateConfig(model=model, task_data=data, **{"tasks": ("arc-tr",), **settings})


@pytest.fixture(scope="module")
def figures(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """Every task, against the same model."""
    out = tmp_path_factory.mktemp("page")
    found = evaluate(
        config(
            tiny_model,
            data,
            tasks=("all",),
            text=(str(data / "arc.jsonl"),),
            text_field="question",
            limit=FEW,
            against=tiny_model,
            html=out / "page.html",
            items=out / "items.jsonl",
        )
    )
    return {**found, "folder": out}


def test_every_task_has_its_figures_and_what_is_left_out_its_reason(figures: Figures) -> None:
    tasks = figures["tasks"]
    assert set(tasks) == {"arc-tr", "arithmetic-tr", "bits", "chat", "minimal-pairs", "qa-tr"}
    assert set(figures["left_out"]) == {"xcopa-tr", "truthfulqa-tr"}
    assert tasks["arc-tr"]["num_items"] == FEW and tasks["qa-tr"]["num_items"] == 3
    assert tasks["chat"]["metrics"].keys() == {"stop_rate", "loop_rate"}
    for task in tasks.values():
        for value in task["metrics"].values():
            assert value["low"] <= value["value"] <= value["high"]
    lines = (figures["folder"] / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(task["num_items"] for task in tasks.values())
    page = (figures["folder"] / "page.html").read_text(encoding="utf-8")
    assert all(name in page for name in tasks)


def test_choices_drawn_by_lot_give_chance(subject: EngineSubject, data: Path) -> None:
    task = read_task("arc-tr")
    items = read_items(task, data, seed=1, limit=None, num_fewshot=0)
    found = run_task(task, items, subject).figures(seed=1)
    assert found["num_items"] == NUM_QUESTIONS
    for value in found["metrics"].values():
        assert value["chance"] == 0.25
        assert value["low"] <= 0.25 <= value["high"]
        assert not value["is_above_chance"]


def test_a_model_against_itself_differs_by_nothing(figures: Figures) -> None:
    compared = figures["against"]["tasks"]
    assert compared.keys() == figures["tasks"].keys()
    for metrics in compared.values():
        for value in metrics.values():
            assert value["difference"] == value["low"] == value["high"] == 0
            assert value["num_better"] == value["num_worse"] == 0


def test_the_same_seed_gives_the_same_figures(
    figures: Figures, tiny_model: Path, data: Path
) -> None:
    names = ("arc-tr", "arithmetic-tr", "chat")
    again = evaluate(config(tiny_model, data, tasks=(",".join(names),), limit=FEW))
    assert again["tasks"] == {name: figures["tasks"][name] for name in again["tasks"]}
    assert set(again["tasks"]) == set(names)


def test_lm_evals_own_numbers_are_reproduced(
    bare_subject: EngineSubject, tiny_model: Path, data: Path
) -> None:
    from lm_eval.evaluator import evaluate as lm_evaluate
    from lm_eval.models.huggingface import HFLM

    task = read_task("arc-tr")
    items = read_items(task, data, seed=1, limit=40, num_fewshot=1)
    theirs = lm_evaluate(
        lm=HFLM(pretrained=str(tiny_model), device="cpu", dtype="float32", batch_size=16),
        task_dict={"tasks": {task.name: lm_eval_task(task, items)}, "groups": {}},
        bootstrap_iters=0,
    )
    # Bare: lm-eval puts no token before a prompt where the tokenizer has no bos.
    ours = run_task(task, items, bare_subject)
    samples = sorted(theirs["samples"][task.name], key=lambda sample: sample["doc_id"])
    for metric in ("acc", "acc_norm"):
        assert ours.values[metric] == [sample[metric] for sample in samples]
        mean = sum(ours.values[metric]) / len(items.asked)
        assert mean == pytest.approx(theirs["results"][task.name][f"{metric},none"])
    for item, sample in zip(ours.items, samples, strict=True):
        expected = [logprob for logprob, _ in sample["filtered_resps"]]
        assert item["logprobs"] == pytest.approx(expected, abs=1e-3)


def test_a_task_of_ones_own(subject: EngineSubject, data: Path, tmp_path: Path) -> None:
    text = (FOLDER / "arc-tr.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(text.replace("task: arc-tr", "task: own"), encoding="utf-8")
    task = read_task(str(tmp_path / "own.yaml"))
    items = read_items(task, data, seed=1, limit=2, num_fewshot=1)
    assert task.name == "own"
    assert run_task(task, items, subject).figures(1)["num_items"] == 2


def test_what_lm_eval_makes_no_task_of_is_an_error(data: Path, tmp_path: Path) -> None:
    text = (FOLDER / "arc-tr.yaml").read_text(encoding="utf-8")
    (tmp_path / "own.yaml").write_text(text.replace("{{question}}", "{{question"), encoding="utf-8")
    task = read_task(str(tmp_path / "own.yaml"))
    items = read_items(task, data, seed=1, limit=2, num_fewshot=0)
    with pytest.raises(InputError, match="arc-tr: lm_eval: lm-eval makes no task of it"):
        lm_eval_task(task, items)


def test_what_cannot_be_asked_is_refused(tiny_model: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'arc'"):
        evaluate(config(tiny_model, data, tasks=("arc",)))
    with pytest.raises(ConfigError, match="give --text or --corpus"):
        evaluate(config(tiny_model, data, tasks=("bits",)))
    with pytest.raises(ConfigError, match=r"--items .*: no folder to write to"):
        evaluate(config(tiny_model, data, items=data / "nowhere" / "items.jsonl"))
    with pytest.raises(ConfigError, match=r"--html .*: is a folder"):
        evaluate(config(tiny_model, data, html=data))
    with pytest.raises(ConfigError, match=r"--engine: llamacpp runs no .*: it is no GGUF"):
        evaluate(config(tiny_model, data, engine="llamacpp"))
    gguf = data / "model.gguf"
    gguf.write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"transformers runs no model\.gguf"):
        evaluate(config(tiny_model, data, engine="transformers", against=gguf))
    with pytest.raises(ValueError, match="--limit goes with --tasks"):
        EvaluateConfig(model=tiny_model, limit=3)


def test_items_of_lm_eval_are_those_that_were_drawn(data: Path) -> None:
    task = read_task("arc-tr")
    items: Items = read_items(task, data, seed=1, limit=4, num_fewshot=2)
    made = lm_eval_task(task, items)
    assert [doc["question"] for doc in made.eval_docs] == [doc["question"] for doc in items.asked]
    prompt = made.fewshot_context(made.eval_docs[0], num_fewshot=2)
    for example in items.examples:
        assert f"Cevap: {example['choices'][example['label']]}" in prompt
