"""The loss is that of all logits, and none is made where nothing is learned."""

import copy
from pathlib import Path

import pytest
import torch
from trl.kernels import chunked_logprob
from trl.trainer.utils import add_fused_lm_head

from dilmac.models import load_model
from dilmac.training.tune.answers_only import score_answers_only
from dilmac.training.windows import IGNORED


@pytest.mark.parametrize("learned", [[(0, 3, 7), (1, 5, 6)], [(0, 0, 12), (1, 0, 12)], []])
def test_loss_and_gradients_are_those_of_all_logits(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, learned: list[tuple[int, int, int]]
) -> None:
    scored: list[int] = []
    tile = chunked_logprob._forward_tile

    def counted(*arguments: object, **settings: object) -> None:
        scored.append(len(arguments[0]))  # type: ignore[arg-type]
        tile(*arguments, **settings)

    monkeypatch.setattr(chunked_logprob, "_forward_tile", counted)
    model = load_model(tiny_model)
    plain = copy.deepcopy(model)
    add_fused_lm_head(model)
    assert score_answers_only()
    ids = torch.randint(0, 500, (2, 12))
    labels = torch.full_like(ids, IGNORED)
    for row, start, stop in learned:
        labels[row, start:stop] = ids[row, start:stop]
    num_learned = int((labels[:, 1:] != IGNORED).sum())
    found = model(input_ids=ids, labels=labels, fused_lm_head=True)
    found.loss.backward()
    assert sum(scored) == num_learned
    if not num_learned:
        assert found.loss.item() == 0
        return
    wanted = plain(input_ids=ids, labels=labels)
    wanted.loss.backward()
    torch.testing.assert_close(found.loss, wanted.loss)
    for (name, one), (_, other) in zip(
        model.named_parameters(), plain.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4, msg=name)
