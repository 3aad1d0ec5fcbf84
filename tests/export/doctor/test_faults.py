"""Every made fault is found where it is, and mended where that can be done without guessing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_faults import FAULTS, Fault

from dilmac.export import DoctorConfig, examine_model


def found_by(fault: Fault, figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The findings that this fault must have."""
    return [
        finding
        for finding in figures["findings"]
        if finding["rule"] == fault.rule
        and fault.where in finding["where"]
        and (finding["severity"] == "note") == fault.is_note
    ]


def examined(folder: Path, **settings: Any) -> dict[str, Any]:
    return examine_model(DoctorConfig.model_validate({"model": folder, **settings}))


@pytest.mark.parametrize("name", FAULTS)
def test_a_made_fault_is_found_and_mended_in_a_copy(
    copied: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    fault, out = FAULTS[name], tmp_path / "mended"
    folder = copied(fault.kind)
    fault.harm(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    figures = examined(folder, fix=True, out=out, prove=False)
    findings = found_by(fault, figures)
    assert findings, [f"{f['rule']}: {f['where']}: {f['found']}" for f in figures["findings"]]
    assert all(finding["breaks"] and finding["mend"] for finding in findings)
    assert any(finding["fixable"] for finding in findings) == fault.mends
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    if fault.mends:
        assert figures["mended"]["left"] == 0, figures["mended"]["findings_left"]
    elif not any(finding["fixable"] for finding in figures["findings"]):
        assert not out.exists()


def test_there_are_enough_faults_of_every_rule() -> None:
    from dilmac.export.doctor.registry import RULES

    assert len(FAULTS) >= 60
    assert {fault.rule for fault in FAULTS.values()} == {rule.name for rule in RULES}
