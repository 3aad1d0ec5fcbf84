"""Records of every form become items, the same for the same seed, or an error that says why."""

import json
from pathlib import Path
from typing import Any

import pytest

from dilmac.core import ConfigError, InputError
from dilmac.evaluate.tasks.arithmetic import questions
from dilmac.evaluate.tasks.files import read_task, task_names
from dilmac.evaluate.tasks.records import Items, NoRecordsError, read_items
from dilmac.evaluate.tasks.scoring import number_match


def items(name: str, folder: Path | None, **settings: Any) -> Items:
    return read_items(
        read_task(name), folder, **{"seed": 1, "limit": None, "num_fewshot": 0, **settings}
    )


def written(folder: Path, name: str, *records: object) -> Path:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def right_choice(document: dict[str, Any]) -> str:
    return str(document["choices"][document["label"]])


def test_xcopa_in_its_own_form_and_in_a_shared_file(tmp_path: Path) -> None:
    own = {
        "premise": "Kız güldü.",
        "choice1": "Işık söndü.",
        "choice2": "Fıkra dinledi.",
        "question": "cause",
        "label": 1,
    }
    document = items("xcopa-tr", written(tmp_path, "xcopa.jsonl", own)).asked[0]
    assert (document["question"], document["relation"]) == ("Kız güldü.", "cause")
    assert sorted(document["choices"]) == ["fıkra dinledi.", "ışık söndü."]
    assert right_choice(document) == "fıkra dinledi."

    (tmp_path / "xcopa.jsonl").unlink()
    other = {"task": "arc", "question": "?", "choices": ["a", "b"], "label": 0}
    shared = {
        "task": "copa",
        "question": "Kız güldü.",
        "relation": "effect",
        "choices": ["Ağladı.", "Neşelendi."],
        "label": 1,
    }
    written(tmp_path, "mc-tr.jsonl", other, shared)
    (document,) = items("xcopa-tr", tmp_path).asked
    assert right_choice(document) == "neşelendi."
    (document,) = items("arc-tr", tmp_path).asked
    assert right_choice(document) == "a"


def test_arc_in_its_own_form(tmp_path: Path) -> None:
    record = {
        "id": "m1",
        "question": "Hangisi?",
        "choices": {"text": ["su", "taş", "hava"], "label": ["A", "B", "C"]},
        "answerKey": "C",
    }
    document = items("arc-tr", written(tmp_path, "arc.jsonl", record)).asked[0]
    assert right_choice(document) == "hava" and document["id"] == "m1"


def test_squad_nested_and_flat(tmp_path: Path) -> None:
    question = {"id": 7, "question": "Nerede?", "answers": [{"text": "Söğüt", "answer_start": 0}]}
    nested = {"data": [{"paragraphs": [{"context": "Söğüt'te doğdu.", "qas": [question]}]}]}
    (tmp_path / "tquad.json").write_text(json.dumps(nested, indent=1), encoding="utf-8")
    (document,) = items("qa-tr", tmp_path).asked
    assert document["answers"] == ["Söğüt"] and document["context"] == "Söğüt'te doğdu."
    flat = {
        "context": "x",
        "question": "y",
        "answers": {"text": ["z", "t"], "answer_start": [0, 1]},
    }
    other = tmp_path / "other"
    other.mkdir()
    assert items("qa-tr", written(other, "xquad.jsonl", flat)).asked[0]["answers"] == ["z", "t"]


def test_pairs_of_turblimp_and_those_that_ship(tmp_path: Path) -> None:
    record = {"sentence_good": "Geldim.", "sentence_bad": "Geldin ben.", "phenomenon": "agreement"}
    (document,) = items("minimal-pairs", written(tmp_path, "turblimp-1.jsonl", record)).asked
    assert right_choice(document) == "Geldim." and document["group"] == "agreement"
    shipped = items("minimal-pairs", None)
    assert len(shipped.asked) == 100
    assert len({document["group"] for document in shipped.asked}) == 10
    assert all(len(set(document["choices"])) == 2 for document in shipped.asked)


def test_items_are_drawn_from_the_seed_and_examples_are_not_asked(tmp_path: Path) -> None:
    records = [{"question": f"Soru {n}?", "choices": ["a", "b"], "label": 0} for n in range(30)]
    folder = written(tmp_path, "arc.jsonl", *records)
    first, again, other = (
        items("arc-tr", folder, seed=seed, limit=9, num_fewshot=3) for seed in (5, 5, 6)
    )
    assert first == again != other
    assert len(first.asked) == 9 and len(first.examples) == 3
    asked, shown = ({d["question"] for d in part} for part in (first.asked, first.examples))
    assert not asked & shown
    labels = [document["label"] for document in items("arc-tr", folder).asked]
    assert 5 < sum(labels) < 25  # the right choice, always first in the file, is not so here


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "?", "choices": ["a", "b"]}, "lacks 'label'"),
        ({"question": "?", "choices": ["a", "b"], "label": 2}, "label 2 of 2 choices"),
        ({"question": "?", "choices": ["a", ""], "label": 0}, "the choice is no text"),
        ({"choices": ["a", "b"], "label": 0}, "the question is no text"),
    ],
)
def test_a_record_that_lacks_something_is_named(
    record: dict[str, Any], message: str, tmp_path: Path
) -> None:
    good = {"question": "?", "choices": ["a", "b"], "label": 0}
    folder = written(tmp_path, "arc.jsonl", good, record)
    with pytest.raises(InputError, match=message) as caught:
        items("arc-tr", folder)
    assert str(caught.value.where).endswith("arc.jsonl, record 2")


