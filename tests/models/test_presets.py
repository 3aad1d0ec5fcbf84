"""Shapes: the counted parameters are the real ones."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from dilmac.core import ConfigError
from dilmac.models import PRESETS, num_block_parameters, num_parameters, preset_named


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("tied", [None, True, False])
def test_counted_parameters_are_the_real_ones(name: str, tied: bool | None) -> None:
    preset = PRESETS[name]
    if tied is not None:
        preset = preset.model_copy(update={"tied": tied})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(preset.shape_config(32000))
    assert model.num_parameters() == num_parameters(preset, 32000)
    tables = 32000 * preset.hidden_size * (1 if preset.tied else 2)
    assert num_block_parameters(preset) == model.num_parameters() - tables


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mini", 15.0), ("134m", 134.1), ("134m-tied", 109.5), ("134m-wide", 141.2)],
)
def test_presets_are_what_their_names_say(name: str, parameters: float) -> None:
    assert round(num_parameters(preset_named(name), 32000) / 1e6, 1) == parameters


def test_134m_is_the_published_shape() -> None:
    config = preset_named("134m").shape_config(32000)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (
        768,
        12,
        12,
    )
    assert (config.head_dim, config.intermediate_size, config.rms_norm_eps) == (64, 2048, 1e-5)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 10000.0}
    assert (config.max_position_embeddings, config.initializer_range) == (2048, 0.02)
    assert not config.tie_word_embeddings
    assert preset_named("134m-tied").shape_config(32000).tie_word_embeddings
    assert preset_named("134m-wide").intermediate_size == 2304


def test_rows_suit_k_quants_where_they_can() -> None:
    for name, preset in PRESETS.items():
        assert (
            name in ("tiny", "qwen3-lab")
            or preset.hidden_size % 256 == preset.intermediate_size % 256 == 0
        )


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="one of tiny, quick, mini, qwen3-lab, 134m, 134m-tied, 134m-wide"
    ):
        preset_named("140m")
