"""Who gives a model another tokenizer in `transplant_size.py`: dilmac, and mergekit-tokensurgeon.

mergekit is LGPL: it runs as a command in an environment of its own, and nothing of it is imported.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from dilmac.tokenizer import Tokenizer, pretrained_path
from support.children import progress
from support.random_qwen import Shape, make_checkpoint
from support.watched import Watched, run_watched

NEW_ROWS = 32_000


class Transplanter(Protocol):
    """Makes a model folder `out` of the model folder `model`, which has that shape."""

    name: str

    def run(self, shape: Shape, model: Path, out: Path) -> Watched: ...


@dataclass(frozen=True)
class Dilmac:
    """`dilmac transplant` to a tokenizer."""

    name: str
    tokenizer: Path
    scratch: Path

    def run(self, shape: Shape, model: Path, out: Path) -> Watched:  # noqa: ARG002 — the peer's need
        flags = ["--model", str(model), "--tokenizer", str(self.tokenizer), "--out", str(out)]
        return run_dilmac(self.scratch, "transplant", *flags, "--init", "length_weighted")


def run_dilmac(scratch: Path, *arguments: str) -> Watched:
    """Run a verb as a command of its own."""
    return run_watched([sys.executable, "-m", "dilmac", *arguments], scratch / "dilmac.log")


def replacing(scratch: Path) -> Dilmac:
    """To the tokenizer that ships."""
    return Dilmac("dilmac, replace", pretrained_path("tr32k"), scratch)


def extending(scratch: Path, extended: Path) -> Dilmac:
    """To the model's own tokenizer, continued."""
    return Dilmac("dilmac, extend", extended, scratch)


def extended_tokenizer(scratch: Path, base: Path, texts: Sequence[Path]) -> Path:
    """The base, continued on texts by `dilmac tokenizer extend`."""
    corpus, extended = scratch / "corpus", scratch / "extended"
    run_dilmac(scratch, "corpus", "build", *map(str, texts), "--out", str(corpus))
    flags = ["--corpus", str(corpus), "--base", str(base), "--rows", str(NEW_ROWS)]
    run_dilmac(scratch, "tokenizer", "extend", *flags, "--out", str(extended))
    return extended


class Tokensurgeon:
    """mergekit-tokensurgeon to tr32k, new rows by its subword method.

    It wants a donor, a model that has the tokenizer already: one of a single layer is made for it,
    with random rows, which the subword method does not look at.
    """

    name = "mergekit-tokensurgeon, subword"

    def __init__(self, python: Path | None, scratch: Path):
        self.scratch = scratch
        self.python = python or self._made_environment()

    def run(self, shape: Shape, model: Path, out: Path) -> Watched:
        tokenizer = pretrained_path("tr32k")
        donor = self.scratch / f"donor-{shape.width}"
        if not donor.exists():
            small = replace(shape, layers=1, rows=len(Tokenizer(tokenizer)))
            make_checkpoint(small, tokenizer, donor, seed=43)
        command = self.python.with_name("mergekit-tokensurgeon")
        flags = ["--approximation-method", "subword", "--quiet"]
        offline = {"HF_HUB_OFFLINE": "1"}
        return run_watched(
            [str(command), *flags, str(model), str(donor), str(out)],
            self.scratch / "mergekit.log",
            offline,
        )

    def _made_environment(self) -> Path:
        folder = self.scratch / "mergekit-env"
        progress("mergekit: installing it, with torch: minutes")
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mergekit"], check=True)
        return python
