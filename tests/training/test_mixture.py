"""The mixture: corpora encoded once, each source as often as its weight says."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest
from filelock import FileLock

from dilmac.core import (
    ArtifactError,
    ConfigError,
    InputError,
    ShardWriter,
    StageConfig,
    building,
    read_texts,
)
from dilmac.models import OTHER_SOURCES
from dilmac.tokenizer import Tokenizer
from dilmac.training.mixture import tokenize
from dilmac.training.token_file import INDEX, TokenFile, open_tokens
from written_tokens import all_ids


def corpus(folder: Path, documents: dict[str, str]) -> Path:
    """A folder of train shards: text to source."""
    folder.mkdir()
    writer = ShardWriter(folder, "train", 1 << 20)
    for number, (text, source) in enumerate(documents.items()):
        writer.write({"id": str(number), "text": text, "source": source})
    writer.close()
    return folder


def texts_of(tokens: TokenFile, tokenizer: Tokenizer) -> list[str]:
    """Documents in the order in which they are on disk."""
    starts = [0, *tokens.document_ends().tolist()]
    ids = all_ids(tokens)
    return [tokenizer.decode(ids[start : end - 1]) for start, end in pairwise(starts)]


@pytest.fixture
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


def test_tokens_on_disk_are_the_corpus(
    sample_corpus: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tokens = tokenize(sample_corpus, tokenizer, tmp_path / "tokens")
    end = tokenizer.document_start_id
    texts = list(read_texts(sample_corpus, "train"))
    assert all_ids(tokens) == [row for text in texts for row in [*tokenizer.encode(text), end]]
    assert tokens.dtype == "uint16" and tokens.num_documents == len(texts)
    assert tokens.num_text_bytes == sum(len(text.encode()) for text in texts)
    assert sum(s.num_tokens for s in tokens.index.sources.values()) == tokens.num_tokens


def test_whole_tokens_are_used_again_and_others_refused(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    one = corpus(tmp_path / "one", {"Bir gün.": "a", "Bir gece.": "a"})
    other = corpus(tmp_path / "other", {"Başka bir gün.": "a"})
    folder = tmp_path / "tokens"
    tokens = tokenize(one, tokenizer, folder)
    made = (folder / INDEX).stat().st_mtime_ns
    assert tokenize(one, tokenizer, folder) == tokens
    assert (folder / INDEX).stat().st_mtime_ns == made
    with pytest.raises(ArtifactError, match="another corpora"):
        tokenize(other, tokenizer, folder)
    with pytest.raises(ArtifactError, match="another source weights"):
        tokenize(one, tokenizer, folder, source_weights={"a": 2})
    changed = tmp_path / "tokenizer"
    changed.mkdir()
    settings = json.loads((tokenizer.folder / "tokenizer.json").read_text(encoding="utf-8"))
    settings["added_tokens"].pop()
    (changed / "tokenizer.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(ArtifactError, match="another tokenizer"):
        tokenize(one, Tokenizer(changed), folder)


def test_what_an_interrupted_run_left_is_replaced(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"Bir gün.": "a"})
    folder = tmp_path / "tokens"
    folder.mkdir()
    (folder / "train-00000.bin").write_bytes(b"\1" * 999)
    (folder / "train-00007.bin").write_bytes(b"\1" * 999)
    assert texts_of(tokenize(one, tokenizer, folder), tokenizer) == ["Bir gün."]
    assert not (folder / "train-00007.bin").exists()


def test_several_corpora_are_read_in_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"Bir.": "a", "İki.": "b"})
    two = corpus(tmp_path / "two", {"Üç.": "a"})
    tokens = tokenize([one, two], tokenizer, tmp_path / "tokens")
    assert texts_of(tokens, tokenizer) == ["Bir.", "İki.", "Üç."]
    sources = tokens.index.sources
    assert (sources["a"].num_documents, sources["b"].num_documents) == (2, 1)


def test_weights_choose_and_repeat(tokenizer: Tokenizer, tmp_path: Path) -> None:
    documents = {f"{name} {number}. belge.": name for name in "abcd" for number in range(200)}
    one = corpus(tmp_path / "one", documents)
    weights = {"a": 0.25, "b": 2.5, "c": 0.0}

    def made(name: str, seed: int) -> TokenFile:
        folder = tmp_path / name
        return tokenize(one, tokenizer, folder, source_weights=weights, seed=seed)

    tokens = made("x", 1)
    texts = texts_of(tokens, tokenizer)
    copies = Counter(texts)
    by_source = {
        name: [copies[text] for text, source in documents.items() if source == name]
        for name in "abcd"
    }
    assert set(by_source["a"]) == {0, 1} and 25 < sum(by_source["a"]) < 80
    assert set(by_source["b"]) == {2, 3} and 60 < sum(by_source["b"]) - 400 < 140
    assert set(by_source["c"]) == {0} and set(by_source["d"]) == {1}
    # Copies lie a pass apart, never side by side.
    b_texts = [text for text in texts if documents[text] == "b"]
    assert len(set(b_texts[:200])) == len(set(b_texts[200:400])) == 200
    figures = tokens.index.sources
    assert set(figures) == {"a", "b", "d"}
    assert figures["b"].num_documents == sum(by_source["b"]) and figures["b"].weight == 2.5
    assert figures["d"].weight == 1
    assert tokens.num_text_bytes == sum(len(text.encode()) for text in texts)
    assert made("y", 1).fingerprint == tokens.fingerprint
    assert made("z", 2).fingerprint != tokens.fingerprint


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 1000.0])
def test_a_weight_that_is_no_share_is_refused(
    tokenizer: Tokenizer, tmp_path: Path, weight: float
) -> None:
    one = corpus(tmp_path / "one", {"Bir.": "a"})
    with pytest.raises(ConfigError, match="the weight of 'a'"):
        tokenize(one, tokenizer, tmp_path / "tokens", source_weights={"a": weight})


def test_unknown_sources_and_nothing_left_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"Bir.": "a"})
    with pytest.raises(ConfigError, match="no corpus has a source 'b'"):
        tokenize(one, tokenizer, tmp_path / "tokens", source_weights={"b": 2})
    with pytest.raises(InputError, match="no document is left"):
        tokenize(one, tokenizer, tmp_path / "tokens", source_weights={"a": 0})
    assert not (tmp_path / "tokens" / INDEX).exists()
    assert tokenize(one, tokenizer, tmp_path / "tokens").num_documents == 1


def test_a_wrong_name_is_told_before_anything_is_encoded(
    sample_corpus: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no corpus has a source 'tarıh'[^$]*tarih"):
        tokenize(sample_corpus, tokenizer, tmp_path / "t", source_weights={"tarıh": 2})
    assert not list((tmp_path / "t").glob("train-*"))


def test_a_second_process_waits_for_the_first(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one = corpus(tmp_path / "one", {"Bir.": "a"})
    folder = tmp_path / "tokens"
    folder.mkdir()
    second = Thread(target=tokenize, args=(one, tokenizer, folder))
    with FileLock(folder / ".lock"):
        second.start()
        second.join(0.5)
        assert second.is_alive() and not (folder / INDEX).exists()
    second.join()
    assert open_tokens(folder).num_documents == 1


class CorpusOf(StageConfig):
    """A corpus artifact with figures of the test's choice."""


