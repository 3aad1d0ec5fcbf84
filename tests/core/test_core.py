"""Configs, progress, pages, shards and what ships with the package."""

import json
import unicodedata
from pathlib import Path

import pytest
from pydantic import Field

from dilmac.core import (
    SAMPLES,
    Config,
    ConfigError,
    DilmacError,
    Events,
    InputError,
    Page,
    ShardWriter,
    Steps,
    bundled_instructions,
    bundled_prose,
    num_cpus,
    read_documents,
    read_events,
    read_measured_texts,
)


class TeaConfig(Config):
    """Settings of a cup of tea."""

    sugar_cubes: int = Field(2, ge=0, description="cubes of sugar")
    glass: str = Field(description="which glass")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"glass": "thin", "sugar_cube": 1}, "did you mean 'sugar_cubes'"),
        ({"glass": "thin", "milk": True}, "known keys: sugar_cubes, glass"),
        ({}, "glass: is missing"),
        (
            {"glass": "thin", "sugar_cubes": -1},
            r"greater than or equal to 0, found -1(.|\n)*cubes of",
        ),
    ],
)
def test_a_wrong_setting_is_explained(values: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as caught:
        TeaConfig.from_mapping(values, where="tea.yaml: cup")
    assert str(caught.value).startswith("tea.yaml: cup")


def test_an_error_is_a_place_a_finding_and_a_mend() -> None:
    assert str(DilmacError("is cold", where="tea.txt:3", mend="boil it")) == (
        "tea.txt:3: is cold\n  mend: boil it"
    )
    assert str(DilmacError("is cold")) == "is cold"


def test_events_are_cut_back_to_a_checkpoint(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.jsonl")
    events.cut_after(3)
    for step in range(1, 6):
        events.write("step", step=step, loss=1 / step)
    with events.path.open("a", encoding="utf-8") as file:
        file.write('{"event": "step", "st')
    assert [event["step"] for event in read_events(events.path)] == [1, 2, 3, 4, 5]
    events.cut_after(3)
    assert [event["step"] for event in read_events(events.path)] == [1, 2, 3]


def test_progress_says_rate_and_time_left() -> None:
    seconds = iter([0.0, 100.0, 100.0])
    steps = Steps("tea", total=30, done=10, unit="cups")
    steps._clock = lambda: next(seconds)
    with steps:
        steps.done = 20
        assert steps.line() == "tea 20/30 cups · 0.1/s · eta 0:01:40"


def test_pages_escape_what_they_show(tmp_path: Path) -> None:
    page = Page("<tea>").heading("a & b").text("<script>").code("<x>").table(["<h>"], [("<c>", 3)])
    page.write(tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for raw in ("<tea>", "<script>", "<x>", "<h>", "<c>"):
        assert raw not in text
    assert '<td class="number">3</td>' in text


def test_shards_are_bounded_and_in_order(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, "train", max_bytes=1024)
    texts = [f"belge {n} " * 20 for n in range(30)]
    for text in texts:
        writer.write({"text": text})
    writer.close()
    assert len(list(tmp_path.glob("train-*.jsonl.zst"))) > 3
    assert [document["text"] for document in read_documents(tmp_path, "train")] == texts
    with pytest.raises(InputError, match="no heldout shards"):
        next(read_documents(tmp_path, "heldout"))


def test_usable_cores_are_counted() -> None:
    assert num_cpus() >= 1


def test_the_sample_is_large_varied_and_clean() -> None:
    sizes, paragraphs = {}, []
    for path in bundled_prose():
        texts = list(read_measured_texts([path]))
        sizes[path.stem] = sum(len(text.encode()) for text in texts)
        paragraphs += [part for text in texts for part in text.split("\n\n")]
        assert all(unicodedata.is_normalized("NFC", text) for text in texts)
    assert len(sizes) >= 6 and sum(sizes.values()) >= 80_000
    assert len(set(paragraphs)) == len(paragraphs)


def test_the_instructions_are_many_and_different() -> None:
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()
    pairs = [json.loads(text) for text in lines]
    assert len({pair["instruction"] for pair in pairs}) == len(pairs) >= 150
    assert all(set(pair) == {"instruction", "response"} and pair["response"] for pair in pairs)


def test_counts_of_qwen_are_those_of_its_tokenizer(shared: Path) -> None:
    from transformers import AutoTokenizer

    counts = json.loads((SAMPLES / "qwen3-tokens.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizers" / "qwen3")
    for path in bundled_prose():
        texts = list(read_measured_texts([path]))
        rows = tokenizer(texts, split_special_tokens=True).input_ids
        assert counts[path.stem] == [len(row) for row in rows]
