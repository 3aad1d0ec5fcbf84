"""The command: exit codes, the list, JSON, and a rule of somebody else's."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from made_faults import FAULTS

from dilmac.cli import main
from dilmac.export import DoctorConfig, Finding, ModelFolder, doctor_rule, examine_model
from dilmac.export.doctor.registry import RULES


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_exit_codes_and_what_is_printed(
    copied: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied("llama")
    assert run(folder) == 0
    assert "sound" in capsys.readouterr().out
    FAULTS["prefix-missing"].harm(folder)
    FAULTS["nan-row"].harm(folder)
    assert run(folder) == 1
    shown = capsys.readouterr().out
    for part in ("error  prefix-space", "breaks: llama.cpp, Ollama", "(--fix does it)",
                 "2 faults, 1 of which --fix mends"):  # fmt: skip
        assert part in shown
    assert run(folder, "--json") == 1
    figures = json.loads(capsys.readouterr().out)
    assert figures["faults"] == 2 and "mended" not in figures
    assert run(tmp_path / "nothing") == 2
    assert "no such model folder or file" in capsys.readouterr().err
    assert run(folder, "--fix") == 2


def test_a_mended_copy_ends_with_what_is_left(
    copied: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = copied("llama"), tmp_path / "mended"
    FAULTS["prefix-missing"].harm(folder)
    assert run(folder, "--fix", "--out", out, "--no-prove") == 0
    assert "mended  tokenizer_config.json: add_prefix_space" in capsys.readouterr().out
    assert run(out) == 0
    FAULTS["nan-row"].harm(folder)
    assert run(folder, "--fix", "--out", out, "--no-prove", "--force") == 1
    assert "left    model.embed_tokens.weight: go back" in capsys.readouterr().out


def test_a_rule_of_ones_own_is_one_function(copied: Callable[[str], Path]) -> None:
    @doctor_rule("short-name", of="folder")
    def short_name(folder: ModelFolder) -> Iterator[Finding]:
        if len(folder.path.name) < 10:
            yield Finding("warning", folder.path.name, "short", ("Ollama",), "rename it")

    try:
        figures = examine_model(DoctorConfig(model=copied("llama")))
    finally:
        RULES[:] = [rule for rule in RULES if rule.look is not short_name]
    assert [f["rule"] for f in figures["findings"] if f["severity"] != "note"] == ["short-name"]
