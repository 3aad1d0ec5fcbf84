"""How much text is measured at once: bounded by the logits, whatever the vocabulary."""

from hypothesis import given
from hypothesis import strategies as st

from dilmac.evaluate import measured_windows, measuring_bytes
from dilmac.evaluate.bits import MAX_BATCH_TOKENS, MAX_LOGITS


@given(rows=st.integers(256, 400_000), context=st.integers(16, 8192))
def test_logits_are_bounded_but_for_a_single_window(rows: int, context: int) -> None:
    windows = measured_windows(rows, context)
    tokens = windows * context
    assert windows == 1 or (tokens <= MAX_BATCH_TOKENS and tokens * rows <= MAX_LOGITS)
    assert measuring_bytes(rows, context) == 12 * tokens * rows
    assert measuring_bytes(rows, context, wide=2) == 12 * tokens * rows
    assert measuring_bytes(rows, context, num_tokens=1) == 12 * rows


def test_vocabularies_of_32k_rows_are_measured_as_before() -> None:
    assert measured_windows(32_000, 512) == 8
    assert measured_windows(183_669, 1024) == 1
