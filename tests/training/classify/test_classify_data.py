"""Labeled texts: faults by file, line and field; parts by hash or by files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import InputError, part_of
from dilmac.tokenizer import Tokenizer
from dilmac.training import ClassifyConfig
from dilmac.training.classify.data import encode_labeled, labels_of, num_also_learned, read_parts
from labeled import labeled, write_jsonl


def config(data: Path, **settings: Any) -> ClassifyConfig:
    return ClassifyConfig(model="m", data=data, out="o", **settings)


def test_parts_follow_the_hash_of_the_id(labeled_texts: Path) -> None:
    parts = read_parts(config(labeled_texts))
    for name in ("train", "validation", "test"):
        part = getattr(parts, name)
        assert part and all(part_of(example.key) == name for example in part)
    assert len(list(parts)) == 240


def test_without_an_id_the_text_decides_and_packed_files_are_read(tmp_path: Path) -> None:
    rows = [{"yorum": row["text"], "puan": place % 2} for place, row in enumerate(labeled(60))]
    path = tmp_path / "rows.jsonl.zst"
    lines = "\n".join(json.dumps(row) for row in rows)
    path.write_bytes(zstandard.compress(lines.encode()))
    parts = read_parts(config(path, text_field="yorum", label_field="puan"))
    assert all(example.key == example.text for example in parts)
    assert labels_of(parts) == ["0", "1"]


def test_tables_and_saved_datasets_are_read(tmp_path: Path) -> None:
    rows = [
        {"yorum": row["text"], "puan": n % 2, "history": "x"} for n, row in enumerate(labeled(60))
    ]
    made = datasets.Dataset.from_list(rows)
    made.save_to_disk(str(tmp_path / "saved"))
    made.to_parquet(str(tmp_path / "rows.parquet"))
    saved, table = (
        read_parts(config(tmp_path / name, text_field="yorum", label_field="puan"))
        for name in ("saved", "rows.parquet")
    )
    assert [(one.text, one.label) for one in saved] == [(one.text, one.label) for one in table]
    assert len(list(table)) == 60 and labels_of(table) == ["0", "1"]


def test_files_of_their_own_are_the_measured_parts(tmp_path: Path) -> None:
    rows = labeled(60)
    data = write_jsonl(tmp_path / "train.jsonl", rows[:50])
    test = write_jsonl(tmp_path / "test.jsonl", rows[50:])
    parts = read_parts(config(data, test=test))
    assert [example.where for example in parts.test] == [f"{test}:{n}" for n in range(1, 11)]
    assert all(part_of(example.key) == "validation" for example in parts.validation)
    assert len(parts.train) + len(parts.validation) == 50
    both = read_parts(config(data, test=test, validation=test))
    assert len(both.train) == 50
    assert num_also_learned(both.test, both.train) == 0
    assert num_also_learned(both.train, both.train) == 50


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("{", r"rows\.jsonl:2: no JSON"),
        ("[1]", r"rows\.jsonl:2: no JSON object"),
        ('{"text": "a"}', r"rows\.jsonl:2: field 'label' is missing\n.*there: text; --label-field"),
        ('{"label": "a"}', r"rows\.jsonl:2: field 'text' is missing"),
        ('{"text": " ", "label": "a"}', "field 'text' is empty"),
        ('{"text": 3, "label": "a"}', "field 'text' is a number, not text"),
        ('{"text": "a", "label": ""}', "field 'label' is empty"),
        ('{"text": "a", "label": null}', "field 'label' is null"),
        ('{"text": "a", "label": true}', "is true or false, neither text nor a whole number"),
        ('{"text": "a", "label": 1.5}', "is a number, neither text nor a whole number"),
        ('{"text": "a", "label": ["x"]}', "is a list, neither text nor a whole number"),
        ('{"text": "a", "text": "b", "label": "x"}', "'text' stands twice"),
        ('{"text": "a\\ud800", "label": "x"}', "field 'text' holds a lone surrogate"),
        ('{"text": "a", "label": 1}', r"label 1 and 'olumlu' \(.*rows\.jsonl:1\) are of two kinds"),
    ],
)
def test_faults_name_the_line_and_the_field(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "rows.jsonl"
    first = '{"text": "Güzel.", "label": "olumlu"}'
    path.write_text(f"{first}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=found):
        read_parts(config(path))


def test_labels_that_cannot_be_learned_are_refused(tmp_path: Path) -> None:
    rows = labeled(60)
    same = write_jsonl(tmp_path / "same.jsonl", ({**row, "label": "x"} for row in rows))
    with pytest.raises(InputError, match="every text has the label 'x'"):
        read_parts(config(same))
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    rare = write_jsonl(tmp_path / "rare.jsonl", [{"text": "Bir.", "label": "yeni"}])
    with pytest.raises(InputError, match=r"rare\.jsonl:1: no text of the training part .* 'yeni'"):
        read_parts(config(data, test=rare))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no labeled text"):
        read_parts(config(empty))
    with pytest.raises(InputError, match="no such file"):
        read_parts(config(tmp_path / "nowhere.jsonl"))


@given(st.lists(st.integers(), min_size=1), st.lists(st.text(min_size=1), min_size=1))
def test_labels_are_numbered_in_order(numbers: list[int], texts: list[str]) -> None:
    class Item:
        def __init__(self, label: object):
            self.label = label

    assert labels_of(map(Item, numbers)) == [str(number) for number in sorted(set(numbers))]  # type: ignore[arg-type]
    assert labels_of(map(Item, texts)) == sorted(set(texts))  # type: ignore[arg-type]


def test_long_texts_are_cut_by_tokens_and_counted(
    labeled_texts: Path, sample_tokenizer: Path
) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    parts = read_parts(config(labeled_texts))
    labels = labels_of(parts)
    whole, none_cut = encode_labeled(parts.train, labels, tokenizer, 10_000)
    rows, num_cut = encode_labeled(parts.train, labels, tokenizer, 12)
    assert none_cut == 0
    assert num_cut == sum(len(row.input_ids) > 12 for row in whole) > 0
    assert [row.input_ids for row in rows] == [row.input_ids[:12] for row in whole]
    assert [labels[row.label] for row in rows] == [example.label for example in parts.train]
