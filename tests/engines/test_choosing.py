"""How a token is chosen: with transformers' own penalty, which leaves its log-probability alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import RepetitionPenaltyLogitsProcessor

from dilmac.engines.choosing import Chooser, suppressed_rows
from dilmac.engines.interface import Sampling

ROWS = 50
NONE = torch.tensor([], dtype=torch.long)
IDS = st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=20)


@given(seed=st.integers(0, 99), prompt=IDS, penalty=st.sampled_from([1.0, 1.1, 2.0]))
def test_the_penalty_is_that_of_transformers(seed: int, prompt: list[int], penalty: float) -> None:
    torch.manual_seed(seed)
    sampling = Sampling(temperature=0, repetition_penalty=penalty)
    chooser = Chooser(sampling, NONE, prompt)
    theirs = RepetitionPenaltyLogitsProcessor(penalty) if penalty > 1 else None
    ids = list(prompt)
    for _ in range(5):
        logits = torch.randn(ROWS) * 3
        token = chooser(logits)
        expected = logits[None]
        if theirs:
            expected = theirs(torch.tensor([ids]), logits[None].clone())
        assert token.id == int(expected.argmax())
        # What is said of the token is the model's own, before any penalty.
        assert abs(token.logprob - float(torch.log_softmax(logits, -1)[token.id])) < 1e-4
        ids.append(token.id)


def test_what_is_suppressed_stays_so_under_a_penalty() -> None:
    suppressed = suppressed_rows([3], ROWS, ROWS - 1)
    assert suppressed.tolist() == [3, ROWS - 1]
    logits = torch.full((ROWS,), -5.0)
    logits[[3, ROWS - 1, 7]] = torch.tensor([9.0, 8.0, 4.0])
    sampling = Sampling(temperature=0, repetition_penalty=2)
    assert Chooser(sampling, suppressed, [3, ROWS - 1])(logits).id == 7