def corpus_artifact(folder: Path, documents: dict[str, str], named: dict[str, int]) -> Path:
    """As `corpus`, with an artifact that names some of the sources."""
    with building("corpus", CorpusOf(out=folder), {}) as build:
        writer = ShardWriter(build.path, "train", 1 << 20)
        for number, (text, source) in enumerate(documents.items()):
            writer.write({"id": str(number), "text": text, "source": source})
        writer.close()
        build.finish({"documents_kept": len(documents), "kept_by_source": named})
    return folder


@pytest.mark.parametrize("named", [{"a": 1}, {"a": 1, OTHER_SOURCES: 2}])
def test_a_source_that_the_figures_do_not_name_is_known_by_its_documents(
    named: dict[str, int], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    documents = {"Bir.": "a", "İki.": "b", "Üç.": "c"}
    one = corpus_artifact(tmp_path / "one", documents, named)
    tokens = tokenize(one, tokenizer, tmp_path / "tokens", source_weights={"b": 2})
    assert sorted(texts_of(tokens, tokenizer)) == ["Bir.", "Üç.", "İki.", "İki."]
    with pytest.raises(ConfigError, match="no corpus has a source 'd'") as caught:
        tokenize(one, tokenizer, tmp_path / "wrong", source_weights={"d": 2})
    assert str(caught.value.mend) == "sources there: a, b, c"


def test_a_wrong_source_is_refused_before_anything_is_encoded(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    one = corpus_artifact(tmp_path / "one", {"Bir.": "a", "İki.": "b"}, {"a": 1, "b": 1})
    with (
        mock.patch.object(Tokenizer, "encode_arrays", side_effect=AssertionError),
        pytest.raises(ConfigError, match="no corpus has a source 'd'"),
    ):
        tokenize(one, tokenizer, tmp_path / "tokens", source_weights={"d": 2})
