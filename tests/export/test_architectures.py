"""Mistral, Qwen2, Qwen3, Qwen3-MoE: llama.cpp computes what transformers does, or it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import KINDS, change_json, config_of, contents, make_model

from dilmac.core import InputError, ParityError
from dilmac.export import export_gguf
from dilmac.export.parity import Agreement, prove

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, sample_tokenizer: Path) -> Make:
    def made(kind: str, **changes: Any) -> Path:
        return make_model(tmp_path / "model", sample_tokenizer, kind, **changes)

    return made


@pytest.mark.parametrize(
    ("kind", "tied", "name"),
    [
        ("mistral", False, "llama"),
        ("qwen2", False, "qwen2"),
        ("qwen2", True, "qwen2"),
        ("qwen3", False, "qwen3"),
        ("qwen3", True, "qwen3"),
        ("qwen3_moe", False, "qwen3moe"),
        ("qwen3_moe", True, "qwen3moe"),
    ],
)
def test_every_architecture_passes_in_f32(make: Make, kind: str, tied: bool, name: str) -> None:
    made = export_gguf(config_of(make(kind, tied=tied, num_spare_rows=8)))
    scores = made.figures["parity"]["logprobs"]
    assert scores["largest_difference"] < 0.0001  # seen: 0.000009
    assert scores["same_best_percent"] == 100
    file = made.path / "model-f32.gguf"
    value = contents(file)
    assert value["general.architecture"] == name
    assert value[f"{name}.attention.key_length"] == KINDS[kind].get("head_dim", 16)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    assert ("output.weight" in tensors) is not tied
    assert ("blk.1.attn_k.bias" in tensors) == (kind == "qwen2")
    assert ("blk.1.attn_q_norm.weight" in tensors) == kind.startswith("qwen3")


def test_experts_are_stacked_and_their_router_stays_f32(make: Make) -> None:
    made = export_gguf(config_of(make("qwen3_moe"), type="bf16"))
    tensors = {t.name: t for t in gguf.GGUFReader(made.path / "model-bf16.gguf").tensors}
    assert tensors["blk.0.ffn_gate_exps.weight"].shape.tolist() == [64, 32, 4]
    assert tensors["blk.0.ffn_down_exps.weight"].shape.tolist() == [32, 64, 4]
    assert tensors["blk.0.ffn_down_exps.weight"].tensor_type.name == "BF16"
    assert tensors["blk.0.ffn_gate_inp.weight"].tensor_type.name == "F32"
    value = contents(made.path / "model-bf16.gguf")
    assert value["qwen3moe.expert_count"] == 4 and value["qwen3moe.expert_used_count"] == 2
    assert value["qwen3moe.expert_feed_forward_length"] == 32


def test_experts_in_another_order_fail_the_proof(make: Make) -> None:
    folder = make("qwen3_moe")
    config = config_of(folder)
    export_gguf(config)
    tensors = load_file(folder / "model.safetensors")
    first, last = (f"model.layers.0.mlp.experts.{number}.up_proj.weight" for number in (0, 3))
    file = config.out / "model-f32.gguf"
    tensors[first], tensors[last] = tensors[last], tensors[first]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ParityError, match="log-probabilities differ"):
        prove(config, file)


def test_bf16_is_within_its_own_bound(make: Make) -> None:
    scores = export_gguf(config_of(make("qwen3"), type="bf16")).figures["parity"]["logprobs"]
    assert 0.001 < scores["largest_difference"] < scores["bound"] == 0.4


@pytest.mark.parametrize("is_other", [False, True])
def test_a_head_beside_tied_tables_is_written_where_it_differs(make: Make, is_other: bool) -> None:
    """transformers reads two tables that differ as two, whatever the config says."""
    folder = make("qwen3", tied=True)
    tensors = load_file(folder / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    tensors["lm_head.weight"] = embedding.flip(0) if is_other else embedding.clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    made = export_gguf(config_of(folder))
    assert made.figures["parity"]["logprobs"]["largest_difference"] < 0.0001
    names = {tensor.name for tensor in gguf.GGUFReader(made.path / "model-f32.gguf").tensors}
    assert ("output.weight" in names) == is_other


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        ("mistral", {"sliding_window": 128}, "sliding_window 128 cannot .* llama has None"),
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window True .* qwen2 has False"),
        ("qwen2", {"head_dim": 32}, "4 heads of 32 are not as wide as the model"),
        ("qwen3", {"attention_bias": True}, "attention_bias True .* qwen3 has False"),
        ("qwen3", {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ("qwen3_moe", {"norm_topk_prob": None}, "norm_topk_prob False .* qwen3moe has True"),
        ("qwen3_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step 2"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, r"mlp_only_layers \[1\]"),
        ("qwen3_moe", {"num_local_experts": 5}, "has 4 experts, config.json says 5"),
    ],
)
def test_what_llamacpps_graph_has_not_is_refused(
    make: Make, tmp_path: Path, kind: str, changes: dict[str, Any], fault: str
) -> None:
    folder = make(kind)
    change_json(folder / "config.json", **changes)
    with pytest.raises(InputError, match=fault):
        export_gguf(config_of(folder))
    assert not (tmp_path / "gguf").exists()


def agreement(*differences: float, bound: float = 0.05) -> Agreement:
    found = Agreement(bound)
    for difference in differences:
        found.add(torch.tensor([0.0, -3.0]), [(0, difference), (1, -3.0)])
    return found


def test_a_switched_expert_is_excused_and_a_wrong_file_is_not() -> None:
    flipped = agreement(*[0.001] * 198, 0.4, 0.4)
    rounding = [0.001] * 199 + [0.4]
    assert not flipped.holds
    flipped.allow_rounding(rounding, 0.5, has_experts=True)
    assert flipped.holds and flipped.bound == 0.05 and flipped.num_allowed == 2
    assert flipped.figures()["beyond_bound"] == 2
    for wrong in (
        agreement(*[0.001] * 190, *[0.4] * 10),  # more than rounding brings
        agreement(*[0.001] * 199, float("nan")),
    ):
        wrong.allow_rounding(rounding, 0.5, has_experts=True)
        assert not wrong.holds


def test_without_experts_every_position_is_within_the_bound() -> None:
    found = agreement(*[0.001] * 199, 0.4)
    found.allow_rounding([0.001] * 199 + [0.1], 0.5, has_experts=False)
    assert not found.holds and found.bound == pytest.approx(0.2) and not found.num_allowed
    found.allow_rounding([0.001] * 199 + [0.3], 0.5, has_experts=False)
    assert found.holds and found.bound == 0.5


def test_rounding_that_is_not_finite_excuses_nothing() -> None:
    found = agreement(*[0.001] * 199, 0.4)
    found.allow_rounding([0.001] * 199 + [float("nan")], 0.5, has_experts=True)
    assert not found.holds and found.bound == 0.05
