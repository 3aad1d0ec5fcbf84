"""Sources and their weights, and a sample that is drawn by hash."""

from pathlib import Path

import pytest

from dilmac.core import ConfigError
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import TokenizerConfig
from dilmac.tokenizer.sample import WeighedText, weigh, weights_of


def test_a_source_counts_as_its_bytes_to_a_power() -> None:
    sizes = {"law": 6400, "news": 100}
    assert weights_of(sizes, 1, 50) == {"law": 1, "news": 1}
    assert weights_of(sizes, 0.5, 50) == {"law": 1, "news": 8}
    assert weights_of(sizes, 0, 100) == {"law": 1, "news": 64}
    assert weights_of(sizes, 0, 50) == {"law": 1, "news": 50}
    assert weights_of({}, 0, 50) == {}


@pytest.fixture(scope="module")
def two_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, count in (("uzun", 400), ("az", 20)):
        lines = [f"{name} kaynağın {place}. satırında birkaç söz durur" for place in range(count)]
        (folder / f"{name}.txt").write_text("\n\n".join(lines), encoding="utf-8")
    inputs = tuple(str(folder / f"{name}.txt") for name in ("uzun", "az"))
    config = CorpusConfig(inputs=inputs, steps=("repair",), out=folder / "corpus")
    return build_corpus(config).path


def weighed(corpus: Path, **settings: object) -> WeighedText:
    return weigh(TokenizerConfig(corpus=corpus, out=corpus.parent / "t", **settings))


def test_a_corpus_is_weighed_by_its_sources(two_sources: Path) -> None:
    text = weighed(two_sources, balance=0)
    counted = {name: text.sizes[name] * text.weights[name] for name in text.sizes}
    assert set(counted) == {"uzun", "az"}
    assert counted["uzun"] == pytest.approx(counted["az"])
    by_weight = {weight for _, weight in text.stream(10**9)}
    assert by_weight == set(text.weights.values())


def test_a_weight_of_zero_leaves_a_source_out(two_sources: Path) -> None:
    text = weighed(two_sources, source_weights={"uzun": 0})
    texts = [text for text, _ in text.stream(10**9)]
    assert len(texts) == 20 and all(text.startswith("az") for text in texts)
    with pytest.raises(ConfigError, match="no source 'kısa'"):
        weighed(two_sources, source_weights={"kısa": 2})
    for factor in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="is no weight"):
            weighed(two_sources, source_weights={"az": factor})
    few = weighed(two_sources, source_weights={"az": 0.001, "uzun": 0.001})
    assert few.weights == weighed(two_sources).weights


def test_a_sample_is_as_large_as_asked_and_stands_for_the_whole(two_sources: Path) -> None:
    text = weighed(two_sources)
    half = list(text.stream(text.num_bytes // 2))
    assert half == list(text.stream(text.num_bytes // 2))
    size = sum(len(part.encode()) for part, _ in half)
    assert 0.4 * text.num_bytes < size < 0.6 * text.num_bytes
    stands_for = sum(len(part.encode()) * weight for part, weight in half)
    assert stands_for == pytest.approx(text.num_bytes, rel=0.2)
