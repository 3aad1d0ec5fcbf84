"""Best-fit packing against the plain algorithm, and the mask against documents on their own."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import InputError
from dilmac.training.pack import best_fit, best_fit_plan, document_mask, stored_plan
from dilmac.training.windows import Windows
from written_tokens import END, numbered_tokens


def plain_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Room left in each bin, one item at a time."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [room for room in rooms if room >= length]
        if fitting:
            rooms.remove(min(fitting))
        rooms.append((min(fitting) if fitting else capacity) - length)
    return sorted(rooms)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 40))
def test_bins_are_those_of_the_plain_algorithm(data: st.DataObject, capacity: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=80))
    bins, num_bins = best_fit(np.array(lengths, dtype=np.int32), capacity)
    rooms = np.full(num_bins, capacity)
    np.subtract.at(rooms, bins, lengths)
    assert sorted(rooms.tolist()) == plain_best_fit(lengths, capacity)


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=60), context=st.integers(1, 40))
def test_a_plan_places_every_token_once(lengths: list[int], context: int) -> None:
    plan = best_fit_plan(np.cumsum(lengths), context)
    placed = [
        place
        for start, length in zip(plan.starts.tolist(), plan.lengths.tolist(), strict=True)
        for place in range(start, start + length)
    ]
    assert sorted(placed) == list(range(sum(lengths)))
    assert plan.rows[0] == 0 and plan.rows[-1] == len(plan.starts)
    assert (np.diff(plan.rows) > 0).all()
    assert (np.add.reduceat(plan.lengths, plan.rows[:-1]) <= context).all()


def test_a_plan_is_made_once_and_kept(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [7, 3, 30, 12, 5, 1, 9])
    first = stored_plan(tokens, 16)
    folder = next(tmp_path.glob("best-fit-16-*"))
    made = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = stored_plan(tokens, 16)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == made
    fresh = best_fit_plan(tokens.document_ends(), 16)
    for name in ("starts", "lengths", "rows"):
        assert (getattr(first, name) == getattr(again, name)).all()
        assert (getattr(first, name) == getattr(fresh, name)).all()
    assert isinstance(again.starts, np.memmap)
    assert stored_plan(tokens, 8).num_windows > first.num_windows


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [7, 3, 30])
    stored_plan(tokens, 16)
    folder = next(tmp_path.glob("best-fit-16-*"))
    np.save(folder / "lengths.npy", np.array([1, 2], dtype=np.int32))
    with pytest.raises(InputError, match="does not fit"):
        stored_plan(tokens, 16)
    (folder / "lengths.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="no readable plan"):
        stored_plan(tokens, 16)


@pytest.mark.parametrize("packing", ["concat", "best-fit"])
def test_packed_documents_do_not_see_each_other(tmp_path: Path, packing: str) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config).eval()
    tokens = numbered_tokens(tmp_path, [9, 5, 14, 3, 11, 20, 6])
    windows = Windows(tokens, 24, 3, packing=packing, mask_documents=True, end_id=END)  # type: ignore[arg-type]
    batch = windows.batch(0, windows.num_windows)
    assert batch.documents is not None and batch.positions is not None
    ids, documents = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.documents)

    def logits(mask: torch.Tensor | None) -> torch.Tensor:
        return model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=torch.from_numpy(batch.positions),
            use_cache=False,
        ).logits

    alone = torch.empty(*ids.shape, config.vocab_size)
    with torch.inference_mode():
        for row, numbers in enumerate(documents):
            for number in numbers.unique():
                here = numbers == number
                alone[row, here] = model(input_ids=ids[row, here][None], use_cache=False).logits[0]
        packed = logits(document_mask(documents))
        leaking = logits(
            torch.ones_like(documents[:, None, None, :], dtype=torch.bool)
            .expand(-1, 1, ids.shape[1], -1)
            .tril()
        )
    assert documents.max() > 1
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)
    assert (leaking - alone).abs().max() > 1e-3  # the comparison can tell


def test_the_mask_is_causal_and_within_documents() -> None:
    mask = document_mask(torch.tensor([[0, 0, 1]]))
    assert mask.shape == (1, 1, 3, 3) and mask.dtype == torch.bool
    assert mask[0, 0].tolist() == [[True, False, False], [True, True, False], [False, False, True]]
