"""Union-find over arrays finds the components that a plain search finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.corpus.dedup.join import find, join

COUNT = 40
PAIRS = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)), max_size=60)


def plain_components(pairs: list[tuple[int, int]]) -> list[int]:
    smallest = list(range(COUNT))
    for _ in range(COUNT):
        for a, b in pairs:
            smallest[a] = smallest[b] = min(smallest[a], smallest[b])
    return smallest


@settings(max_examples=300, deadline=None)
@given(PAIRS, st.integers(1, 5))
def test_components_are_found_whatever_the_order(
    pairs: list[tuple[int, int]], batches: int
) -> None:
    parent = np.arange(COUNT)
    for start in range(batches):
        batch = np.array(pairs[start::batches], dtype=np.int64).reshape(-1, 2)
        join(parent, batch[:, 0], batch[:, 1])
    assert find(parent, np.arange(COUNT)).tolist() == plain_components(pairs)


def test_a_long_chain_is_one_set() -> None:
    count = 100_000
    parent = np.arange(count)
    numbers = np.random.default_rng(1).permutation(count)
    join(parent, numbers[:-1], numbers[1:])
    assert not find(parent, np.arange(count)).any()


def test_pairs_in_two_rounds_join_one_chain() -> None:
    """As successive revisions of a text do; climbing step by step would be quadratic."""
    count = 200_000
    parent = np.arange(count)
    even = np.arange(0, count - 1, 2)
    join(parent, even, even + 1)
    join(parent, even[:-1] + 1, even[:-1] + 2)
    assert not find(parent, np.arange(count)).any()
