"""Memory of fine-tuning: numbers that are trained and frozen are those of the real models."""

from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import LlamaForCausalLM

from dilmac.models import PRESETS
from dilmac.training import (
    FinetuneConfig,
    adapter_settings,
    count_parameters,
    finetuning_bytes,
    num_adapter_parameters,
)
from dilmac.training.lengths import padded_tokens

ROWS = 500
TINY = PRESETS["tiny"]


def numbers_of(method: str, **settings: bool) -> tuple[int, int]:
    """Trained numbers, and all, of what the verb trains."""
    config = FinetuneConfig(
        model=Path("m"), data=("d",), out=Path("o"), method=method, lora_rank=4, **settings
    )
    model = LlamaForCausalLM(TINY.shape_config(ROWS))
    if method == "full":
        model.get_input_embeddings().requires_grad_(config.train_embeddings)
        model.get_output_embeddings().requires_grad_(config.train_embeddings)
        count = count_parameters(model)
    else:
        count = count_parameters(get_peft_model(model, adapter_settings(model, config)))
    return count.trainable, count.total


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("rows", [True, False])
def test_trained_and_frozen_numbers_are_those_of_the_verb(method: str, rows: bool) -> None:
    trained, every = numbers_of(method, train_embeddings=rows)
    count = finetuning_bytes(
        TINY,
        ROWS,
        256,
        context=64,
        method=method,
        lora_rank=4,
        train_embeddings=rows,
        precision="fp32",
    )
    assert count.gradients == 4 * trained
    assert count.optimizer == 8 * trained
    assert count.weights == 4 * every


@pytest.mark.parametrize("method", ["dora", "ia3"])
def test_other_adapters_have_as_many_numbers_as_peft_makes(method: str) -> None:
    from peft import IA3Config, LoraConfig, get_peft_model

    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    settings = (
        IA3Config(
            target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
        )
        if method == "ia3"
        else LoraConfig(r=4, target_modules=targets, use_dora=True)
    )
    model = get_peft_model(LlamaForCausalLM(TINY.shape_config(ROWS)), settings)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert num_adapter_parameters(TINY, 4, method) == trained


def test_packed_matrices_and_new_rows_take_less() -> None:
    shape = PRESETS["134m"]

    def weights(**settings: object) -> int:
        return finetuning_bytes(shape, 32_000, 1024, context=1024, **settings).weights  # type: ignore[arg-type]

    adapters = {"train_embeddings": False}
    assert weights(method="qlora", **adapters) < weights(method="qlora", packed="int8", **adapters)
    assert weights(method="qlora", packed="int8", **adapters) < weights(method="lora", **adapters)
    assert weights(new_rows=100) < weights()
    shorter = finetuning_bytes(shape, 32_000, 512, context=512)
    assert shorter.activations < finetuning_bytes(shape, 32_000, 1024, context=1024).activations


def test_nf4_packs_as_bitsandbytes_does() -> None:
    functional = pytest.importorskip("bitsandbytes.functional")
    from dilmac.training.finetuning_memory import PACKED

    matrix = torch.randn(512, 1024)
    packed, state = functional.quantize_4bit(matrix, quant_type="nf4", compress_statistics=True)
    # Of doubly quantized scales: 8 bits each, their own scales, and a table of 256 numbers.
    scales = state.absmax.nbytes + state.state2.absmax.nbytes
    assert (packed.nbytes + scales) / matrix.numel() == pytest.approx(PACKED["nf4"], rel=0.01)


def test_batches_are_padded_as_transformers_groups_them() -> None:
    from transformers.trainer_pt_utils import get_length_grouped_indices

    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(5, 300, (700,), generator=generator).tolist()
    order = get_length_grouped_indices(lengths, 8, generator=generator)
    theirs = [8 * max(lengths[place] for place in order[at : at + 8]) for at in range(0, 696, 8)]
    ours = padded_tokens(lengths, 8)
    assert len(ours) == 88
    assert sum(ours[:87]) == pytest.approx(sum(theirs), rel=0.03)
    assert sum(ours) >= sum(lengths)
