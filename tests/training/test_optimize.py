"""The learning rate's course, and what is decayed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilmac.training.optimize import adamw, rate_share


@given(steps=st.integers(1, 5000), warmup=st.floats(0, 0.9), final=st.floats(0, 1))
def test_rate_stays_between_zero_and_one(steps: int, warmup: float, final: float) -> None:
    shares = [
        rate_share(step, steps, warmup_share=warmup, final_share=final)
        for step in {0, steps // 2, steps - 1}
    ]
    assert all(0 < share <= 1 or final == 0 for share in shares)


def test_rate_warms_up_and_falls_to_its_end() -> None:
    course = [rate_share(s, 100, warmup_share=0.1, final_share=0.1) for s in range(100)]
    assert course[:10] == pytest.approx([0.1 * n for n in range(1, 11)])
    assert course[10:] == sorted(course[10:], reverse=True)
    assert course[-1] == pytest.approx(0.1, abs=0.01)


def test_only_matrices_are_decayed() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    matrices, others = adamw(model, learning_rate=1e-3, weight_decay=0.1).param_groups
    assert matrices["weight_decay"] == 0.1
    assert [p.ndim for p in matrices["params"]] == [2]
    assert others["weight_decay"] == 0.0
    assert all(p.ndim == 1 for p in others["params"])
