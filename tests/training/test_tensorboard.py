"""TensorBoard: what stands in the events is what TensorBoard reads back."""

import sys
from pathlib import Path

import pytest

from dilmac.core import MissingDependencyError

EVENTS = [
    {"event": "step", "step": 1, "loss": 6.5, "bits_per_byte": 2.5, "rate": 1e-3, "time": 100.0},
    {"event": "step", "step": 2, "loss": 6.25, "grad_norm": 1.5, "mfu": 0.25, "time": 101.0},
    {"event": "heldout", "step": 2, "bits_per_byte": 2.25, "by_source": {"haber": 2.0}},
    {"event": "heldout", "step": 3, "bits_per_byte": None, "by_source": None},
    {"event": "skipped", "step": 3, "reason": "loss is not finite (nan)", "loss": float("nan")},
    {"event": "warning", "step": 3, "text": "the loss has been rising"},
    {"event": "sample", "step": 3, "prompt": "Bir gün", "text": "Bir gün çarşıya gittik."},
]


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Scalars of a log folder, and texts as lengths of their summaries."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder))
    log.Reload()
    scalars = {
        tag: [(point.step, point.value) for point in log.Scalars(tag)]
        for tag in log.Tags()["scalars"]
    }
    texts = {
        tag: [(point.step, 0.0) for point in log.Tensors(tag)] for tag in log.Tags()["tensors"]
    }
    return scalars | texts


def test_every_figure_of_the_events_arrives(tmp_path: Path) -> None:
    from dilmac.training.tensorboard import TensorBoardLog

    log = TensorBoardLog(tmp_path)
    for event in EVENTS:
        log.write(event)
    log.close()
    found = read(tmp_path)
    assert found["train/loss"] == [(1, 6.5), (2, 6.25)]
    assert found["train/grad_norm"] == [(2, 1.5)]
    assert found["speed/mfu"] == [(2, 0.25)]
    assert found["heldout_bits_per_byte/all"] == [(2, 2.25)]
    assert found["heldout_bits_per_byte/haber"] == [(2, 2.0)]
    texts = [tag.removesuffix("/text_summary") for tag in found if tag.endswith("text_summary")]
    assert {tag.split("/")[0] for tag in texts} == {"skipped", "warning", "sample"}


def test_a_resumed_run_writes_its_steps_once(tmp_path: Path) -> None:
    from dilmac.training.tensorboard import TensorBoardLog

    for first, last in ((0, 6), (4, 8)):
        log = TensorBoardLog(tmp_path, resumed_at=first)
        for step in range(first, last):
            log.write({"event": "step", "step": step + 1, "loss": 8.0 - step})
        log.close()
    assert [step for step, _ in read(tmp_path)["train/loss"]] == list(range(1, 9))


def test_without_the_package_the_command_that_brings_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.delitem(sys.modules, "dilmac.training.tensorboard", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[tensorboard\]'"):
        __import__("dilmac.training.tensorboard")