def test_a_few_bad_records_of_many_are_counted(tmp_path: Path) -> None:
    good = {"question": "?", "choices": ["a", "b"], "label": 0}
    folder = written(tmp_path, "arc.jsonl", *[good] * 120, {**good, "question": ""})
    found = items("arc-tr", folder)
    assert (len(found.asked), found.num_rejected) == (120, 1)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoRecordsError, match="no file of xcopa-tr"):
        items("xcopa-tr", tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        items("xcopa-tr", tmp_path / "nowhere")
    written(tmp_path, "mc-tr.jsonl", {"task": "arc"})
    with pytest.raises(NoRecordsError, match="no record of xcopa-tr"):
        items("xcopa-tr", tmp_path)
    with pytest.raises(ConfigError, match="did you mean 'arc-tr'"):
        read_task("arc_tr")
    record = {"question": "?", "choices": ["a", "b"], "label": 0}
    with pytest.raises(ConfigError, match="all of which would be examples"):
        items("arc-tr", written(tmp_path, "arc.jsonl", record), num_fewshot=1)


def test_every_task_that_ships_can_be_read() -> None:
    for name in task_names()[:-2]:
        task = read_task(name)
        assert task.name == name and task.metrics


def test_arithmetic_is_right_and_repeats() -> None:
    asked = questions(60, 3)
    assert asked == questions(60, 3) != questions(60, 4)
    assert {document["group"] for document in asked} == {"toplama", "çıkarma", "çarpma", "bölme"}
    wordings = {
        "artı": int.__add__,
        "eksi": int.__sub__,
        "çarpı": int.__mul__,
        "bölü": int.__floordiv__,
    }
    plain = [
        d
        for d in asked
        if str(d["question"]).split()[1] in wordings and str(d["question"])[0].isdigit()
    ]
    assert plain
    for document in plain:
        first, sign, second = str(document["question"]).split()[:3]
        result = wordings[sign](int(first), int(second))
        assert number_match(str(result), document["answers"]) == 1  # type: ignore[arg-type]


def test_a_json_list_is_read_as_lines_are(tmp_path: Path) -> None:
    record = {"question": "?", "choices": ["a", "b"], "label": 1}
    (tmp_path / "arc-tr.json").write_text(json.dumps([record, record], indent=1), encoding="utf-8")
    assert [right_choice(document) for document in items("arc-tr", tmp_path).asked] == ["b", "b"]
    (tmp_path / "arc-tr.json").write_text(json.dumps({"data": [record]}), encoding="utf-8")
    assert len(items("arc-tr", tmp_path).asked) == 1
    (tmp_path / "arc-tr.json").write_text(json.dumps([record, 3]), encoding="utf-8")
    with pytest.raises(InputError, match=r"arc-tr\.json, item 2: no JSON object"):
        items("arc-tr", tmp_path)


@pytest.mark.parametrize("paragraph", [{}, {"context": "a", "qas": ["b"]}, {"qas": [{}]}, 3])
def test_a_damaged_article_of_squad_is_named(tmp_path: Path, paragraph: object) -> None:
    articles = {"data": [{"paragraphs": []}, {"paragraphs": [paragraph]}]}
    (tmp_path / "tquad.json").write_text(json.dumps(articles), encoding="utf-8")
    with pytest.raises(InputError, match=r"tquad\.json, item 2: no article of SQuAD's form"):
        items("qa-tr", tmp_path)


def test_files_that_hold_no_records_are_not_taken_for_them(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"PK")
    (tmp_path / "arc-notes.txt").write_text("notlar", encoding="utf-8")
    record = {"task": "arc", "question": "?", "choices": ["a", "b"], "label": 1}
    assert items("arc-tr", written(tmp_path, "mc-tr.jsonl", record)).files == ["mc-tr.jsonl"]


def test_a_text_is_one_answer_and_no_list_of_choices(tmp_path: Path) -> None:
    record = {"context": "Ankara başkenttir.", "question": "Neresi?", "answers": "Ankara"}
    (document,) = items("qa-tr", written(tmp_path, "qa-tr.jsonl", record)).asked
    assert document["answers"] == ["Ankara"]
    record = {"question": "?", "choices": "evet", "label": 0}
    with pytest.raises(InputError, match="the choices are a text"):
        items("arc-tr", written(tmp_path, "arc.jsonl", record))


OWN = """title: own
kind: choice
files: [arc]
lm_eval:
  task: own
  output_type: multiple_choice
  metric_list: [{metric: acc}]
"""


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ("multiple_choice", "loglikelihood", "does not ask a choice"),
        ("[{metric: acc}]", "acc", "metric_list: 'acc' is not known of a choice"),
        ("metric: acc", "metric: bleu", "is not known of a choice.*\n.*acc or acc_norm"),
        ("task: own", "{task: own, num_fewshot: many}", "no YAML"),
        ("  task: own", "  num_fewshot: many\n  task: own", "num_fewshot: 'many' is no count"),
    ],
)
def test_a_task_file_that_cannot_be_asked_is_refused(
    tmp_path: Path, before: str, after: str, found: str
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN, encoding="utf-8")
    assert read_task(str(path)).name == "own"
    path.write_text(OWN.replace(before, after), encoding="utf-8")
    with pytest.raises(InputError, match=found):
        read_task(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        (tmp_path / "folder.yaml").mkdir()
        read_task(str(tmp_path / "folder.yaml"))
