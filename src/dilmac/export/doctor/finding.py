"""What a rule finds: where it is, whom it breaks, and the mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from dilmac.core import Figures

Severity = Literal["error", "warning", "note"]
Runtime = Literal["transformers", "vLLM", "llama.cpp", "Ollama", "ONNX", "training"]
EVERYWHERE: tuple[Runtime, ...] = ("transformers", "vLLM", "llama.cpp", "Ollama", "ONNX")
PYTHON: tuple[Runtime, ...] = ("transformers", "vLLM", "ONNX")  # who reads the model folder
GGML: tuple[Runtime, ...] = ("llama.cpp", "Ollama")  # who reads the GGUF

Fix = Callable[[Any], None]  # changes a `FolderCopy` or a `GgufCopy`


@dataclass(frozen=True)
class Finding:
    """A fault, or a note that a sound model may have, too.

    `where` is a file and the key or token in it. `fix` changes a copy; None where only the user can
    know what is right, and `mend` then says what to do.
    """

    severity: Severity
    where: str
    found: str
    breaks: tuple[Runtime, ...]
    mend: str
    fix: Fix | None = None
    rule: str = ""  # the registry writes the rule's name in it

    @property
    def is_fault(self) -> bool:
        """Errors and warnings; a note alone leaves a model sound."""
        return self.severity != "note"

    def figures(self) -> Figures:
        return {
            "rule": self.rule,
            "severity": self.severity,
            "where": self.where,
            "found": self.found,
            "breaks": list(self.breaks),
            "mend": self.mend,
            "fixable": self.fix is not None,
        }


def some(names: list[str], count: int = 4) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - count:,} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
