"""Modelfiles of Ollama: written, and read back by the documented grammar before anyone else reads
them.

Grammar (Ollama's docs, "Modelfile Reference"): one `INSTRUCTION value` after another, `#` begins a
comment line. A value is the rest of its line, or stands in three quotation marks over several
lines; the quotation ends where a line ends with three of them.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from dilmac.core import InputError

QUOTES = '"""'
INSTRUCTIONS = (
    "FROM",
    "PARAMETER",
    "TEMPLATE",
    "SYSTEM",
    "ADAPTER",
    "LICENSE",
    "MESSAGE",
    "REQUIRES",
)
ONCE = ("FROM", "TEMPLATE", "SYSTEM")
ROLES = ("system", "user", "assistant")
PARAMETERS: dict[str, type] = {
    "num_ctx": int,
    "num_predict": int,
    "draft_num_predict": int,
    "repeat_last_n": int,
    "repeat_penalty": float,
    "temperature": float,
    "seed": int,
    "stop": str,
    "top_k": int,
    "top_p": float,
    "min_p": float,
}


class Instruction(NamedTuple):
    """One instruction. Of PARAMETER and MESSAGE `value` begins with the parameter or the role."""

    name: str
    value: str


def write_modelfile(instructions: Sequence[Instruction]) -> str:
    """The text of a Modelfile that reads back as these instructions, and as nothing else.

    Raises:
        InputError: a value cannot stand in a Modelfile: it would end its own quotation.
    """
    for instruction in instructions:
        _require_writable(instruction)
    text = "".join(f"{name} {_quoted(value)}\n" for name, value in instructions)
    if read_modelfile(text) != list(instructions):
        raise AssertionError("a Modelfile does not read back as it was written")
    return text


def _quoted(value: str) -> str:
    is_plain = value and value == value.strip() and "\n" not in value and value[0] != '"'
    return value if is_plain else f"{QUOTES}{value}{QUOTES}"


def _require_writable(instruction: Instruction) -> None:
    name, value = instruction
    odd = next((c for c in value if unicodedata.category(c) == "Cc" and c not in "\n\t"), None)
    found = f"holds the control character U+{ord(odd):04X}" if odd else ""
    if QUOTES in value:
        found = f"holds {QUOTES}, which would end its quotation in the Modelfile"
    if found:
        raise InputError(found, where=name, mend="take it out of the text")


def read_modelfile(text: str) -> list[Instruction]:
    """The instructions of a Modelfile.

    Raises:
        InputError: a line is none of the grammar's, a parameter is unknown or no number, or there
            is no FROM.
    """
    lines = text.split("\n")
    found: list[Instruction] = []
    at = 0
    while at < len(lines):
        line, number = lines[at].strip(), at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        value = value.strip()
        if name.upper() not in INSTRUCTIONS:
            raise _fault(number, f"no instruction: {name[:40]!r}", ", ".join(INSTRUCTIONS))
        if value.startswith(QUOTES):
            begun = lines[at - 1].partition(name)[2].lstrip()
            value, at = _quotation(begun, lines, at)
        elif len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        _check(instruction := Instruction(name.upper(), value), found, number)
        found.append(instruction)
    if not any(instruction.name == "FROM" for instruction in found):
        raise InputError("no FROM in it", where="Modelfile")
    return found


def _quotation(begun: str, lines: Sequence[str], at: int) -> tuple[str, int]:
    """What stands in three quotation marks, and the number of the line after it."""
    parts, start = [begun], at
    while not _is_closed(parts):
        if at == len(lines):
            raise _fault(start, "a quotation that does not end", f"end it with {QUOTES}")
        parts.append(lines[at])
        at += 1
    value = "\n".join(parts).rstrip()[len(QUOTES) : -len(QUOTES)]
    if QUOTES in value:
        raise _fault(start, f"{QUOTES} inside a quotation", "take it out")
    return value, at


def _is_closed(parts: Sequence[str]) -> bool:
    last = parts[-1].rstrip()
    least = 2 * len(QUOTES) if len(parts) == 1 else len(QUOTES)
    return last.endswith(QUOTES) and len(last) >= least


def _check(instruction: Instruction, before: Sequence[Instruction], number: int) -> None:
    name, value = instruction
    if not value and name not in ("SYSTEM", "TEMPLATE"):
        raise _fault(number, f"{name} without a value", "give it one")
    if name in ONCE and any(name == other.name for other in before):
        raise _fault(number, f"a second {name}", "leave one of them")
    key, _, rest = value.partition(" ")
    if name == "MESSAGE" and key not in ROLES:
        raise _fault(number, f"no role: {key!r}", ", ".join(ROLES))
    if name == "PARAMETER":
        kind = PARAMETERS.get(key)
        if kind is None:
            raise _fault(number, f"no parameter: {key!r}", ", ".join(PARAMETERS))
        if not _is_of(kind, rest.strip()):
            raise _fault(number, f"{key} {rest!r} is no {kind.__name__}", "give one")


def _is_of(kind: type, text: str) -> bool:
    try:
        return bool(text) and (kind is str or math.isfinite(kind(text)))
    except ValueError:
        return False


def _fault(number: int, found: str, mend: str) -> InputError:
    return InputError(found, where=f"Modelfile:{number}", mend=mend)
