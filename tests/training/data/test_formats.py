"""Formats: each is told by its fields and comes back from a file as it was written."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.tokenizer import Message
from dilmac.training.data.examples import Conversation, Labeled, Preference
from dilmac.training.data.read import read_data, read_instructions
from dilmac.training.data.records import data_files
from written_data import GOOD, write

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda end: "ş" + end)
texts = st.lists(text, min_size=2, max_size=6).filter(lambda said: len(said) % 2 == 0)
ROLES = ("user", "assistant")


def turns(said: list[str], system: str | None = None) -> tuple[Message, ...]:
    first = [] if system is None else [Message("system", system)]
    return (*first, *(Message(ROLES[place % 2], one) for place, one in enumerate(said)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats") / "data.jsonl"


@settings(max_examples=40, deadline=None)
@given(texts, st.none() | text, st.none() | text)
def test_conversations_come_back(
    place: Path, said: list[str], system: str | None, thought: str | None
) -> None:
    messages = [vars(turn) for turn in turns(said, system)]
    chat = {"messages": [{"role": m["role"], "content": m["content"]} for m in messages]}
    if thought:
        chat["messages"][-1]["reasoning_content"] = thought
    (example,) = read_instructions(write(place, chat))
    expected = turns(said, system)
    assert example.messages[:-1] == expected[:-1]
    assert example.messages[-1] == Message("assistant", said[-1], thought)
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    share = {"conversations": [{"from": names[m.role], "value": m.content} for m in expected]}
    (example,) = read_instructions(write(place, share))
    assert example.messages == expected


@settings(max_examples=40, deadline=None)
@given(text, text, st.none() | text, st.sampled_from(["response", "output"]))
def test_instructions_come_back(
    place: Path, question: str, answer: str, below: str | None, name: str
) -> None:
    record = {"instruction": question, "input": below or "", name: answer}
    (example,) = read_instructions(write(place, record))
    asked = f"{question}\n\n{below}" if below else question
    assert example.messages == turns([asked, answer]) and example.question == asked


@settings(max_examples=40, deadline=None)
@given(texts, text, text, st.booleans())
def test_preference_pairs_come_back(
    place: Path, said: list[str], chosen: str, rejected: str, is_whole: bool
) -> None:
    prompt = turns(said[:-1])
    lists = [{"role": m.role, "content": m.content} for m in prompt]
    answers = [{"role": "assistant", "content": one} for one in (chosen, rejected + "!")]
    before = lists if is_whole else []
    record = {"prompt": lists, "chosen": [*before, answers[0]], "rejected": [*before, answers[1]]}
    if is_whole:
        del record["prompt"]
    if chosen == rejected + "!":
        return
    (example,) = read_data([write(place, record)], Preference).examples
    assert (example.prompt, example.chosen.content) == (prompt, chosen)
    assert example.rejected.content == rejected + "!"
    plain = {"prompt": said[0], "chosen": chosen, "rejected": rejected + "!"}
    (example,) = read_data([write(place, plain)], Preference).examples
    assert example.prompt == (Message("user", said[0]),)


@settings(max_examples=20, deadline=None)
@given(text, text | st.integers(-5, 5))
def test_labeled_texts_come_back(place: Path, said: str, label: str | int) -> None:
    (example,) = read_data([write(place, {"text": said, "label": label})], Labeled).examples
    assert (example.text, example.label) == (said, label)


RECORDS = [
    {"messages": [{"role": "user", "content": f"Soru {n}"}, {"role": "assistant", "content": "C"}]}
    for n in range(3)
]


def as_jsonl(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(RECORDS), path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.jsonl": lambda path: path.write_bytes(as_jsonl(RECORDS)),
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(as_jsonl(RECORDS))),
    "a.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(as_jsonl(RECORDS))),
    "a.parquet": write_parquet,
    "saved": lambda path: datasets.Dataset.from_list(RECORDS).save_to_disk(str(path)),
    "splits": lambda path: datasets.DatasetDict(
        train=datasets.Dataset.from_list(RECORDS), test=datasets.Dataset.from_list(RECORDS[:1])
    ).save_to_disk(str(path)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    examples = read_instructions(*data_files([path]))
    assert [e.question for e in examples] == ["Soru 0", "Soru 1", "Soru 2"]
    assert [e.where for e in examples] == [f"{path}:{row}" for row in (1, 2, 3)]


def test_a_wrong_row_of_a_table_is_named(tmp_path: Path) -> None:
    rows = [{"instruction": "a", "response": "b"}, {"instruction": "a", "response": " "}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for path in (tmp_path / "saved", tmp_path / "a.parquet"):
        with pytest.raises(InputError, match="'response' is empty") as caught:
            read_instructions(path)
        assert caught.value.where == f"{path}:2"


def test_classes_of_a_saved_dataset_come_by_their_names(tmp_path: Path) -> None:
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["olumsuz", "olumlu"])
    )
    rows = [{"text": "Güzel.", "label": 1}, {"text": "Kötü.", "label": 0}]
    saved = tmp_path / "saved"
    datasets.Dataset.from_list(rows, features=features).save_to_disk(str(saved))
    assert [e.label for e in read_data([saved], Labeled).examples] == ["olumlu", "olumsuz"]


def test_splits_without_train_and_damaged_datasets_are_refused(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_list([GOOD])
    datasets.DatasetDict(a=rows, b=rows).save_to_disk(str(tmp_path / "splits"))
    with pytest.raises(InputError, match="without a split 'train'; there are: a, b"):
        read_instructions(tmp_path / "splits")
    assert len(read_instructions(*data_files([tmp_path / "splits" / "a"]))) == 1
    rows.save_to_disk(str(tmp_path / "saved"))
    next((tmp_path / "saved").glob("*.arrow")).unlink()
    with pytest.raises(InputError, match="no readable dataset"):
        read_instructions(tmp_path / "saved")


def test_formats_and_unread_fields_are_named(tmp_path: Path) -> None:
    one = write(tmp_path / "a.jsonl", {**GOOD, "konu": "selam", "puan": None})
    two = write(tmp_path / "b.jsonl", *RECORDS)
    data = read_data([one, two], Conversation)
    assert data.num_by_format == {'{"instruction", "response"}': 1, '{"messages"}': 3}
    assert list(data.unread) == ["konu"]


def test_a_system_field_is_the_first_turn(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {**GOOD, "system": "Kısa konuş."})
    assert [m.role for m in read_instructions(path)[0].messages] == ["system", *ROLES]
    assert read_instructions(path)[0].key == GOOD["instruction"]


def test_reading_loads_no_torch(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from dilmac.training import Conversation, read_data\n"
        f"assert read_data([Path({str(path)!r})], Conversation).examples\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_system_turn_of_a_pair_is_kept(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Soru?"}
    answers = {
        name: [asked, {"role": "assistant", "content": text}]
        for name, text in (("chosen", "Evet."), ("rejected", "Hayır."))
    }
    system = {"system": "Kısa konuş."}
    path = write(tmp_path / "a.jsonl", {"prompt": [asked], **answers, **system})
    other = write(tmp_path / "b.jsonl", {**answers, **system})
    for pair in read_data([path, other], Preference).examples:
        assert [(m.role, m.content) for m in pair.prompt] == [
            ("system", "Kısa konuş."),
            ("user", "Soru?"),
        ]
    spoken = {"role": "system", "content": "Kısa konuş."}
    lost = {name: [spoken, *turns] for name, turns in answers.items()}
    path = write(tmp_path / "c.jsonl", {"prompt": "Soru?", **lost})
    with pytest.raises(InputError, match="'chosen' is not the prompt's turns"):
        read_data([path], Preference)
