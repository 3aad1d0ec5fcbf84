"""Windows: every token a target once an epoch, in an order that the step number names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.training.choices import Packing
from dilmac.training.windows import IGNORED, Batch, Windows, positions_of
from written_tokens import END, all_ids, numbered_tokens

LENGTHS = st.lists(st.integers(1, 60), min_size=8, max_size=40)
PACKINGS = st.sampled_from(["concat", "best-fit"])


def long_enough(lengths: list[int], context: int) -> list[int]:
    return [*lengths, max(1, context - sum(lengths))]


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, context=st.integers(2, 50), packing=PACKINGS, masked=st.booleans())
def test_every_token_is_a_target_once_an_epoch(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    context: int,
    packing: Packing,
    masked: bool,
) -> None:
    tokens = numbered_tokens(tmp_path_factory.mktemp("t"), long_enough(lengths, context))
    windows = Windows(tokens, context, 1, packing=packing, mask_documents=masked, end_id=END)
    stream = all_ids(tokens)
    before = dict(zip(stream, [END, *stream], strict=False))  # but for END, ids are unique
    for epoch in range(2):
        batch = windows.batch(epoch, windows.num_windows)
        counted = batch.targets != IGNORED
        assert sorted(batch.targets[counted].tolist()) == sorted(stream)
        assert windows.num_targets == len(stream)
        assert windows.padding_share == pytest.approx(1 - counted.mean())
        for given_id, target in zip(
            batch.input_ids[counted].tolist(), batch.targets[counted].tolist(), strict=True
        ):
            assert target == END or given_id == before[target]


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, context=st.integers(2, 50))
def test_packing_keeps_documents_whole_that_fit(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], context: int
) -> None:
    lengths = long_enough(lengths, context)
    tokens = numbered_tokens(tmp_path_factory.mktemp("t"), lengths)
    windows = Windows(tokens, context, 1, packing="best-fit", mask_documents=True, end_id=END)
    batch = windows.batch(0, windows.num_windows)
    found = sorted(
        targets.tolist() for row in range(windows.num_windows) for targets in _targets(batch, row)
    )
    stream = all_ids(tokens)
    ends = np.cumsum(lengths)
    expected = [
        stream[start : min(start + context, end)]
        for end, length in zip(ends.tolist(), lengths, strict=True)
        for start in range(end - length, end, context)
    ]
    assert found == sorted(expected)


def _targets(batch: Batch, row: int) -> list[np.ndarray]:
    """The targets of each document of a row, padding left out."""
    assert batch.documents is not None and batch.positions is not None
    pieces = []
    for number in np.unique(batch.documents[row]):
        here = batch.documents[row] == number
        assert batch.positions[row][here].tolist() == list(range(here.sum()))
        targets = batch.targets[row][here]
        if (targets == IGNORED).all():
            assert number == batch.documents[row].max()
        else:
            assert (targets != IGNORED).all()
            pieces.append(targets)
    return pieces


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, context=st.integers(2, 50))
def test_a_document_opens_at_the_end_before_it(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], context: int
) -> None:
    tokens = numbered_tokens(tmp_path_factory.mktemp("t"), long_enough(lengths, context))
    batch = Windows(tokens, context, 1, mask_documents=True, end_id=END).batch(0, 9)
    assert batch.documents is not None and batch.positions is not None
    for ids, numbers, places in zip(batch.input_ids, batch.documents, batch.positions, strict=True):
        assert numbers[0] == places[0] == 0
        for at in range(1, context):
            opens = ids[at] == END
            assert numbers[at] == numbers[at - 1] + opens
            assert places[at] == (0 if opens else places[at - 1] + 1)


@settings(max_examples=40, deadline=None)
@given(
    lengths=LENGTHS,
    packing=PACKINGS,
    batch_size=st.integers(1, 13),
    num_ranks=st.integers(1, 5),
    step=st.integers(0, 30),
)
def test_ranks_read_together_what_one_process_would(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    lengths: list[int],
    packing: Packing,
    batch_size: int,
    num_ranks: int,
    step: int,
) -> None:
    tokens = numbered_tokens(tmp_path_factory.mktemp("t"), long_enough(lengths, 16))
    windows = Windows(tokens, 16, 1, packing=packing, mask_documents=True, end_id=END)
    whole = windows.batch(step, batch_size)
    for rank in range(num_ranks):
        part = windows.batch(step, batch_size, rank=rank, num_ranks=num_ranks)
        for name in ("input_ids", "targets", "documents", "positions"):
            assert (getattr(part, name) == getattr(whole, name)[rank::num_ranks]).all()


@settings(max_examples=30, deadline=None)
@given(batch_size=st.integers(1, 40), packing=PACKINGS)
def test_the_order_is_that_of_the_windows_not_of_the_batches(
    tmp_path_factory: pytest.TempPathFactory, batch_size: int, packing: Packing
) -> None:
    tokens = numbered_tokens(tmp_path_factory.mktemp("t"), [17] * 12)
    windows = Windows(tokens, 10, 5, packing=packing, end_id=END)
    num_rows = 3 * windows.num_windows
    single = np.concatenate([windows.batch(step, 1).input_ids for step in range(num_rows)])
    num_steps = -(-num_rows // batch_size)
    rows = [windows.batch(step, batch_size).input_ids for step in range(num_steps)]
    assert (np.concatenate(rows)[:num_rows] == single).all()


def test_order_follows_seed_and_epoch(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [1001], shard_bytes=512)
    first, again, other = (Windows(tokens, 10, seed, end_id=END) for seed in (1, 1, 2))
    assert (first.batch(3, 4).input_ids == again.batch(3, 4).input_ids).all()
    assert (first.batch(3, 4).input_ids != other.batch(3, 4).input_ids).any()
    whole = first.num_windows
    assert (first.batch(0, whole).input_ids != first.batch(1, whole).input_ids).any()
    assert first.batch(0, 4).documents is None and first.batch(0, 4).positions is None


def test_the_fingerprint_names_all_that_decides_the_data(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path / "a", [50, 50])
    same = numbered_tokens(tmp_path / "elsewhere", [50, 50])
    other = numbered_tokens(tmp_path / "b", [49, 51])
    names = [
        Windows(tokens, 10, 1, end_id=END),
        Windows(tokens, 10, 2, end_id=END),
        Windows(tokens, 11, 1, end_id=END),
        Windows(tokens, 10, 1, packing="best-fit", end_id=END),
        Windows(tokens, 10, 1, mask_documents=True, end_id=END),
        Windows(other, 10, 1, end_id=END),
    ]
    assert len({windows.fingerprint() for windows in names}) == len(names)
    assert Windows(same, 10, 1, end_id=END).fingerprint() == names[0].fingerprint()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    tokens = numbered_tokens(tmp_path, [9])
    with pytest.raises(InputError, match="do not fill one window"):
        Windows(tokens, 10, 1, end_id=END)
    assert Windows(tokens, 9, 1, end_id=END).num_windows == 1
    with pytest.raises(InputError, match="documents end with id 0, not 7"):
        Windows(tokens, 9, 1, end_id=7)


def test_positions_begin_anew_in_each_document() -> None:
    documents = np.array([[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]], dtype=np.int32)
    assert positions_of(documents).tolist() == [[0, 1, 0, 1, 2], [0, 0, 0, 1, 2]]
