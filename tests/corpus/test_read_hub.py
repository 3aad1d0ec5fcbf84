"""Datasets by `hf://`: local folders, what stands in the artifact, and what goes wrong."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import huggingface_hub
import pytest

from dilmac.core import InputError
from dilmac.corpus import CorpusConfig
from dilmac.corpus.document import Document
from dilmac.corpus.read import Source, find_sources, hub, input_identity, read_source

TEXTS = [f"Bahçeye {n} fidan dikildi; kirazlar çiçek açtı." for n in range(30)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def config(place: str, **settings: Any) -> CorpusConfig:
    return CorpusConfig.model_validate({"inputs": (place,), "out": "unused", **settings})


def read(place: str, **settings: Any) -> list[Document]:
    (source,) = find_sources(config(place, **settings))
    found = list(read_source(source, config(place, **settings)))
    assert all(isinstance(record, Document) for record in found)
    return found  # type: ignore[return-value]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset of two splits, as it lies on the hub."""
    rows = {"text": TEXTS, "url": [f"https://site{n % 2}.example/{n}" for n in range(30)]}
    dataset = datasets.Dataset.from_dict(rows)
    folder = tmp_path / "Bahçe haberleri"
    (folder / "data").mkdir(parents=True)
    dataset.select(range(20)).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    dataset.select(range(20, 30)).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    return folder


def test_a_local_dataset_is_streamed(folder: Path) -> None:
    train = read(f"hf://{folder}?split=train", source_field="url")
    assert [document.text for document in train] == TEXTS[:20]
    assert train[0].source == "site0.example"
    assert train == read(f"hf://{folder}", source_field="url")
    test = read(f"hf://{folder}?split=test", id_field="url")
    assert [document.text for document in test] == TEXTS[20:]
    assert (test[0].id, test[0].source) == ("https://site0.example/20", "Bahçe haberleri/test")
    assert read(f"hf://{folder}?split=test")[1].id == "Bahçe haberleri/test:2"


def test_a_relative_folder_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert read(f"hf://{folder.name}")[0].text == TEXTS[0]
    monkeypatch.chdir(folder)
    assert read("hf://.")[0].id == "Bahçe haberleri:1"


def test_what_save_to_disk_wrote_is_read(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_dict({"text": TEXTS})
    dataset.save_to_disk(tmp_path / "one")
    datasets.DatasetDict(train=dataset, deney=dataset.select([3])).save_to_disk(tmp_path / "two")
    assert [document.text for document in read(f"hf://{tmp_path}/one")] == TEXTS
    assert [document.text for document in read(f"hf://{tmp_path}/two?split=deney")] == [TEXTS[3]]
    with pytest.raises(InputError, match="yok"):
        read(f"hf://{tmp_path}/two?split=yok")


def test_images_beside_the_text_are_left_alone(tmp_path: Path) -> None:
    broken = {"bytes": b"no image", "path": "x.png"}
    dataset = datasets.Dataset.from_dict({"text": TEXTS[:2], "picture": [broken] * 2})
    dataset = dataset.cast_column("picture", datasets.Image())
    (tmp_path / "d").mkdir()
    dataset.to_parquet(tmp_path / "d" / "train.parquet")
    assert [document.text for document in read(f"hf://{tmp_path}/d")] == TEXTS[:2]


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?split=yok", "Bad split: yok"),
        ("?config=yok", "'yok' not found"),
        ("?spilt=train", "'spilt' is no option"),
        ("?split=", "'split' is empty"),
    ],
)
def test_wrong_places_are_input_errors(folder: Path, query: str, fault: str) -> None:
    place = f"hf://{folder}{query}"
    with pytest.raises(InputError, match=fault) as caught:
        read(place)
    assert caught.value.where == place


@pytest.mark.parametrize(
    "place", ["hf://", "hf://?split=train", "hf:///no/such/folder", "hf://./no"]
)
def test_a_place_without_dataset_is_an_input_error(place: str) -> None:
    with pytest.raises(InputError, match=r"no name|no such folder") as caught:
        read(place)
    assert caught.value.where == place


def test_a_dataset_without_the_text_field_lists_its_fields(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'body'(.|\n)*text, url"):
        read(f"hf://{folder}", text_field="body")


def test_a_broken_file_is_an_input_error(folder: Path) -> None:
    next(folder.rglob("train-*")).write_bytes(b"PAR1nonsense")
    with pytest.raises(InputError, match="cannot be read") as caught:
        read(f"hf://{folder}")
    assert caught.value.where == f"hf://{folder}"


def test_without_network_the_hub_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="offline") as caught:
        find_sources(config("hf://kimse/yok?split=train"))
    assert caught.value.where == "hf://kimse/yok?split=train"
    with pytest.raises(InputError, match="cannot be read"):
        find_sources(config("hf://bu bir ad değil"))
    pinned = Source(f"hf://kimse/yok?revision={COMMIT}")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_source(pinned, config("x")))


def test_the_commit_is_pinned_recorded_and_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    opened: list[dict[str, Any]] = []

    def dataset_info(self: Any, name: str, *, revision: str | None, timeout: float) -> Any:
        asked.append(revision)
        return SimpleNamespace(sha=COMMIT)

    def load_dataset(name: str, config: str | None, **options: Any) -> Any:
        opened.append({"name": name, "config": config, **options})
        return datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    (source,) = find_sources(config("hf://kurum/haber?config=tr&split=test"))
    assert source.place == f"hf://kurum/haber?config=tr&revision={COMMIT}&split=test"
    assert (source.name, source.is_hub, source.kind) == ("kurum/haber/tr/test", True, "hub")
    assert next(read_source(source, config("x"))).id == "kurum/haber/tr/test:1"
    expected = {"config": "tr", "split": "test", "revision": COMMIT, "streaming": True}
    assert opened == [{"name": "kurum/haber", **expected}]
    record = input_identity(source)
    assert record.name == source.place and record.num_bytes == 0
    assert asked == [None]  # once: a commit is asked for no more
    assert input_identity(Source(source.place.replace("test", "train"))) != record
    twice = config("x").model_copy(update={"inputs": ("hf://kurum/haber",) * 2})
    assert len(find_sources(twice)) == 1


def test_a_local_dataset_is_known_by_its_content(folder: Path, tmp_path: Path) -> None:
    def identity(path: Path, query: str = "") -> Any:
        return input_identity(Source(f"hf://{path}{query}"))

    copy = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, copy)
    assert identity(folder) == identity(copy) == identity(copy, "?split=train")
    assert identity(folder, "?split=test").sha256 != identity(folder).sha256
    (copy / "data" / "more.parquet").write_bytes(b"x")
    assert identity(copy) != identity(folder)
    assert hub.name_of(f"hf://{copy}") == folder.name
