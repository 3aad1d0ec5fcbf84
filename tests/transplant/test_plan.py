"""What every row is made of: bytes and roles decide."""

import json
import shutil
from pathlib import Path

import pytest

from dilmac.core import InputError
from dilmac.tokenizer import Side, open_side
from dilmac.transplant.plan import Origin, Plan, id_map, make_plan


@pytest.fixture(scope="module")
def pairs(
    byte_level: Path, byte_level_extended: Path, byte_level_pruned: Path, sample_tokenizer: Path
) -> dict[str, tuple[Side, Side]]:
    folders = {
        "extend": (byte_level, byte_level_extended),
        "prune": (byte_level, byte_level_pruned),
        "replace": (byte_level, sample_tokenizer),
        "replace with byte-level": (sample_tokenizer, byte_level),
    }
    return {
        name: (open_side(first), open_side(second)) for name, (first, second) in folders.items()
    }


def planned(pair: tuple[Side, Side], more_rows: int = 0) -> Plan:
    return make_plan(*pair, len(pair[1].rows) + more_rows)


@pytest.mark.parametrize("way", ["extend", "prune", "replace", "replace with byte-level"])
def test_bytes_decide(pairs: dict[str, tuple[Side, Side]], way: str) -> None:
    source, target = pairs[way]
    plan = planned(pairs[way])
    known = {data for row, data in enumerate(source.rows) if row not in source.control_rows}
    for row, data in enumerate(target.rows):
        if row in target.control_rows:
            assert plan.origins[row] in (Origin.ROLE, Origin.FRESH)
            continue
        assert data and b"".join(source.rows[old] or b"" for old in plan.parts[row]) == data
        assert plan.origins[row] is (Origin.COPIED if data in known else Origin.COMPOSED)
        if plan.origins[row] is Origin.COPIED:
            assert len(plan.parts[row]) == 1
    assert plan.rows_of(Origin.COPIED) and plan.rows_of(Origin.COMPOSED)


def test_turkish_letters_are_found_across_spellings(pairs: dict[str, tuple[Side, Side]]) -> None:
    plan = planned(pairs["replace"])
    shared = [plan.target_bytes[row] or b"" for row in plan.shared()]
    assert sum("ğ".encode() in data or "ş".encode() in data for data in shared) >= 2
    assert b" bir" in shared  # `▁bir` and `Ġbir`


def test_an_extension_keeps_every_row_in_its_place(pairs: dict[str, tuple[Side, Side]]) -> None:
    source, target = pairs["extend"]
    plan = planned(pairs["extend"])
    given = json.loads((target.where / "rows.json").read_text(encoding="utf-8"))
    assert plan.parts == given
    old = range(len(source.rows))
    assert all(plan.parts[row] == [row] and plan.spoken[row] for row in old)
    assert id_map(source, target, plan) == {row: row for row in old}
    assert plan.counts()["composed"] == len(target.rows) - len(source.rows)


def test_a_pruned_extension_brings_its_rows_too(pairs: dict[str, tuple[Side, Side]]) -> None:
    plan = planned(pairs["prune"])
    given = json.loads((pairs["prune"][1].where / "rows.json").read_text(encoding="utf-8"))
    assert plan.parts == given


def test_rows_of_another_base_are_not_believed(
    pairs: dict[str, tuple[Side, Side]], sample_tokenizer: Path
) -> None:
    target = pairs["extend"][1]
    plan = make_plan(open_side(sample_tokenizer), target, len(target.rows))
    assert plan.shared() and b"".join(
        open_side(sample_tokenizer).rows[old] or b"" for old in plan.parts[-1]
    ) == (target.rows[-1] or b"")


def test_doubles_are_silent_and_one_of_them_speaks(pairs: dict[str, tuple[Side, Side]]) -> None:
    target = pairs["replace"][1]
    plan = planned(pairs["replace"])
    by_bytes: dict[bytes, list[int]] = {}
    for row, data in enumerate(target.rows):
        if data and row not in target.control_rows:
            by_bytes.setdefault(data, []).append(row)
    doubles = {data: rows for data, rows in by_bytes.items() if len(rows) > 1}
    assert b"a" in doubles
    for data, rows in doubles.items():
        assert [row for row in rows if plan.spoken[row]] == target.encode_bytes(data)
        assert [plan.read[row] for row in rows] == [plan.spoken[row] for row in rows]


def test_control_tokens_keep_their_role(pairs: dict[str, tuple[Side, Side]]) -> None:
    source, target = pairs["replace"]
    plan, ids = planned(pairs["replace"]), id_map(*pairs["replace"], planned(pairs["replace"]))
    for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        row, old = target.control[name], source.control[name]
        assert plan.parts[row] == [old] and plan.spoken[row] and plan.read[row]
        assert ids[old] == row
    pad = target.control["<|pad|>"]
    assert plan.parts[pad] == [source.control["<|endoftext|>"]]
    assert not plan.spoken[pad] and not plan.read[pad]


def test_what_the_old_vocabulary_has_nothing_like_is_fresh(
    pairs: dict[str, tuple[Side, Side]],
) -> None:
    source, target = pairs["replace"]
    plan = planned((source, target))
    (name,) = target.control.keys() - source.control.keys() - {"<|pad|>"}
    row = target.control[name]
    assert plan.origins[row] is Origin.FRESH and plan.parts[row] == [] and plan.spoken[row]
    back = id_map(target, source, planned((target, source)))
    assert row not in back


def test_rows_past_the_vocabulary_are_idle(pairs: dict[str, tuple[Side, Side]]) -> None:
    plan = planned(pairs["replace"], more_rows=5)
    assert plan.rows_of(Origin.IDLE) == list(range(plan.num_rows - 5, plan.num_rows))
    assert not any(plan.spoken[-5:]) and not any(plan.read[-5:])
    with pytest.raises(InputError, match="cannot hold its vocabulary"):
        planned(pairs["replace"], more_rows=-1)


@pytest.mark.parametrize(
    ("content", "found"), [("[[1], [2]]", "has 2 rows"), ("{", "no list"), ("[1]", "no list")]
)
def test_damaged_rows_are_refused(
    tmp_path: Path, byte_level: Path, byte_level_extended: Path, content: str, found: str
) -> None:
    folder = tmp_path / "extended"
    shutil.copytree(byte_level_extended, folder)
    (folder / "rows.json").write_text(content, encoding="utf-8")
    target = open_side(folder)
    with pytest.raises(InputError, match=found):
        make_plan(open_side(byte_level), target, len(target.rows))
