"""Starts a trial of a stage in a process of its own, and reads what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from dilmac.core import num_cpus, say
from dilmac.estimate.facts import Model
from dilmac.tokenizer import Message
from dilmac.training import FinetuneConfig, Lengths

START_ALLOWED = 60.0  # for Python, the libraries and the model [seconds of all cores]
LONGEST = 1800.0  # on the wall, however busy the machine is [seconds]
POLL_SECONDS = 0.5
TRIAL_STEPS = 4  # of fine-tuning: the first of them also warms up
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore"}
LOG_CHARACTERS = 300  # of a failed trial's last words that are shown


@dataclass(frozen=True)
class Calibration:
    """What a trial found."""

    base_bytes: int  # of the process before it opened a model
    import_seconds: float  # this and all below without waiting for a core
    waiting_share: float  # of the trial's time in which it waited for a core: of a busy machine
    found: dict[str, Any]  # a `Trial`, or figures of fine-tuning


def run_trial(verb: str, job: dict[str, Any], seconds: float) -> Calibration | str:
    """The trial of a stage, or why there is none. `job` is what `child.py` reads."""
    say(f"estimate: timing a few steps of {verb}, {seconds:.0f} s at most after start-up")
    with tempfile.TemporaryDirectory(prefix="dilmac-estimate-") as name:
        folder = Path(name)
        request, result, log = (folder / file for file in ("job.json", "result.json", "log.txt"))
        job = {**job, "verb": verb, "seconds": seconds, "folder": name, "result": str(result)}
        request.write_text(json.dumps(job, default=str), encoding="utf-8")
        with log.open("wb") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "dilmac.estimate.child", str(request)],
                stdout=file,
                stderr=file,
                env=os.environ | QUIET,
            )
        status = _waited(child, START_ALLOWED + 3 * seconds)
        if status is None:
            return f"no step ended within {START_ALLOWED + 3 * seconds:.0f} s"
        if status or not result.is_file():
            words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
            return f"the trial ended with {status}: {words[-LOG_CHARACTERS:]}"
        return Calibration(**json.loads(result.read_text(encoding="utf-8")))


def _waited(child: subprocess.Popen[bytes], allowed: float) -> int | None:
    """The child's status; None where it worked for longer than allowed, and was ended."""
    began = time.monotonic()
    try:
        while True:
            try:
                return child.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if _worked(child.pid) > allowed or time.monotonic() - began > LONGEST:
                    return None
    finally:  # also after Ctrl-C
        child.kill()
        child.wait()


def _worked(pid: int) -> float:
    """CPU seconds of a process for each core that it may use."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system) / num_cpus()


def model_job(model: Model) -> dict[str, Any]:
    """What the child needs to open the model, or to make a random one of its shape."""
    if model.folder is not None:
        return {"model": str(model.folder)}
    return {
        "shape": model.shape.model_dump(mode="json"),
        "rows": model.rows,
        "tokenizer": str(model.vocabulary.folder) if model.vocabulary.folder else None,
        "is_bf16": model.is_bf16,
    }


def finetune_job(config: FinetuneConfig, model: Model, lengths: Lengths) -> dict[str, Any] | str:
    """A fine-tuning of examples of about the median length, so that little is padding."""
    if model.vocabulary.folder is None:
        return "the tokenizer is not there yet"
    wanted = TRIAL_STEPS * config.batch_size
    ordered = sorted(range(len(lengths.train)), key=lambda place: lengths.train[place])
    first = max(0, (len(ordered) - wanted) // 2)
    chosen = ordered[first : first + wanted]
    lines = [_line(lengths.examples[place].messages) for place in chosen]
    batches = -(-len(chosen) // config.batch_size)
    # A random model in place of one that is not there yet does not say which of its rows are new.
    rows = config.train_rows if model.folder else None
    settings: dict[str, Any] = {
        "epochs": max(1.0, TRIAL_STEPS / batches),
        "validation": [],
        "duplicates": "keep",
        **dict.fromkeys(("eval_steps", "patience", "metric", "log_to")),
        "validation_percent": 0.0,
        "test_percent": 0.0,
        "checkpoint_steps": 10**6,
        "train_rows": rows,
    }
    return {
        "config": config.model_dump(mode="json") | settings,
        "lines": lines,
        "tokens": [lengths.train[place] for place in chosen],
        **model_job(model),
    }


def _line(messages: Sequence[Message]) -> str:
    """A conversation as a line of data."""
    turns = [
        {"role": turn.role, "content": turn.content, "reasoning_content": turn.reasoning}
        for turn in messages
    ]
    return json.dumps({"messages": turns})
