"""The spike guard: what is far out is skipped, what is usual is not, and a resume decides alike."""

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import DilmacError
from dilmac.training.spikes import DivergenceWatch, SpikeGuard


def run(seed: int, steps: int = 1500, loss_noise: float = 0.1, norm_noise: float = 0.3) -> list:
    """Loss and norm of a run that goes well: falling fast, then slowly, norms with long tails."""
    random, time = np.random.default_rng(seed), np.arange(steps)
    losses = 1 + 8 * (time + 20.0) ** -0.3 + random.normal(0, loss_noise, steps)
    warm = np.minimum(1, 0.2 + time / 50)  # norms rise while the learning rate warms up
    norms = warm * (0.3 + 3 * (time + 10.0) ** -0.4) * np.exp(random.normal(0, norm_noise, steps))
    return list(zip(losses.tolist(), norms.tolist(), strict=True))


@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.05, 0.2), (0.2, 0.3), (0.4, 0.5)])
def test_a_run_that_goes_well_loses_no_step_and_is_not_warned_about(
    noise: tuple[float, float],
) -> None:
    for seed in range(3):
        guard, watch = SpikeGuard(), DivergenceWatch()
        for loss, norm in run(seed, 1500, *noise):
            assert guard.should_skip(loss, norm) is None
            assert watch.update(loss) is None
        assert guard.num_skipped == 0


def test_constant_values_are_no_spikes() -> None:
    assert not any(map(SpikeGuard().should_skip, [2.5] * 200, [0.0] * 200))
    guard = SpikeGuard()
    assert not any(guard.should_skip(2.5 + 1e-3 * (i % 2), 0.5) for i in range(200))
    assert guard.should_skip(2.7, 0.5)


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [
        (4.5, 0.5, "loss 4.5 is above"),
        (2.2, 40.0, "gradient norm 40 is above"),
        (math.nan, 0.5, "loss is not finite"),
        (2.2, math.inf, "gradient norm is not finite"),
    ],
)
def test_a_spike_is_skipped_and_the_next_step_is_not(loss: float, norm: float, reason: str) -> None:
    guard = SpikeGuard()
    steps = run(1)
    for usual in steps[:400]:
        guard.should_skip(*usual)
    before = guard.state()
    assert str(guard.should_skip(loss, norm)).startswith(reason)
    after = guard.state()
    assert after["num_skipped"] == 1
    assert (after["losses"], after["norms"]) == (before["losses"], before["norms"])
    assert guard.should_skip(*steps[400]) is None
    assert guard.state()["losses"][-1] == steps[400][0]


def test_early_steps_are_skipped_only_if_not_finite() -> None:
    guard = SpikeGuard(window=20)
    for loss, norm in [(9.0, 1.0), (30.0, 300.0), (8.0, 0.1)] * 3:
        assert guard.should_skip(loss, norm) is None
    assert guard.should_skip(math.nan, 1.0)


def test_values_below_are_never_skipped() -> None:
    guard = SpikeGuard(window=16, warmup=8)
    assert not any(guard.should_skip(5.0, 1.0) for _ in range(16))
    assert guard.should_skip(0.5, 0.001) is None


def test_an_infinite_bound_skips_only_what_is_not_finite() -> None:
    guard = SpikeGuard(sigmas=math.inf)
    for _ in range(200):
        assert guard.should_skip(2.0, 0.5) is None
    assert guard.should_skip(2000.0, 5e9) is None
    assert guard.should_skip(math.nan, 0.5)


@pytest.mark.parametrize(("loss", "said"), [(9.0, "above"), (math.nan, "not finite")])
def test_a_loss_that_stays_out_ends_the_run(loss: float, said: str) -> None:
    guard = SpikeGuard()
    for usual in run(2)[:300]:
        guard.should_skip(*usual)
    for _ in range(4):
        assert guard.should_skip(loss, 1.0)
    with pytest.raises(DilmacError, match="the loss runs away: 5 steps in a row") as raised:
        guard.should_skip(loss, 1.0)
    assert said in raised.value.found
    assert "--learning-rate" in str(raised.value.mend)


def test_spikes_with_good_steps_between_do_not_end_the_run() -> None:
    guard = SpikeGuard()
    for usual in run(3)[:300]:
        guard.should_skip(*usual)
    for usual in run(4)[300:330]:
        assert guard.should_skip(9.0, 1.0)
        assert guard.should_skip(*usual) is None
    assert guard.num_skipped == 30


def test_gradients_that_have_become_larger_for_good_are_learned() -> None:
    guard = SpikeGuard()
    for usual in run(5)[:300]:
        guard.should_skip(*usual)
    reasons = [guard.should_skip(2.2, 60.0 + i % 3) for i in range(200)]
    assert all(reasons[:5]) and not any(reasons[5:])
    assert guard.should_skip(2.2, 2e4)


finite = st.floats(0, 1e30)
steps_of_any_kind = st.lists(
    st.tuples(finite | st.just(math.nan) | st.just(math.inf), finite | st.just(math.nan)),
    max_size=60,
)


def decisions(guard: SpikeGuard, steps: list[tuple[float, float]]) -> Iterator[str | None]:
    for loss, norm in steps:
        try:
            yield guard.should_skip(loss, norm)
        except DilmacError as error:
            yield str(error)


@given(steps_of_any_kind, steps_of_any_kind)
def test_a_resumed_guard_decides_as_an_undisturbed_one(
    before: list[tuple[float, float]], after: list[tuple[float, float]]
) -> None:
    undisturbed, resumed = SpikeGuard(window=12, warmup=4), SpikeGuard(window=12, warmup=4)
    list(decisions(undisturbed, before))
    resumed.load(json.loads(json.dumps(undisturbed.state(), allow_nan=False)))
    assert list(decisions(resumed, after)) == list(decisions(undisturbed, after))
    assert resumed.state() == undisturbed.state()


def rising(steps: int) -> list[float]:
    """A loss that goes well for 600 steps and then climbs half a nat every hundred."""
    well = [loss for loss, _ in run(6, 600)]
    random = np.random.default_rng(7)
    return well + [well[-1] + 0.005 * i + random.normal(0, 0.1) for i in range(steps)]


def test_a_rising_loss_is_told_once_and_early() -> None:
    watch = DivergenceWatch()
    told = [watch.update(loss) for loss in rising(800)]
    places = [place for place, text in enumerate(told) if text]
    assert len(places) == 1 and 620 < places[0] < 800
    assert "the loss has been rising" in str(told[places[0]])
    assert "--learning-rate" in str(told[places[0]])


def test_a_bump_that_passes_is_not_told() -> None:
    watch = DivergenceWatch()
    losses = [2.0 + 0.02 * (i % 5) for i in range(300)]
    losses[200:220] = [3.0] * 20
    assert not any(watch.update(loss) for loss in losses)


def test_a_resumed_watch_tells_at_the_same_step() -> None:
    losses = rising(400)
    undisturbed, watch = DivergenceWatch(), DivergenceWatch()
    expected = [undisturbed.update(loss) for loss in losses]
    found = []
    for loss in losses:
        found.append(watch.update(loss))
        again = DivergenceWatch()
        again.load(json.loads(json.dumps(watch.state())))
        watch = again
    assert found == expected and any(expected)
