"""Trials: real steps on random ids, without a corpus or a tokenizer."""

from pathlib import Path

import pytest

from dilmac.core import ConfigError
from dilmac.training import PRETRAINED, PretrainConfig, Trial, time_trial
from small_runs import small


def tried(folder: Path, seconds: float, **settings: object) -> Trial:
    config: PretrainConfig = small(folder / "none", folder / "none", folder / "out", **settings)
    return time_trial(config, PRETRAINED, num_rows=300, folder=folder, max_seconds=seconds)


def test_a_trial_takes_the_windows_of_the_run(tmp_path: Path) -> None:
    found = tried(tmp_path, 30.0, batch_tokens=1024, micro_batch_tokens=256)
    assert found.micro_tokens == 256
    assert found.num_micro_batches == 4
    assert found.num_timed == 4
    assert found.step_seconds > 0 and found.micro_seconds > 0
    assert found.forward_seconds is not None and found.sample_seconds is not None
    assert not (tmp_path / "out").exists()


def test_without_time_one_step_is_timed_all_the_same(tmp_path: Path) -> None:
    found = tried(tmp_path, 0.0)
    assert found.num_timed == 1
    assert found.forward_seconds is None and found.measuring_peak_bytes is None


def test_what_the_run_would_refuse_the_trial_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16 is for GPUs"):
        tried(tmp_path, 1.0, precision="fp16")
