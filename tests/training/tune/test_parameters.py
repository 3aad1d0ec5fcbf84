"""Counting: known numbers of known models, on no memory at all."""

from pathlib import Path

import pytest
import torch
from peft import get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from dilmac.core import ConfigError
from dilmac.training import FinetuneConfig, adapter_settings, count_parameters
from dilmac.training.tune.methods import LLAMA_LIKE


def settings(**values: object) -> FinetuneConfig:
    given = {"model": Path("m"), "data": ("d",), "out": Path("o"), "train_embeddings": False}
    return FinetuneConfig.model_validate(given | values)


@pytest.mark.parametrize(("rank", "trainable"), [(8, 294_912), (16, 589_824)])
def test_lora_on_c_attn_of_gpt2(rank: int, trainable: int) -> None:
    """12 layers × rank × (768 + 3 · 768); the guides that say otherwise count another rank."""
    with torch.device("meta"):
        base = GPT2LMHeadModel(GPT2Config())
    assert count_parameters(base).total == 124_439_808
    config = settings(targets=("c_attn",), lora_rank=rank)
    count = count_parameters(get_peft_model(base, adapter_settings(base, config)))
    assert count.trainable == trainable
    assert count.total == 124_439_808 + trainable
    assert count.adapter_megabytes == pytest.approx(trainable * 4 / 1e6)
    assert f"{trainable:,} of {count.total:,}" in str(count)


def small(kind: str) -> torch.nn.Module:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    gpt2 = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 64}
    config = AutoConfig.for_model(kind, **(gpt2 if kind == "gpt2" else shape | heads))
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "gemma", "gpt2"])
@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_targets_are_those_of_the_architecture(kind: str, method: str) -> None:
    base = small(kind)
    if (kind, method) == ("gemma", "ia3"):
        with pytest.raises(ConfigError, match="name them by --targets"):
            adapter_settings(base, settings(method=method))
        return
    model = get_peft_model(base, adapter_settings(base, settings(method=method)))
    adapted = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if hasattr(module, "base_layer")
    }
    llama = {"k_proj", "v_proj", "down_proj"} if method == "ia3" else set(LLAMA_LIKE)
    gpt2 = {"c_attn", "c_proj"} if method == "ia3" else {"c_attn", "c_proj", "c_fc"}
    assert adapted == (gpt2 if kind == "gpt2" else llama)
    assert all(
        p.requires_grad == ("lora_" in n or "ia3_" in n) for n, p in model.named_parameters()
    )
