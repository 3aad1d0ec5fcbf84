"""The dial: the shape chosen has the size asked for, and sensible proportions."""

import json

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from dilmac.core import ConfigError
from dilmac.models import (
    PRESETS,
    PresetsConfig,
    list_presets,
    num_parameters,
    print_presets,
    shape_for,
)


@settings(max_examples=60, deadline=None)
@example(exponent=7.056640625, vocab_size=9646, is_exact=False)  # once 512 for a width of 320
@given(exponent=st.floats(6, 9.477), vocab_size=st.integers(8_000, 150_000), is_exact=st.booleans())
def test_the_count_is_within_three_percent(
    exponent: float, vocab_size: int, is_exact: bool
) -> None:
    params = round(10**exponent)
    assume(params >= 65 * vocab_size + 60_000)
    asked = params if is_exact else f"{params / 1e6:.6f}M"
    shape = shape_for(asked, vocab_size)
    assert abs(num_parameters(shape, vocab_size) / params - 1) < 0.03
    assert shape.head_size == 64
    assert shape.num_heads == max(1, shape.hidden_size // 64)
    assert 2 <= shape.intermediate_size / shape.hidden_size <= 4
    assert shape.tied == (params < 1e9)


@pytest.mark.parametrize("size", ["15M", "50M", "134M", "300M", "1B", "3B"])
def test_common_sizes_have_the_proportions_of_published_models(size: str) -> None:
    shape = shape_for(size, 32_000)
    assert shape.hidden_size % 256 == 0 and shape.intermediate_size % 256 == 0
    assert 16 <= shape.hidden_size / shape.num_layers <= 128
    assert 2.3 <= shape.intermediate_size / shape.hidden_size <= 3.1


def test_fifteen_million_is_mini() -> None:
    assert shape_for("15M", 32_000).model_dump(exclude={"head_dim"}) == PRESETS["mini"].model_dump(
        exclude={"head_dim"}
    )


@pytest.mark.parametrize(("size", "vocab_size"), [("3M", 16_000), ("50M", 150_000)])
def test_the_count_is_the_real_models(size: str, vocab_size: int) -> None:
    shape = shape_for(size, vocab_size)
    with torch.device("meta"):
        model = LlamaForCausalLM(shape.shape_config(vocab_size))
    assert model.num_parameters() == num_parameters(shape, vocab_size)


def test_a_vocabulary_beyond_the_budget_is_refused_with_the_smallest_size() -> None:
    with pytest.raises(ConfigError, match=r"150,000 rows\n  mend: at least 9\.66M") as caught:
        shape_for("5M", 150_000)
    assert caught.value.where == "--params"
    shape = shape_for("9.66M", 150_000)
    assert num_parameters(shape, 150_000) == pytest.approx(9.66e6, rel=0.01)


def test_a_size_may_be_written_in_many_ways() -> None:
    ways = ("2B", "2e9", "2_000_000_000", 2_000_000_000)
    assert len({shape_for(written, 32_000).model_dump_json() for written in ways}) == 1


@pytest.mark.parametrize("text", ["", "M", "5Q", "-3M", "0", "1,5B", "fifty", "1.5e", "0.0001k"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--params: .*number(.|\n)*mend: write 2B"):
        shape_for(text, 32_000)


def test_the_table_says_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    figures = list_presets(PresetsConfig(vocab_size=32_000))
    assert list(figures["presets"]) == list(PRESETS)
    assert figures["presets"]["134m"]["parameters"] == 134_105_856
    assert json.loads(json.dumps(figures)) == figures
    print_presets(figures)
    shown = capsys.readouterr().out
    for expected in ("134m-tied", "109.5M", "untied", "12 × 768", "3.62 GiB"):
        assert expected in shown
    chosen = list_presets(PresetsConfig(params="50M"))["presets"]
    assert list(chosen) == ["50M"] and abs(chosen["50M"]["parameters"] / 50e6 - 1) < 0.03
