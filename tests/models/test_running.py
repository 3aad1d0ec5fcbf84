"""Memory of running a model: the count is what transformers and llama.cpp really take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from dilmac.export.gguf import write_gguf
from dilmac.models import (
    FORMATS,
    Entry,
    bits_per_weight,
    catalogue,
    entry_of_folder,
    kv_bytes_per_token,
    require_model_folder,
    running_bytes,
    shipped_model,
    weight_bytes,
)
from dilmac.models.running import KV_BYTES, MEASURED_BITS, TYPE_BITS

COUNTED = {
    (entry.architecture, entry.params): entry
    for entry in catalogue().models.values()
    if entry.params is not None
}
CONFIGS = {
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
    "qwen2_moe": transformers.Qwen2MoeConfig,
    "qwen3_moe": transformers.Qwen3MoeConfig,
}
SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_hidden_layers": 3,
}
# Four layers, the last of which keeps keys and values; the others keep a state.
HYBRID = {
    **SMALL,
    "num_hidden_layers": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
# Opens a GGUF as dilmac's engine does, and says what it takes.
OPEN = """
import sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.n_ctx, parameters.n_parallel = sys.argv[1], 512, 2
parameters.warmup, parameters.verbosity = False, 5
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
kind = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + sys.argv[2].upper())
parameters.cache_type_k = parameters.cache_type_v = kind
xllamacpp.Server(parameters)
"""


def small(config: Any) -> Any:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("key", COUNTED, ids=lambda key: COUNTED[key].name)
def test_the_catalogues_counts_are_those_of_transformers(key: tuple[str, int]) -> None:
    entry = COUNTED[key]
    assert entry.architecture is not None
    settings = {
        "vocab_size": entry.vocab,
        "hidden_size": entry.hidden,
        "intermediate_size": entry.intermediate or 1,
        "num_attention_heads": entry.heads,
        "num_key_value_heads": entry.kv_heads,
        "tie_word_embeddings": entry.tied,
    }
    if entry.architecture != "qwen2":
        settings["head_dim"] = entry.head_dim
    if entry.experts:
        settings |= {
            "num_experts": entry.experts,
            "num_experts_per_tok": entry.experts_per_token,
            "moe_intermediate_size": entry.moe_intermediate,
        }
    if entry.shared_intermediate:
        settings["shared_expert_intermediate_size"] = entry.shared_intermediate
    counts = []
    for layers in (1, 2):  # all layers are alike
        config = CONFIGS[entry.architecture](**settings, num_hidden_layers=layers)
        with torch.device("meta"):
            counts.append(AutoModelForCausalLM.from_config(config).num_parameters())
    assert entry.layers is not None
    assert counts[0] + (entry.layers - 1) * (counts[1] - counts[0]) == entry.params


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [transformers.LlamaConfig, transformers.Qwen3Config])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_are_the_bytes_of_a_real_models_tensors(
    kind: Any, dtype: torch.dtype, tied: bool, tmp_path: Path
) -> None:
    model = small(kind(**SMALL, tie_word_embeddings=tied)).to(dtype)
    model.save_pretrained(tmp_path / "model")
    entry, stored = entry_of_folder(tmp_path / "model")
    real = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    assert stored == real == weight_bytes(entry, "f32" if dtype == torch.float32 else "bf16")


@pytest.mark.parametrize(
    "config",
    [
        transformers.LlamaConfig(**SMALL),
        transformers.Qwen3Config(**SMALL),
        transformers.Qwen3_5TextConfig(**HYBRID),
    ],
    ids=lambda config: config.model_type,
)
def test_the_kv_cache_is_what_transformers_allocates(config: Any, tmp_path: Path) -> None:
    model = small(config).to(torch.bfloat16)
    model.save_pretrained(tmp_path / "model")
    entry, _ = entry_of_folder(tmp_path / "model")
    slots, tokens = 3, 37
    with torch.inference_mode():
        cache = model(input_ids=torch.ones(slots, tokens, dtype=torch.long)).past_key_values
    layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    found = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    per_token = kv_bytes_per_token(entry)
    assert per_token is not None and found == per_token * tokens * slots
    states = [
        layer.recurrent_states for layer in cache.layers if hasattr(layer, "recurrent_states")
    ]
    assert len(layers) + len(states) == entry.layers
    numbers = sum(_numel(state) for state in states)
    assert 4 * numbers == entry.state_bytes * slots  # fp32 in llama.cpp and vLLM


def _numel(state: Any) -> int:
    values = state.values() if isinstance(state, dict) else [state]
    return sum(value.numel() for value in values)


@pytest.mark.parametrize("kv_type", KV_BYTES)
def test_llama_cpp_says_the_same(kv_type: Any, tmp_path: Path) -> None:
    folder, file = shipped_model("dilmac-mini"), tmp_path / "model.gguf"
    write_gguf(folder, require_model_folder(folder), file, "f16")
    said = _opened(file, kv_type)
    entry, _ = entry_of_folder(folder)
    running = running_bytes(entry, "bf16", 256, slots=2, kv_type=kv_type)
    assert running is not None
    # It counts in hundredths of a MiB; its vectors are f32.
    assert _said(r"llama_kv_cache: size = +([0-9.]+) MiB", said) == pytest.approx(
        running.kv_cache, abs=0.006 * 2**20
    )
    assert _said(r"file size += ([0-9.]+) MiB", said) == pytest.approx(running.weights, rel=0.001)
    beside = _said(r"compute buffer size = +([0-9.]+) MiB", said)
    assert 0 < beside + _said(r"output buffer size = +([0-9.]+) MiB", said) < running.buffers


def _opened(file: Path, kv_type: str) -> str:
    """What llama.cpp says until it has its buffers; it is not waited for."""
    command = [sys.executable, "-c", OPEN, str(file), kv_type]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "compute buffer size" in line:
                break
        process.kill()
    return "".join(lines)


def _said(pattern: str, text: str) -> float:
    return float(re.findall(pattern, text)[-1]) * 2**20


def test_bits_of_a_type_are_ggmls() -> None:
    for name, bits in TYPE_BITS.items():
        numbers, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
        assert bits == 8 * size / numbers
    for name, size in (("q8_0", KV_BYTES["q8_0"]), ("q4_0", KV_BYTES["q4_0"])):
        block, stored = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
        assert size == stored / block


# Files that llama.cpp quantized, in bits a weight. Rows of 896 are not divisible by 256.
@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("Qwen3-0.6B", {"q4_k_m": 5.28, "q5_k_m": 5.92, "q8_0": 8.54}),
        ("Qwen2.5-0.5B", {"q4_k_m": 6.39, "q5_k_m": 6.75, "q8_0": 8.55}),
    ],
)
def test_bits_counted_are_those_measured(name: str, measured: dict[Any, float]) -> None:
    for weights, bits in measured.items():
        counted = bits_per_weight(catalogue().models[name], weights)
        assert counted == pytest.approx(bits, rel=0.015)
        assert counted < bits  # the file holds the tokenizer, too


def test_a_shape_that_is_not_wholly_known_gets_what_was_measured() -> None:
    hybrid = catalogue().models["Qwen3.5-27B"]
    assert {name: bits_per_weight(hybrid, name) for name in MEASURED_BITS} == MEASURED_BITS  # type: ignore[arg-type]
    assert bits_per_weight(hybrid, "bf16") == 16


def test_the_trap() -> None:
    def kv(name: str) -> int:
        running = running_bytes(catalogue().models[name], "q4_k_m", 8192)
        assert running is not None
        return running.kv_cache

    small, large = catalogue().models["Qwen3-0.6B"], catalogue().models["Qwen2.5-7B"]
    assert kv("Qwen3-0.6B") == 896 << 20 and kv("Qwen2.5-7B") == 448 << 20
    assert kv("Qwen3-0.6B") > 2 * (weight_bytes(small, "q4_k_m") or 0)
    assert kv("Qwen2.5-7B") < 0.2 * (weight_bytes(large, "q4_k_m") or 0)
    assert catalogue().models["Qwen3.5-27B"].state_bytes == 144 << 20


@given(
    entry=st.sampled_from(list(catalogue().models.values())),
    context=st.integers(1, 1 << 20),
    slots=st.integers(1, 16),
    kv_type=st.sampled_from(list(KV_BYTES)),
)
def test_more_never_takes_less(entry: Entry, context: int, slots: int, kv_type: Any) -> None:
    found = [running_bytes(entry, one, context, slots=slots, kv_type=kv_type) for one in FORMATS]
    if None in found:
        assert set(found) == {None}
        assert entry.size is None or kv_bytes_per_token(entry) is None
        return
    totals = [one.total for one in found if one is not None]
    assert totals == sorted(totals, reverse=True)  # from fine to coarse
    longer = running_bytes(entry, "bf16", 2 * context, slots=slots, kv_type=kv_type)
    more = running_bytes(entry, "bf16", context, slots=2 * slots, kv_type=kv_type)
    assert longer is not None and more is not None
    assert totals[1] < longer.total <= more.total  # a slot has a state of its own
