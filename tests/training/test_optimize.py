"""Every parameter has one optimizer, and the state of each can be taken out and put back."""

import copy

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from dilmac.models import PRESETS
from dilmac.training.choices import OptimizerName
from dilmac.training.optimize import (
    MUON_MOMENTUM,
    Optimizers,
    PlainMuon,
    parameter_groups,
    trainable,
)

NAMES: list[OptimizerName] = ["adamw", "muon"]


def model(*, tied: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(3)
    preset = PRESETS["tiny"].model_copy(update={"tied": tied})
    return LlamaForCausalLM(preset.shape_config(200))


def optimizers(of: nn.Module, name: OptimizerName, decay: float = 0.1) -> Optimizers:
    return Optimizers(of, name, weight_decay=decay, table_rate=0.5)


def learn(of: LlamaForCausalLM, by: Optimizers, *, seed: int, rate: float = 1e-2) -> None:
    ids = torch.randint(0, 200, (2, 32), generator=torch.Generator().manual_seed(seed))
    of(ids, labels=ids).loss.backward()
    by.step(rate)
    by.zero_grad()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_belongs_to_one_optimizer(name: OptimizerName, tied: bool) -> None:
    llama = model(tied=tied)
    groups = [group for part in optimizers(llama, name).parts for group in part.param_groups]
    owned = [id(p) for group in groups for p in group["params"]]
    assert sorted(owned) == sorted(id(p) for _, p in trainable(llama))
    assert len(owned) == len(set(owned))
    decayed = {id(p) for g in groups for p in g["params"] if g["weight_decay"]}
    assert decayed == {id(p) for p in llama.parameters() if p.ndim == 2}


@pytest.mark.parametrize("tied", [True, False])
def test_tables_and_norms_are_not_orthogonalized(tied: bool) -> None:
    llama = model(tied=tied)
    matrices, tables, norms = parameter_groups(llama)
    assert [tuple(p.shape) for p in tables] == [(200, 64)] * (1 if tied else 2)
    assert all(p.ndim == 1 for p in norms) and len(norms) == 5
    assert len(matrices) == 2 * 7
    muon, adamw = optimizers(llama, "muon").parts
    assert {id(p) for p in muon.param_groups[0]["params"]} == {id(p) for p in matrices}
    assert len(adamw.param_groups) == 2


def test_a_muon_step_turns_all_directions_alike_at_adamws_size() -> None:
    llama = model()
    by = optimizers(llama, "muon", decay=0.0)
    matrix = llama.model.layers[0].mlp.up_proj.weight
    before = matrix.detach().clone()
    matrix.grad = torch.randn_like(matrix)
    by.step(1e-2)
    moved = (matrix.detach() - before) / 1e-2
    values = torch.linalg.svdvals(moved) / (0.2 * max(moved.shape) ** 0.5)
    assert values.min() > 0.5 and values.max() < 1.3
    # AdamW's update has a root mean square of 0.2 to 0.4 (Liu et al. 2025).
    assert float(moved.square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)


def test_groups_have_their_own_rates_and_decay_their_own_weights() -> None:
    llama = model()
    by = optimizers(llama, "adamw", decay=0.5)
    table, norm = llama.model.embed_tokens.weight, llama.model.norm.weight
    matrix = llama.model.layers[0].mlp.up_proj.weight
    before = [p.detach().clone() for p in (table, norm, matrix)]
    for parameter in llama.parameters():
        parameter.grad = torch.zeros_like(parameter)
    by.step(0.1)  # only decay moves anything
    torch.testing.assert_close(table.detach(), before[0] * (1 - 0.1 * 0.5 * 0.5))
    assert torch.equal(norm.detach(), before[1])
    torch.testing.assert_close(matrix.detach(), before[2] * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("name", NAMES)
def test_state_that_is_taken_out_and_put_back_goes_on_bit_for_bit(name: OptimizerName) -> None:
    llama = model()
    by = optimizers(llama, name)
    for seed in range(3):
        learn(llama, by, seed=seed)
    other = copy.deepcopy(llama)
    theirs = optimizers(other, name)
    for ours, its in zip(llama.parameters(), other.parameters(), strict=True):
        state = {key: value.clone() for key, value in by.state_of(ours).items()}
        assert state and all(isinstance(value, torch.Tensor) for value in state.values())
        theirs.set_state(its, state)
    for seed in range(3, 6):
        learn(llama, by, seed=seed)
        learn(other, theirs, seed=seed)
    for ours, its in zip(llama.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, its)
    kept = {key for p in parameter_groups(llama)[0] for key in by.state_of(p)}
    assert kept == ({"momentum_buffer"} if name == "muon" else {"step", "exp_avg", "exp_avg_sq"})


def test_muons_momentum_is_the_mean_of_gradients() -> None:
    llama = model()
    by = optimizers(llama, "muon")
    matrix = llama.model.layers[0].mlp.up_proj.weight
    mean = torch.zeros_like(matrix)
    for _ in range(4):
        gradient = torch.randn_like(matrix)
        matrix.grad = gradient.clone()
        by.step(1e-3)
        by.zero_grad()
        mean = MUON_MOMENTUM * mean + (1 - MUON_MOMENTUM) * gradient
    torch.testing.assert_close(by.state_of(matrix)["momentum_buffer"], mean)


@pytest.mark.parametrize("shape", [(48, 96), (96, 48), (64, 64)])
def test_our_muon_is_torchs(shape: tuple[int, int]) -> None:
    """In bf16 to the last bit but one, in fp32 closer to what both mean."""
    torch.manual_seed(1)
    start, gradients = torch.randn(shape), torch.randn(3, *shape)
    moved = {}
    for name in ("torch", "bf16", "fp32"):
        parameter = nn.Parameter(start.clone())
        if name == "torch":
            by: torch.optim.Optimizer = torch.optim.Muon(
                [parameter],
                lr=0.0,
                weight_decay=0.1,
                momentum=MUON_MOMENTUM,
                nesterov=True,
                adjust_lr_fn="match_rms_adamw",
            )
        else:
            dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[name]
            by = PlainMuon([parameter], 0.1, dtype)
        by.param_groups[0]["lr"] = 0.02
        for gradient in gradients:
            parameter.grad = gradient.clone()
            by.step()
        moved[name] = parameter.detach() - start
    torch.testing.assert_close(moved["bf16"], moved["torch"], rtol=0, atol=1e-6)
    scale = float(moved["torch"].norm())
    assert float((moved["fp32"] - moved["torch"]).norm()) < 0.03 * scale
