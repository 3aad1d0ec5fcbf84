"""A few steps of healing on random ids: see `training/trial.py`."""

from __future__ import annotations

from pathlib import Path

from dilmac.training import Trial, time_trial
from dilmac.transplant.heal.config import HealConfig
from dilmac.transplant.heal.patient import Patient
from dilmac.transplant.heal.verb import settings_of, student_of


def time_healing(
    config: HealConfig, new_rows: int | None, *, num_rows: int, folder: Path, max_seconds: float
) -> Trial:
    """Time steps of the loop that heals `config.model`, of whose rows the last ones are new.

    Raises:
        DilmacError: as `heal` raises it.
    """
    patient = Patient(config, None if new_rows is None else num_rows - new_rows)
    return time_trial(
        settings_of(config, {}),
        student_of(config, patient),
        num_rows=num_rows,
        folder=folder,
        max_seconds=max_seconds,
    )
