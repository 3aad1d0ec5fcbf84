"""Bits per byte: every byte is counted once, whatever the windows and batches."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from dilmac.evaluate import Bits, measure_bits
from dilmac.evaluate.bits import windows_of
from dilmac.models import load_model, preset_named
from dilmac.tokenizer import Tokenizer


@given(length=st.integers(1, 300), context=st.integers(8, 64))
def test_windows_count_each_id_once(length: int, context: int) -> None:
    ids = list(range(length))
    counted = [row for w in windows_of(ids, context) for row in w.ids[w.first_counted :]]
    assert counted == ids[1:]


@given(length=st.integers(1, 300), context=st.integers(8, 64))
def test_windows_leave_half_a_context_before_what_is_counted(length: int, context: int) -> None:
    for place, window in enumerate(windows_of(list(range(length)), context)):
        assert len(window.ids) <= context + 1
        assert place == 0 or window.first_counted >= context // 2


def test_a_model_that_knows_nothing_needs_log2_of_the_vocabulary(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    model = LlamaForCausalLM(preset_named("tiny").shape_config(len(tokenizer)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    texts = ["Bir varmış bir yokmuş. " * 40, "Kısa."]
    bits = measure_bits(model, tokenizer, texts)
    num_tokens = sum(len(tokenizer.encode(text)) for text in texts)
    num_bytes = sum(len(text.encode()) for text in texts)
    assert (bits.num_tokens, bits.num_bytes) == (num_tokens, num_bytes)
    expected = num_tokens * math.log2(len(tokenizer)) / num_bytes
    assert bits.per_byte == pytest.approx(expected, rel=1e-5)


def test_texts_together_cost_what_they_cost_alone(tiny_model: Path) -> None:
    model, tokenizer = load_model(tiny_model), Tokenizer(tiny_model)
    texts = ["Deniz bugün sakin.", "Çarşıda taze balık vardı. " * 30, "Ğ", "🙂 ve ▁"]
    alone = sum((measure_bits(model, tokenizer, [text]) for text in texts), Bits())
    together = measure_bits(model, tokenizer, texts)
    assert together.nats == pytest.approx(alone.nats, rel=1e-5)
    assert together.num_bytes == alone.num_bytes


def test_measuring_leaves_the_training_mode_as_it_was(tiny_model: Path) -> None:
    model = load_model(tiny_model).train()
    measure_bits(model, Tokenizer(tiny_model), ["Merhaba."])
    assert model.training


def test_no_text_is_infinitely_bad() -> None:
    assert Bits().per_byte == math.inf
