"""K-quants: a GGUF of full precision, quantized by llama.cpp's own code in another process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np

from dilmac.core import DilmacError, InputError, Steps, num_cpus, say
from dilmac.export import quantizer

K_QUANTS = {
    "q4_k_m": gguf.LlamaFileType.MOSTLY_Q4_K_M,
    "q5_k_m": gguf.LlamaFileType.MOSTLY_Q5_K_M,
    "q6_k": gguf.LlamaFileType.MOSTLY_Q6_K,
}
BLOCK = 256  # numbers that a K-quant packs together; shorter rows cannot be
FIND_SECONDS = 60
_TENSOR = re.compile(r"^\[\s*\d+/\s*(\d+)\]")  # how llama.cpp announces each
_SETUP = (
    "python3 -m venv quantize-env && quantize-env/bin/pip install 'llama-cpp-python>=0.3.16' "
    "(it is built from source: minutes), then --quantize-python quantize-env/bin/python"
)


def find_quantizer(python: Path | None, file_type: str) -> None:
    """Refuse to begin where there is no llama-cpp-python.

    Raises:
        InputError: that Python has none, or is none.
    """
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('llama_cpp') is None)"
    command = [str(python or sys.executable), "-I", "-c", look]
    try:
        found = subprocess.run(command, capture_output=True, timeout=FIND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"is no Python: {error}", where=f"--quantize-python {python}", mend=_SETUP
        ) from error
    if found.returncode:
        where = f"--quantize-python {python}" if python else f"--type {file_type}"
        raise InputError("needs llama-cpp-python", where=where, mend=_SETUP)


def quantize_gguf(
    source: Path,
    target: Path,
    file_type: str,
    python: Path | None,
    importance: Mapping[str, np.ndarray],
) -> None:
    """Write a K-quant of a GGUF. `importance` has of GGUF tensors' names the mean squares of what
    their columns are multiplied with, [columns]; tensors without one are taken as they are.

    `python` is that of an environment with llama-cpp-python; by default this one.

    Raises:
        DilmacError: llama-cpp-python cannot be opened, or cannot quantize the file.
    """
    known = source.with_name(f"{target.stem}.importance.npz")
    np.savez(known, allow_pickle=False, **importance)
    asked = {
        "source": str(source),
        "target": str(target),
        "file_type": int(K_QUANTS[file_type]),
        "threads": num_cpus(),
        "importance": str(known) if importance else None,
    }
    try:
        code, last_words = _run(python or Path(sys.executable), asked)
    finally:
        known.unlink()
    if code:
        raise DilmacError(f"llama.cpp cannot quantize it: {last_words}", where=source.name)


def _run(python: Path, asked: Mapping[str, object]) -> tuple[int, str]:
    """Exit code, and the last line that was said."""
    # -I: nothing of this folder or of PYTHONPATH, which the other environment may not understand.
    command = [str(python), "-I", str(Path(quantizer.__file__))]
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    child = subprocess.Popen(command, text=True, errors="replace", **streams)  # type: ignore[call-overload]
    last = ""
    with child, Steps("quantize", unit="tensors") as steps:
        try:
            json.dump(asked, child.stdin)
            child.stdin.close()
            for line in child.stderr:
                last = line.strip() or last
                if found := _TENSOR.match(line):
                    steps.total = int(found[1])
                    steps.advance(1)
        except BaseException:
            child.kill()
            raise
    return child.returncode, last


def warn_of_short_rows(kinds: Mapping[str, int], file_type: str, bits: float) -> None:
    """Say where matrices could not be packed as asked.

    `kinds` counts the tensors of each type; `bits` are those of the file per weight.
    """
    packed = {"q4_k_m": ("Q4_K", "Q5_K", "Q6_K"), "q5_k_m": ("Q5_K", "Q6_K"), "q6_k": ("Q6_K",)}
    others = {
        kind: number
        for kind, number in kinds.items()
        if kind not in (*packed[file_type], "F32", "F16", "BF16")
    }
    if others:
        listed = ", ".join(f"{number} as {kind}" for kind, number in sorted(others.items()))
        say(
            f"export: rows that {BLOCK} does not divide cannot be {file_type.upper()}: {listed}; "
            f"{bits:.2f} bits per weight in all"
        )
