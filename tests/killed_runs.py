"""A run that kills itself, `python killed_runs.py SETTINGS.json`.

`kills` names the steps (from 0) before which, one after the other, a process is ended by SIGKILL,
and `kills_in_checkpoints` the checkpoints (by their number in a process's life) that are cut off
between two files. The imports are made once; every life is a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from dilmac.training import PretrainConfig, loop, pretrain, resume


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_step(wanted: int) -> None:
    attempt = loop._attempt

    def dying(run: Any, step: int) -> Any:
        if step == wanted:
            die()
        return attempt(run, step)

    loop._attempt = dying


def die_in_checkpoint(wanted: int) -> None:
    write_json, count = resume.write_json, 0

    def dying(path: Path, value: Any) -> None:
        nonlocal count
        count += 1
        if count == wanted:
            die()
        write_json(path, value)

    resume.write_json = dying


def live(config: PretrainConfig, kind: str, place: int) -> int:
    """The exit status of one life."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    if kind == "kills":
        die_before_step(place)
    elif kind == "kills_in_checkpoints":
        die_in_checkpoint(place)
    try:
        pretrain(config)
    except BaseException as error:  # the fork must not go on as its parent
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)
    os._exit(0)


def main() -> None:
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    config = PretrainConfig.model_validate(asked["config"])
    lives = [(kind, place) for kind in ("kills", "kills_in_checkpoints") for place in asked[kind]]
    for kind, place in lives:
        if live(config, kind, place) != signal.SIGKILL:
            sys.exit(f"{kind} {place}: the process was not killed")
    sys.exit(1 if live(config, "", 0) else 0)


if __name__ == "__main__":
    main()
