"""The records of a task: found in a folder, checked, brought into one form, drawn from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dilmac.core import FORMATS, ConfigError, InputError, file_format, read_records, say
from dilmac.evaluate.tasks.arithmetic import NUM_QUESTIONS, questions
from dilmac.evaluate.tasks.files import FOLDER, TaskFile
from dilmac.turkish import lower

Doc = dict[str, Any]
MAX_REJECTED_SHARE = 0.01
_READABLE = {kind: FORMATS[kind] for kind in ("jsonl", "parquet")}
# Where the name of a phenomenon stands: TurBLiMP's and BLiMP's, and what other sets call a group.
GROUP_FIELDS = ("phenomenon", "linguistics_term", "UID", "group", "domain")


class NoRecordsError(InputError):
    """The folder holds no records of a task."""


@dataclass(frozen=True)
class Items:
    """What is asked, what is shown before it as examples, and the files it came from."""

    asked: list[Doc]
    examples: list[Doc]
    files: list[str]
    num_rejected: int = 0


def read_items(
    task: TaskFile, folder: Path | None, *, seed: int, limit: int | None, num_fewshot: int
) -> Items:
    """The items of a task. Examples are drawn first and never asked; of the rest `limit` are drawn.

    Raises:
        NoRecordsError: the folder has no file of the task, or none of its records.
        InputError: more than one record of a hundred lacks what the task needs; fewer are left out,
            counted, and the first is named on the screen.
        ConfigError: there are not more records than examples.
    """
    paths: list[Path] = []
    rejects: list[InputError] = []
    if task.kind == "arithmetic":
        documents = questions((limit or NUM_QUESTIONS) + num_fewshot, seed)
    else:
        paths = find_files(task, folder)
        documents = [found for path in paths for found in _documents(task, path, seed, rejects)]
        _judge(rejects, len(documents))
        if not documents:
            raise NoRecordsError(f"no record of {task.name}", where=paths[0])
    if len(documents) <= num_fewshot:
        raise ConfigError(
            f"{task.name} has {len(documents)} records, all of which would be examples",
            where="--num-fewshot",
        )
    chance = random.Random(seed)
    shown = set(chance.sample(range(len(documents)), num_fewshot))
    left = [place for place in range(len(documents)) if place not in shown]
    if limit is not None and limit < len(left):
        left = sorted(chance.sample(left, limit))
    return Items(
        [documents[place] for place in left],
        [documents[place] for place in sorted(shown)],
        [path.name for path in paths],
        len(rejects),
    )


def _judge(rejects: list[InputError], num_good: int) -> None:
    """A set of thousands has some records without a question; many are a set of another form."""
    if len(rejects) > MAX_REJECTED_SHARE * (num_good + len(rejects)):
        raise rejects[0]
    if rejects:
        say(f"{len(rejects)} of {num_good + len(rejects):,} records cannot be asked: {rejects[0]}")


def find_files(task: TaskFile, folder: Path | None) -> list[Path]:
    """Files of a task in a folder: those of the first of its names that is there.

    Raises:
        NoRecordsError: none is there, and none ships.
    """
    mend = f"--task-data DIR with {' or '.join(task.files)} (.jsonl, .json or .parquet)"
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder", where=folder, mend=mend)
    present = sorted(filter(_is_readable, folder.iterdir())) if folder else []
    for name in task.files:
        if found := [path for path in present if fnmatch(path.name.split(".")[0], name)]:
            return found
    if task.sample:
        return [FOLDER / task.sample]
    raise NoRecordsError(f"no file of {task.name}", where=folder or "--task-data", mend=mend)


def _is_readable(path: Path) -> bool:
    """Whether a path can hold records: `arc*` names an `archive.zip`, too."""
    try:
        file_format(path, _READABLE)
    except InputError:
        return False
    return path.is_file()


def _documents(task: TaskFile, path: Path, seed: int, rejects: list[InputError]) -> Iterator[Doc]:
    read = _READERS[task.kind]
    for number, record in enumerate(_records(path), 1):
        if any(record.get(field, value) != value for field, value in task.where.items()):
            continue
        name = str(record.get("id") or record.get("idx") or f"{path.stem}-{number}")
        try:
            document = read(record)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            rejects.append(
                InputError(
                    f"no record of {task.name}: {said}",
                    where=f"{path}, record {number}",
                    mend=f"fields there: {', '.join(record)}; see docs/evaluate.md",
                )
            )
            continue
        group = next((str(record[field]) for field in GROUP_FIELDS if record.get(field)), "")
        document = {"id": name, "group": group, **document}
        yield _shuffled(document, seed) if "choices" in document else document


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    """Records of a file: lines, rows, or the items of one JSON value; of SQuAD's nested form a
    record for each question.

    Raises:
        InputError: see `read_records`; or an item is no object, or no article of SQuAD's form.
    """
    items = _json_items(path) if path.suffix == ".json" else None
    if items is None:
        yield from read_records([path])
        return
    is_squad = bool(items) and isinstance(items[0], Mapping) and "paragraphs" in items[0]
    for number, item in enumerate(items, 1):
        where = f"{path}, item {number}"
        if not isinstance(item, Mapping):
            raise InputError("no JSON object", where=where)
        try:
            found = list(_questions(item)) if is_squad else [item]
        except (KeyError, TypeError) as error:
            raise InputError(f"no article of SQuAD's form ({error})", where=where) from error
        yield from found


def _json_items(path: Path) -> list[Any] | None:
    """Items of a file that is one JSON value: a list, or an object with a list `data`."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return None  # JSON lines, or nothing that is known: the strict reader says what is wrong
    items = whole.get("data") if isinstance(whole, dict) else whole
    return items if isinstance(items, list) else None


