"""Stretched contexts: what transformers computes from the config is what the papers say."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import ConfigError
from dilmac.models import (
    RopeType,
    preset_named,
    rope_parameters,
    trained_context,
    with_longer_context,
)


def frequencies(config: Any) -> tuple[torch.Tensor, float]:
    rotary = LlamaForCausalLM(config).model.rotary_emb
    return rotary.inv_freq, float(rotary.attention_scaling)


def test_linear_divides_every_position() -> None:
    preset = preset_named("tiny")
    plain, _ = frequencies(preset.shape_config(300))
    scaled, sharper = frequencies(with_longer_context(preset, 512, "linear").shape_config(300))
    assert torch.allclose(scaled, plain / 4) and sharper == 1


def test_yarn_keeps_fast_rotations_and_stretches_slow_ones() -> None:
    preset = preset_named("134m").model_copy(update={"num_layers": 1})
    plain, _ = frequencies(preset.shape_config(300))
    scaled, sharper = frequencies(with_longer_context(preset, 4096).shape_config(300))
    assert scaled[0] == plain[0] and torch.isclose(scaled[-1], plain[-1] / 2)
    assert sharper == pytest.approx(0.1 * math.log(2) + 1)


@given(
    trained=st.integers(16, 4096),
    factor=st.integers(2, 16),
    kind=st.sampled_from(RopeType.__args__),
)
def test_a_config_and_a_preset_are_stretched_alike_and_remember_their_training(
    trained: int, factor: int, kind: RopeType
) -> None:
    preset = preset_named("tiny").model_copy(update={"context": trained})
    longer = with_longer_context(preset, trained * factor, kind)
    config = with_longer_context(preset.shape_config(300).to_dict(), trained * factor, kind)
    assert LlamaConfig(**config).rope_parameters == longer.shape_config(300).rope_parameters
    assert trained_context(config) == trained
    # Stretching again starts from the training, not from the stretched context.
    again = with_longer_context(config, trained * factor * 2, kind)
    assert again["rope_parameters"]["factor"] == factor * 2
    assert with_longer_context(longer, trained * factor * 2, kind).rope_scaling.factor == factor * 2  # type: ignore[union-attr]


def test_older_configs_are_read() -> None:
    old = {
        "max_position_embeddings": 4096,
        "rope_theta": 5e5,
        "rope_scaling": {"type": "linear", "factor": 2.0},
    }
    assert rope_parameters(old) == {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
    assert trained_context(old) == 2048
    new = with_longer_context(old, 8192, "yarn")
    assert "rope_scaling" not in new and "rope_theta" not in new
    assert new["rope_parameters"] == {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 2048,
        "rope_theta": 5e5,
    }


def test_what_cannot_be_stretched_is_refused() -> None:
    with pytest.raises(ConfigError, match="not longer than the trained context of 128"):
        with_longer_context(preset_named("tiny"), 128)
    llama3 = {"max_position_embeddings": 64, "rope_parameters": {"rope_type": "llama3"}}
    with pytest.raises(ConfigError, match="'llama3' cannot be scaled"):
        with_longer_context(llama3, 128)
