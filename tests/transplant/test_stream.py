"""Weights as files: read without numbers, written whole, and refused when damaged."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dilmac.core import InputError, sha256_of
from dilmac.transplant.stream import INDEX, Table, open_checkpoint, write_checkpoint

EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards with an index; numbers of several types."""
    made = tmp_path / "model"
    made.mkdir()
    generator = torch.Generator().manual_seed(0)
    first = {
        EMBEDDING: torch.randn(10, 4, generator=generator).bfloat16(),
        "a": torch.randn(3, 5, generator=generator),
    }
    second = {
        "b": torch.arange(7, dtype=torch.int8),
        "scalar": torch.tensor(2.5, dtype=torch.float16),
    }
    names = {}
    for place, tensors in enumerate((first, second), start=1):
        name = f"model-0000{place}-of-00002.safetensors"
        save_file(tensors, made / name, metadata={"format": "pt", "place": str(place)})
        names |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": 0}, "weight_map": names}
    (made / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return made


def contents(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for shard in sorted(folder.glob("*.safetensors")):
        with safe_open(shard, framework="pt") as file:
            found |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return found


def test_headers_say_what_is_there(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    expected = contents(folder)
    assert checkpoint.shapes == {name: tuple(tensor.shape) for name, tensor in expected.items()}
    assert checkpoint.num_parameters == sum(tensor.numel() for tensor in expected.values())
    assert torch.equal(checkpoint.table(EMBEDDING), expected[EMBEDDING])
    with pytest.raises(InputError, match="stored as I8"):
        checkpoint.table("b")


@pytest.mark.parametrize("link", [False, True])
def test_tables_are_replaced_and_the_rest_is_the_same_bytes(
    folder: Path, tmp_path: Path, link: bool
) -> None:
    before = contents(folder)
    rows = torch.randn(6, 4).bfloat16()
    head = torch.randn(6, 4)
    tables = {
        EMBEDDING: Table("BF16", (6, 4), lambda: iter([rows[:4], rows[4:]])),
        "lm_head.weight": Table("F32", (6, 4), lambda: iter([head])),
    }
    out = tmp_path / "out"
    out.mkdir()
    hashes = write_checkpoint(open_checkpoint(folder), out, tables, {"a"}, link=link)
    assert hashes.written == {name: sha256_of(out / name) for name in hashes.written}
    assert hashes.read == {shard: sha256_of(shard) for shard in folder.glob("*.safetensors")}
    assert len(hashes.written) == len(hashes.read) == 2
    after = contents(out)
    assert torch.equal(after.pop(EMBEDDING), rows) and torch.equal(
        after.pop("lm_head.weight"), head
    )
    del before[EMBEDDING], before["a"]
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    index = json.loads((out / INDEX).read_text(encoding="utf-8"))
    written = open_checkpoint(out)
    assert index["metadata"]["total_size"] == written.num_bytes
    assert index["weight_map"]["lm_head.weight"] == index["weight_map"][EMBEDDING]
    untouched = "model-00002-of-00002.safetensors"
    assert (out / untouched).samefile(folder / untouched) == link
    with safe_open(out / "model-00001-of-00002.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "place": "1"}


def shorten(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-3])


def lengthen(folder: Path) -> None:
    shard = folder / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes() + b"\0")


def remove(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def garble(folder: Path) -> None:
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"\xff" * 64)


def no_json(folder: Path) -> None:
    text = b"{no json}      "
    data = struct.pack("<Q", len(text)) + text
    (folder / "model-00001-of-00002.safetensors").write_bytes(data)


def misplace(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    index["weight_map"]["a"] = "model-00002-of-00002.safetensors"
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def escape(folder: Path) -> None:
    index = {"weight_map": {"a": "../other/model.safetensors"}}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def repeat(folder: Path) -> None:
    tensors = {"a": torch.zeros(1), "b": torch.zeros(1), "scalar": torch.zeros(1)}
    save_file(tensors, folder / "model-00002-of-00002.safetensors")


def no_map(folder: Path) -> None:
    (folder / INDEX).write_text("[]", encoding="utf-8")


def map_of_numbers(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": {"a": 3}}', encoding="utf-8")


def map_is_a_list(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": ["a"]}', encoding="utf-8")


def no_index(folder: Path) -> None:
    (folder / INDEX).unlink()


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (shorten, "its header says"),
        (lengthen, "its header says"),
        (remove, "model-00002-of-00002.safetensors is missing"),
        (garble, "bytes, a header of"),
        (no_json, "no readable safetensors"),
        (misplace, "a is not in model-00002"),
        (escape, "outside of the folder"),
        (repeat, "a is also in"),
        (no_map, "no index of shards"),
        (map_of_numbers, "no index of shards"),
        (map_is_a_list, "no index of shards"),
        (no_index, "2 shards and no"),
    ],
)
def test_damage_is_named(folder: Path, harm: Callable[[Path], None], found: str) -> None:
    harm(folder)
    with pytest.raises(InputError, match=found):
        open_checkpoint(folder)
