"""What a step frees stays with the process."""

import ctypes
import resource
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dilmac.training import allocator
from dilmac.training.allocator import keep_freed_memory


def page_faults_of_a_buffer() -> int:
    """Page faults of making and dropping 32 MiB, five times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(8 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
def test_a_second_buffer_costs_no_new_pages() -> None:
    if not keep_freed_memory():
        pytest.skip("not glibc")
    page_faults_of_a_buffer()  # the memory is taken once
    assert page_faults_of_a_buffer() < 1000  # of 8,192 pages each time


@pytest.mark.parametrize("answer", [0, 1])
def test_what_the_library_answers_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    asked: list[tuple[int, int]] = []

    def mallopt(what: int, value: int) -> int:
        asked.append((what, value))
        return answer

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory() is bool(answer)
    assert (allocator.M_MMAP_MAX, 0) in asked


def test_other_systems_and_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> Any:
        raise OSError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not keep_freed_memory()
