"""The guide does what it says: the code of both pages is one, and runs as it stands, in order."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from corpora import documents
from dilmac.core import bundled_instructions, bundled_prose, open_artifact
from transplant.small_models import make_model

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs" / f"guide-turkish-qwen{language}.md" for language in ("", ".tr")]
STAGES = (
    "corpus",
    "english-corpus",
    "extended",
    "qwen-tr",
    "qwen-tr32k",
    "healed",
    "assistant",
    "gguf",
)

# The only changes that are made to the page's code: a tiny model has tiny budgets.
BUDGETS = {
    "--rows 32000": "--rows 300",
    "rows=32_000": "rows=300",
    "--tokens 20M": "--tokens 4k --batch-tokens 2048",
    "tokens=20_000_000": "tokens=4000, batch_tokens=2048",
    "--epochs 3": "--epochs 1",
    "epochs=3": "epochs=1",
    "--max-tokens 200": "--max-tokens 8",
    "max_new_tokens=64": "max_new_tokens=8",
    "max_new_tokens=512": "max_new_tokens=16",
    "--type q8_0": "--type q8_0 --num-lines 50 --num-fuzz 100 --num-positions 200",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every code block."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_both_pages_have_the_same_code_and_headings() -> None:
    english, turkish = map(blocks, PAGES)
    assert english == turkish
    assert {language for language, _ in english} == {"bash", "python"}
    assert sum("dilmac export gguf" in code for _, code in english) == 1
    code = "\n".join(text for _, text in english)
    assert [name for name in BUDGETS if name not in code] == []
    for pattern in (r"^## ", r"^\|", r"\]\("):
        counts = [
            len(re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE))
            for page in PAGES
        ]
        assert counts[0] == counts[1], pattern


def with_small_budgets(code: str) -> str:
    for real, small in BUDGETS.items():
        code = code.replace(real, small)
    return code


def lay_out(folder: Path, tokenizer: Path) -> None:
    """What the page says that the reader has."""
    # As the real one: tied, in bf16, more rows than tokens, a context longer than any text here.
    real = {"num_rows": 640, "dtype": torch.bfloat16, "max_position_embeddings": 40960}
    make_model(folder / "qwen3-0.6b", tokenizer, initializer_range=0.02, **real)
    (folder / "texts").mkdir()
    (folder / "english").mkdir()
    for path in bundled_prose():
        shutil.copy(path, folder / "texts")
    shutil.copy(ROOT / "docs" / "pretrain.md", folder / "english")
    english = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    (folder / "unseen-english.txt").write_text(english[:2000], encoding="utf-8")
    (folder / "unseen.txt").write_text("\n\n".join(documents(8)), encoding="utf-8")
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()[:20]
    (folder / "instructions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_command(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m dilmac …`, in this process: torch is imported once and not for every line."""
    words = shlex.split(line)
    assert words[0] == "dilmac"
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("dilmac", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0, line


@pytest.mark.slow
def test_the_guide_runs_as_it_stands(
    byte_level: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path, byte_level)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, (language, written) in enumerate(blocks(PAGES[0])):
        code = with_small_budgets(written)
        if language == "python":
            made = run_records(tmp_path)
            exec(compile(code, f"block {number} of the guide", "exec"), names)  # noqa: S102
            assert run_records(tmp_path) == made  # both forms are one: it found all complete
        else:
            for line in code.splitlines():
                run_command(line, monkeypatch)
    assert sorted(run_records(tmp_path)) == sorted(STAGES)
    assert open_artifact(tmp_path / "qwen-tr").figures["way"] == "extend"
    assert open_artifact(tmp_path / "qwen-tr32k").figures["way"] == "replace"
    assert json.loads((tmp_path / "assistant/config.json").read_text())["model_type"] == "qwen3"


def run_records(folder: Path) -> dict[str, Any]:
    """What is recorded of the run that made each stage."""
    return {
        name: open_artifact(folder / name).manifest.run
        for name in STAGES
        if (folder / name).is_dir()
    }
