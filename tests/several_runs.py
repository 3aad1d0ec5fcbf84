"""Runs one after the other in the processes that torchrun started: `several_runs.py LIST.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dilmac.training import PretrainConfig, pretrain

if __name__ == "__main__":
    for settings in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        pretrain(PretrainConfig.model_validate(settings))
