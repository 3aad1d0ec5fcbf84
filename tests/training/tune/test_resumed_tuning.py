"""An interrupted run of any method goes on, and ends with the bytes of an undisturbed one.

That a process is really killed is tested in test_finetune.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dilmac.core import open_artifact
from dilmac.training.tune.watch import Watcher
from tunings import tune

slow = pytest.mark.slow


class StoppedError(Exception):
    """Ends a run, as a crash would."""


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"method": "dora", "eval_steps": 2, "micro_batch_size": 4}, id="dora"),
        pytest.param({"method": "ia3"}, id="ia3", marks=slow),
        pytest.param({"method": "qlora", "eval_steps": 2}, id="nf4", marks=slow),
        pytest.param({"method": "qlora", "quantization": "int8"}, id="int8", marks=slow),
        pytest.param({"method": "full", "eval_steps": 1}, id="full", marks=slow),
        pytest.param({"objective": "dpo", "eval_steps": 2}, id="dpo", marks=slow),
    ],
)
def test_stopped_and_repeated(
    tiny_model: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    if settings.get("method") == "qlora":
        pytest.importorskip("bitsandbytes", reason="needs the extra qlora")
    data = request.getfixturevalue("pairs" if settings.get("objective") == "dpo" else "few")
    settings = settings | {"epochs": 2, "checkpoint_steps": 3}
    undisturbed = tune(tiny_model, data, tmp_path / "undisturbed", **settings)
    log, stops = Watcher.on_log, [5]

    def stopping(self: Watcher, args: Any, state: Any, *others: Any, **more: Any) -> None:
        log(self, args, state, *others, **more)
        if stops and state.global_step == stops[0]:
            stops.pop()
            raise StoppedError

    monkeypatch.setattr(Watcher, "on_log", stopping)
    with pytest.raises(StoppedError):
        tune(tiny_model, data, tmp_path / "stopped", **settings)
    partial = tmp_path / ".stopped.partial" / "checkpoints"
    assert (partial / "checkpoint-3").is_dir() and not (tmp_path / "stopped").exists()
    made = tune(tiny_model, data, tmp_path / "stopped", **settings)
    assert made.manifest.digest == undisturbed.manifest.digest
    assert made.figures == open_artifact(undisturbed.path).figures
