"""Reading: validated where it stands, each file once, licenses kept."""

from pathlib import Path

import pytest

from dilmac.core import InputError, bundled_instructions
from dilmac.training.data.read import data_sources, read_instructions
from dilmac.training.data.records import data_files
from written_data import GOOD, write


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{bad json", "no JSON"),
        ("[1, 2]", "no JSON object"),
        ({"instruction": "a"}, "'response' is missing"),
        ({"instruction": "a", "response": ""}, "'response' is empty"),
        ({"instruction": "a", "response": 3}, "'response' is a number, not text"),
        ({"instruction": "  ", "response": "b"}, "'instruction' is empty"),
        ('{"instruction": "a\\ud800", "response": "b"}', "lone surrogate"),
        ({**GOOD, "id": 1.5}, "'id' is neither text nor a whole number"),
    ],
)
def test_a_fault_names_its_line(tmp_path: Path, line: object, fault: str) -> None:
    path = write(tmp_path / "data.jsonl", GOOD, line)
    with pytest.raises(InputError, match=fault) as caught:
        read_instructions(path)
    assert caught.value.where == f"{path}:2"


def test_empty_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no example"):
        read_instructions(write(tmp_path / "empty.jsonl", ""))
    with pytest.raises(InputError, match="no such file"):
        read_instructions(tmp_path / "nowhere.jsonl")


def test_input_stands_below_the_instruction(tmp_path: Path) -> None:
    path = write(tmp_path / "data.jsonl", {**GOOD, "input": "Kısa olsun."})
    assert read_instructions(path)[0].messages[0].content == "Selam ver.\n\nKısa olsun."


def test_several_files_folders_and_globs_are_read_once(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}.jsonl", {**GOOD, "instruction": name})
    (tmp_path / "notes.txt").write_text("not data", encoding="utf-8")
    files = data_files([tmp_path / "b.jsonl", tmp_path, tmp_path / "*.jsonl"])
    assert [path.name for path in files] == ["b.jsonl", "a.jsonl"]
    said = [example.messages[0].content for example in read_instructions(*files)]
    assert said == ["b", "a"]
    with pytest.raises(InputError, match="no reader"):
        data_files([tmp_path / "notes.txt"])


def test_licenses_are_those_of_the_records_and_ours_of_what_ships(tmp_path: Path) -> None:
    stated = [{**GOOD, "license": license} for license in ("CC-BY-4.0", " CC-BY-4.0\n", "", 3)]
    other = write(tmp_path / "other.jsonl", GOOD, *stated, {**GOOD, "license": "a\ud800"})
    ours = bundled_instructions()[0]
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(ours.read_bytes())
    sources = {s.name: s for s in data_sources(read_instructions(other, ours, copy))}
    assert sources["other.jsonl"].by_license() == {"unknown": 3, "CC-BY-4.0": 2, "a?": 1}
    assert sources["other.jsonl"].documents == 6
    assert list(sources["instructions.jsonl"].by_license()) == ["apache-2.0"]
    assert list(sources["copy.jsonl"].by_license()) == ["unknown"]
