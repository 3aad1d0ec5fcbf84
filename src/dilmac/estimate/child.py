"""The far side of a trial: `python -m dilmac.estimate.child JOB`. Started by `trials.py`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
POLL_SECONDS = 0.2


def main() -> None:
    """Run the job, and write what was found into its result file."""
    import dilmac.cli  # what the command itself loads
    from dilmac.training import finetune, peak_of_process, pretrain
    from dilmac.transplant import heal

    del finetune, pretrain, heal, dilmac
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    common = {"base_bytes": peak_of_process(), "import_seconds": time.monotonic() - BEGAN}
    began, cpu = time.monotonic(), time.process_time()
    work = {"pretrain": _pretrain, "heal": _heal, "finetune": _finetune}[job["verb"]]

    def finish(found: dict[str, Any]) -> None:
        import torch

        seconds = max(time.monotonic() - began, 1e-9) * torch.get_num_threads()
        share = min(1.0, (time.process_time() - cpu) / seconds)
        result = {**common, "cpu_share": round(share, 3), "found": found}
        partial = Path(job["result"]).with_suffix(".partial")
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.rename(job["result"])

    work(job, finish)


def _pretrain(job: dict[str, Any], finish: Any) -> None:
    from dilmac.training import PRETRAINED, PretrainConfig, time_trial

    trial = time_trial(
        PretrainConfig(**job["config"]),
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
    began = time.monotonic()
    partial = out.with_name(f".{out.name}.partial") / "events.jsonl"

    def watch() -> None:
        """End the process once steps have taken all their time."""
        while True:
            time.sleep(POLL_SECONDS)
            times = _step_times(partial)
            if len(times) > 2 and time.time() - times[0] > job["seconds"]:
                finish(_figures(job, times, None))
                os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    finetune(config)
    seconds = time.monotonic() - began
    open_artifact(out, "model")
    finish(_figures(job, _step_times(out / "events.jsonl"), seconds))


def _step_times(path: Path) -> list[float]:
    """When steps ended [seconds since 1970]."""
    from dilmac.core import read_events

    if not path.is_file():
        return []
    return [event["time"] for event in read_events(path) if event["event"] == "step"]


def _figures(job: dict[str, Any], times: list[float], seconds: float | None) -> dict[str, Any]:
    """Seconds of a padded token, and what is not steps: opening, merging, saving, proving."""
    from dilmac.training import padded_tokens, peak_of_process

    steps = [after - before for before, after in zip(times[:-1], times[1:], strict=True)]
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