def _questions(article: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for paragraph in article["paragraphs"]:
        for question in paragraph["qas"]:
            yield {"context": paragraph["context"], **question}


def _shuffled(document: Doc, seed: int) -> Doc:
    """The choices in an order of their own: of choices that are equally probable the first counts
    as chosen, and some sets have the right one always first."""
    order = list(range(len(document["choices"])))
    random.Random(f"{seed} {document['id']}").shuffle(order)
    choices = [document["choices"][place] for place in order]
    return {**document, "choices": choices, "label": order.index(document["label"])}


def _read_choice(record: Mapping[str, Any]) -> Doc:
    relation = str(record.get("relation") or "")
    question = record.get("premise", record.get("question"))
    if "choice1" in record:  # XCOPA's own form: the relation is called question
        relation = str(record["question"])
        choices, label = [record["choice1"], record["choice2"]], record["label"]
    elif isinstance(record["choices"], Mapping):  # ARC's own form
        choices = list(record["choices"]["text"])
        label = list(record["choices"]["label"]).index(record["answerKey"])
    else:
        if isinstance(record["choices"], str):
            raise ValueError("the choices are a text, no list")
        choices, label = list(record["choices"]), record["label"]
    choices = [_text(choice, "choice") for choice in choices]
    if relation:
        if relation not in ("cause", "effect"):
            raise ValueError(f"the relation is {relation!r}, neither cause nor effect")
        choices = [lower(choice[0]) + choice[1:] for choice in choices]
    label = int(label)
    if not 0 <= label < len(choices) or len(choices) < 2:
        raise ValueError(f"label {label} of {len(choices)} choices")
    return {
        "question": _text(question, "question"),
        "relation": relation,
        "choices": choices,
        "label": label,
    }


def _read_pair(record: Mapping[str, Any]) -> Doc:
    pair = [_text(record[field], field) for field in ("sentence_good", "sentence_bad")]
    return {"question": "", "choices": pair, "label": 0}


def _read_answer(record: Mapping[str, Any]) -> Doc:
    answers = record["answers"] if "answers" in record else [record["answer"]]
    if isinstance(answers, Mapping):  # {"text": […], "answer_start": […]}
        answers = answers["text"]
    if isinstance(answers, str):
        answers = [answers]
    answers = [one["text"] if isinstance(one, Mapping) else one for one in answers]
    if not answers:
        raise ValueError("no answer")
    return {
        "context": _text(record["context"], "context"),
        "question": _text(record["question"], "question"),
        "answers": [_text(answer, "answer") for answer in answers],
    }


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the {name} is no text")
    value.encode()  # a lone surrogate is a ValueError, too
    return value.strip()


_READERS: dict[str, Callable[[Mapping[str, Any]], Doc]] = {
    "choice": _read_choice,
    "pairs": _read_pair,
    "answer": _read_answer,
}
