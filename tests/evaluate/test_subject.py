"""Where a continuation begins, and that its likelihood is that of its tokens."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.engines import EngineSpec, engine_for
from dilmac.evaluate import measure_bits
from dilmac.evaluate.subject import EngineSubject, split_pairs
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer, load

WORDS = st.text(alphabet="abcçdeğıioösşuü .,'\n", max_size=30)


@settings(max_examples=50, deadline=None)
@given(context=WORDS.filter(bool), rests=st.lists(WORDS.filter(bool), min_size=1, max_size=4))
def test_choices_of_a_context_are_split_at_one_place(context: str, rests: list[str]) -> None:
    tokenizer = load("tr32k")  # pieces that cross words: the end of a context may join what follows
    before = tokenizer.encode(context)
    wholes = [tokenizer.encode(context + rest) for rest in rests]
    starts = split_pairs([before] * len(rests), wholes, [context] * len(rests))
    assert len(set(starts)) == 1
    for whole, rest, start in zip(wholes, rests, starts, strict=True):
        assert whole[:start] == before[:start]
        assert start < len(whole)  # something is left to be scored
        assert tokenizer.decode(whole[start:]).endswith(rest[-1])


def test_a_joined_boundary_is_scored_with_the_joined_token() -> None:
    assert split_pairs([[1, 2, 3]], [[1, 2, 9]], ["a"]) == [2]
    assert split_pairs([[1, 2, 3]] * 2, [[1, 2, 3, 4], [1, 2, 9]], ["a", "a"]) == [2, 2]
    assert split_pairs([[1, 2], []], [[1, 2, 3], [5, 6]], ["a", ""]) == [2, 0]


def test_likelihoods_are_those_of_the_model(subject: EngineSubject, tiny_model: Path) -> None:
    model, tokenizer = load_model(tiny_model), Tokenizer(tiny_model)
    pairs = [("Bir gün deniz", " sakindi."), ("", "Çarşıda balık vardı."), ("Bir gün deniz", " 🙂")]
    found = list(subject.likelihoods(pairs))
    start = tokenizer.document_start_id
    for (context, rest), likelihood in zip(pairs, found, strict=True):
        ids = [start, *tokenizer.encode(context + rest)]
        begin = 1 + len(tokenizer.encode(context))
        with torch.inference_mode():
            shares = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)
        expected = sum(float(shares[place - 1, ids[place]]) for place in range(begin, len(ids)))
        assert likelihood.logprob == pytest.approx(expected, abs=1e-3)
        best = shares.argmax(-1).tolist()
        assert likelihood.is_greedy == (best[begin - 1 : -1] == ids[begin:])


def test_a_completion_ends_where_it_is_told_to(subject: EngineSubject) -> None:
    said = subject.complete("Bir gün", [], 6)
    assert subject.complete("Bir gün", [said[2:4]], 6) == said[: said.index(said[2:4])]
    assert subject.complete("Bir gün", ["\n\n\n\n"], 6) == said


def test_what_is_too_long_loses_its_beginning_and_is_counted(subject: EngineSubject) -> None:
    long = "Denizde fırtına vardı. " * 60
    short, cut = subject.likelihoods([("Bir gün", " sakindi."), (long, " Sakindi.")])
    assert subject.num_truncated == 1
    assert short.logprob < 0 and cut.logprob < 0


def test_bits_are_those_of_the_batch_measure(subject: EngineSubject, tiny_model: Path) -> None:
    text = "Çarşıda taze balık vardı. " * 20
    whole = measure_bits(
        load_model(tiny_model), Tokenizer(tiny_model), [text], context=subject.engine.context - 1
    )
    assert subject.bits(text).nats == pytest.approx(whole.nats, rel=1e-4)


def test_a_model_without_markers_cannot_chat(
    subject: EngineSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subject.lacks("chat") is subject.lacks("ids") is None
    monkeypatch.delitem(subject.engine.control_tokens, "<|im_start|>")
    assert "not made for chat" in str(subject.lacks("chat"))


def test_gguf_and_folder_agree(tiny_chat: Path, tiny_gguf: Path) -> None:
    pairs = [("Bir gün deniz", " sakindi."), ("Bir gün deniz", " yolu"), ("", "Çarşıda 🙂 vardı.")]
    spec = EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf", exact=True)
    with (
        EngineSubject("gguf", spec) as quantized,
        EngineSubject("tiny", engine_for(tiny_chat)) as source,
    ):
        both = zip(quantized.likelihoods(pairs), source.likelihoods(pairs), strict=True)
        for theirs, ours in both:
            assert theirs.logprob == pytest.approx(ours.logprob, abs=0.05)  # weights in f16
