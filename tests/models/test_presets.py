"""Shapes: the counted parameters are the real ones."""

import pytest
import torch
from transformers import LlamaForCausalLM

from dilmac.core import ConfigError
from dilmac.models import PRESETS, num_parameters, preset_named


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("tied", [True, False])
def test_counted_parameters_are_the_real_ones(name: str, tied: bool) -> None:
    preset = PRESETS[name].model_copy(update={"tied": tied})
    with torch.device("meta"):
        model = LlamaForCausalLM(preset.llama_config(32000))
    assert model.num_parameters() == num_parameters(preset, 32000)


def test_134m_is_what_its_name_says() -> None:
    preset = preset_named("134m")
    assert round(num_parameters(preset, 32000) / 1e6) == 134
    tied = preset.model_copy(update={"tied": True})
    assert round(num_parameters(tied, 32000) / 1e6) in (109, 110)


def test_rows_suit_k_quants_where_they_can() -> None:
    assert all(p.hidden_size % 256 == 0 for name, p in PRESETS.items() if name != "tiny")


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of tiny, quick, 134m"):
        preset_named("140m")
