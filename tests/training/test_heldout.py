"""Held-out text: spread over documents and sources, the same on every reading."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import ShardWriter
from dilmac.evaluate import measure_bits
from dilmac.tokenizer import Tokenizer
from dilmac.training.heldout import HeldOut, continuations, level


def heldout(folder: Path, documents: list[tuple[str, str]]) -> Path:
    """A folder of held-out shards: (source, text) each."""
    folder.mkdir()
    writer = ShardWriter(folder, "heldout", 1 << 20)
    for number, (source, text) in enumerate(documents):
        writer.write({"id": str(number), "text": text, "source": source})
    writer.close()
    return folder


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


@pytest.fixture
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


@pytest.fixture
def model(tokenizer: Tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config)


@given(sizes=st.lists(st.integers(0, 50), min_size=1, max_size=20), total=st.integers(0, 400))
def test_the_level_is_the_highest_that_fits(sizes: list[int], total: int) -> None:
    limit = level(sizes, total)
    assert sum(min(size, limit) for size in sizes) <= total
    if limit < max(sizes):
        assert sum(min(size, limit + 1) for size in sizes) > total


def test_documents_are_spread_not_the_first_ones(tokenizer: Tokenizer, tmp_path: Path) -> None:
    documents = [("a", f"{number:05d} " + "ağaç " * 200) for number in range(300)]
    folder = heldout(tmp_path / "one", documents)
    texts = HeldOut(folder, tokenizer, max_bytes=30_000).by_source["a"]
    assert 29_000 < size(texts) <= 30_000
    numbers = sorted(int(text[:5]) for text in texts)
    assert len(numbers) > 20 and numbers[0] < 100 and numbers[-1] > 200
    # The order of the shard does not count.
    mixed = heldout(tmp_path / "mixed", documents[::-1])
    assert HeldOut(mixed, tokenizer, max_bytes=30_000).by_source["a"] == texts


def test_small_sources_are_whole_and_long_documents_give_way(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    one = heldout(tmp_path / "one", [("few", "ç" * 30_000), ("few", "Kısa bir metin."), ("b", "B")])
    two = heldout(tmp_path / "two", [("b", "Bir daha."), ("b", "B"), ("empty", "")])
    (tmp_path / "none").mkdir()
    held = HeldOut([one, two, tmp_path / "none"], tokenizer, max_bytes=5000)
    assert sorted(held.by_source) == ["b", "few"]
    assert sorted(held.by_source["b"]) == ["B", "Bir daha."]
    assert sorted(map(len, held.by_source["few"])) == [15, 2492]
    assert "Kısa bir metin." in held.by_source["few"]


def test_bits_are_those_of_the_texts(
    tokenizer: Tokenizer, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    documents = [(name, f"{name} {number}. " * 40) for name in "ab" for number in range(30)]
    held = HeldOut(heldout(tmp_path / "one", documents), tokenizer)
    for training in (True, False):
        model.train(training)
        bits = held.bits_by_source(model)
        small = held.bits_by_source(model, 2000)
        assert model.training == training
    for name in "ab":
        texts = [text for source, text in documents if source == name]
        expected = measure_bits(model, tokenizer, texts)
        assert bits[name].num_bytes == expected.num_bytes
        assert bits[name].nats == pytest.approx(expected.nats, rel=1e-6)
        assert 1900 < small[name].num_bytes <= 2000


def test_the_mode_comes_back_after_a_fault(
    tokenizer: Tokenizer, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    held = HeldOut(heldout(tmp_path / "one", [("a", "Bir gün.")]), tokenizer)
    model.resize_token_embeddings(8)  # ids of the text are outside
    model.train()
    with pytest.raises(IndexError):
        held.bits_by_source(model)
    assert model.training
    with pytest.raises(IndexError):
        continuations(model, tokenizer, ["Bir gün"], 1)
    assert model.training


def test_nothing_held_out_is_no_figure(
    tokenizer: Tokenizer, model: LlamaForCausalLM, tmp_path: Path
) -> None:
    held = HeldOut(tmp_path, tokenizer)
    assert held.bits_by_source(model) == {}


def test_continuations_repeat_and_leave_the_random_state(
    tokenizer: Tokenizer, model: LlamaForCausalLM
) -> None:
    state = torch.random.get_rng_state()
    compiled = torch.compile(model)  # measured and sampled as it is beneath
    first = continuations(compiled, tokenizer, ["Bir gün"], 3)
    assert continuations(model, tokenizer, ["Bir gün"], 3) == first
    assert (torch.random.get_rng_state() == state).all()
    assert first["Bir gün"].startswith("Bir gün")
