"""The far side of a trial: `python -m dilmac.estimate.child JOB`. Started by `trials.py`."""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dilmac.core import own_seconds, waited_seconds

POLL_SECONDS = 0.05


def main() -> None:
    """Run the job, and write what was found into its result file."""
    import psutil

    import dilmac.cli  # what the command itself loads
    from dilmac.training import finetune, peak_of_process, pretrain
    from dilmac.transplant import heal

    del finetune, pretrain, heal, dilmac
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    age = time.time() - psutil.Process().create_time()
    common = {"base_bytes": peak_of_process(), "import_seconds": age - waited_seconds()}
    began, waited = time.perf_counter(), waited_seconds()
    work = {"pretrain": _pretrain, "heal": _heal, "finetune": _finetune}[job["verb"]]

    def finish(found: dict[str, Any]) -> None:
        seconds = time.perf_counter() - began
        share = (waited_seconds() - waited) / max(seconds, 1e-9)
        result = {**common, "waiting_share": round(share, 3), "found": found}
        partial = Path(job["result"]).with_suffix(".partial")
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.rename(job["result"])

    work(job, finish)


def _pretrain(job: dict[str, Any], finish: Any) -> None:
    from dilmac.training import PRETRAINED, PretrainConfig, time_trial

    begun = {"model": _model(job), "tokenizer": None} if job["config"]["model"] else {}
    trial = time_trial(
        PretrainConfig(**{**job["config"], **begun}),
        PRETRAINED,
        num_rows=job["rows"],
        folder=Path(job["folder"]),
        max_seconds=job["seconds"],
    )
    finish(asdict(trial))


def _heal(job: dict[str, Any], finish: Any) -> None:
    from dilmac.transplant import HealConfig, time_healing

    trial = time_healing(
        HealConfig(**{**job["config"], "model": _model(job)}),
        job["new_rows"],
        num_rows=job["vocabulary"],
        folder=Path(job["folder"]),
        max_seconds=job["seconds"],
    )
    finish(asdict(trial))


def _finetune(job: dict[str, Any], finish: Any) -> None:
    """The verb itself; past the time, what there is of it by then counts."""
    from dilmac.core import open_artifact
    from dilmac.training import FinetuneConfig, finetune

    folder = Path(job["folder"])
    data, out = folder / "examples.jsonl", folder / "trial"
    data.write_text("\n".join(line.strip() for line in job["lines"]) + "\n", encoding="utf-8")
    changed = {"data": (str(data),), "out": out, "model": _model(job)}
    config = FinetuneConfig(**{**job["config"], **changed})
    partial = out.with_name(f".{out.name}.partial") / "events.jsonl"
    began, clock = own_seconds(), _Clock()

    def watch() -> None:
        """End the process once steps have taken all their time."""
        while True:
            time.sleep(POLL_SECONDS)
            clock.look()
            times = [clock.own(at) for at in _step_times(partial)]
            if len(times) > 2 and own_seconds() - times[0] > job["seconds"]:
                finish(_figures(job, times, None))
                os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    finetune(config)
    seconds = own_seconds() - began
    open_artifact(out, "model")
    times = [clock.own(at) for at in _step_times(out / "events.jsonl")]
    finish(_figures(job, times, seconds))


class _Clock:
    """Turns the time of day into time without waiting for a core, by what it saw meanwhile."""

    def __init__(self) -> None:
        self.of_day: list[float] = []
        self.of_own: list[float] = []
        self.look()

    def look(self) -> None:
        """Take note of both clocks."""
        self.of_day.append(time.time())
        self.of_own.append(own_seconds())

    def own(self, at: float) -> float:
        """`own_seconds` at a time of day."""
        import numpy as np

        return float(np.interp(at, self.of_day, self.of_own))


def _step_times(path: Path) -> list[float]:
    """When steps ended [seconds since 1970]."""
    from dilmac.core import read_events

    if not path.is_file():
        return []
    return [event["time"] for event in read_events(path) if event["event"] == "step"]


def _figures(job: dict[str, Any], times: list[float], seconds: float | None) -> dict[str, Any]:
    """Seconds of a padded token, and what is not steps: opening, merging, saving, proving."""
    from dilmac.training import padded_tokens, peak_of_process

    steps = [after - before for before, after in itertools.pairwise(times)]
    batches = padded_tokens(job["tokens"], job["config"]["batch_size"])
    step = sum(steps) / len(steps)
    return {
        "step_seconds": step,
        "token_seconds": step / (sum(batches) / len(batches)),
        "num_timed": len(steps),
        "other_seconds": None if seconds is None else max(0.0, seconds - step * len(times)),
        "peak_bytes": peak_of_process(),
    }


def _model(job: dict[str, Any]) -> Path:
    """The model's folder; or a random one of its shape, made here."""
    if "model" in job:
        return Path(job["model"])
    import torch
    from transformers import AutoModelForCausalLM

    from dilmac.models import Preset, save_model
    from dilmac.tokenizer import copy_tokenizer

    folder = Path(job["folder"]) / "model"
    folder.mkdir()
    dtype = torch.bfloat16 if job["is_bf16"] else torch.float32
    config = Preset(**job["shape"]).shape_config(job["rows"])
    save_model(AutoModelForCausalLM.from_config(config, dtype=dtype), folder)
    if job["tokenizer"]:
        copy_tokenizer(Path(job["tokenizer"]), folder)
    return folder


if __name__ == "__main__":
    main()
