"""What every row of the new tables is made of, decided by bytes and roles alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dilmac.core import InputError
from dilmac.tokenizer import PADDING, START_OF_DOCUMENT, Side, counterpart

UNKNOWN_CHARACTER = "\ufffd".encode()  # what an `<unk>` is read as
ROWS_FILE = "rows.json"  # written by `dilmac tokenizer extend`


class Origin(StrEnum):
    """Where a row comes from."""

    COPIED = "copied"  # the old token with the same bytes
    ROLE = "role"  # the old control token with the same role
    COMPOSED = "composed"  # made by the method from the old tokens of the same bytes
    FRESH = "fresh"  # a control token that the old tokenizer has nothing like
    IDLE = "idle"  # never to be generated: padding, an unused row, another token's double


@dataclass(frozen=True)
class Plan:
    """Every row of the new tables.

    `parts` are the old rows whose bytes, one after the other, are the new token's: one for what is
    copied, none for what is fresh or idle, [rows]. `spoken` says whether the head may generate a
    row, `read` whether it is ever an input: a `<s>` is read and not generated, padding and doubles
    are neither.
    """

    origins: list[Origin]
    parts: list[list[int]]
    spoken: list[bool]
    read: list[bool]
    source_bytes: Sequence[bytes | None]
    target_bytes: Sequence[bytes | None]
    is_extension: bool = False  # the tokenizer goes on from the source's own

    @property
    def num_rows(self) -> int:
        return len(self.origins)

    def rows_of(self, *origins: Origin) -> list[int]:
        """Rows of the given origins, in their order."""
        return [row for row, origin in enumerate(self.origins) if origin in origins]

    def shared(self) -> dict[int, int]:
        """New row → old row, of all that is copied as content."""
        return {row: self.parts[row][0] for row in self.rows_of(Origin.COPIED)}

    def counts(self) -> dict[str, int]:
        """Rows by origin."""
        found = Counter(origin.value for origin in self.origins)
        return {origin.value: found[origin.value] for origin in Origin}


def make_plan(source: Side, target: Side, num_rows: int) -> Plan:
    """Plan tables of `num_rows` rows for the target's vocabulary.

    Raises:
        InputError: `num_rows` is too small for it.
    """
    if num_rows < len(target.rows):
        raise InputError(
            f"{num_rows:,} rows cannot hold its vocabulary of {len(target.rows):,}",
            where=target.where,
            mend="leave --rows out, or raise it",
        )
    given = _given_parts(source, target)
    plan = Plan(
        origins=[Origin.IDLE] * num_rows,
        parts=[[] for _ in range(num_rows)],
        spoken=[False] * num_rows,
        read=[False] * num_rows,
        source_bytes=source.rows,
        target_bytes=target.rows,
        is_extension=given is not None,
    )
    _place_content(plan, source, target, given)
    _silence_doubles(plan, target)
    _place_controls(plan, source, target)
    return plan


def _place_content(plan: Plan, source: Side, target: Side, given: list[list[int]] | None) -> None:
    known = _rows_of_bytes(source)
    for row, data in enumerate(target.rows):
        if row in target.control_rows or not data:
            continue
        plan.spoken[row] = plan.read[row] = True
        if data in known:
            plan.origins[row], plan.parts[row] = Origin.COPIED, [known[data]]
        else:
            plan.origins[row] = Origin.COMPOSED
            plan.parts[row] = given[row] if given else source.encode_bytes(data)


def _rows_of_bytes(source: Side) -> dict[bytes, int]:
    """Old content rows by their bytes; of two with the same bytes the one that encoding gives."""
    known: dict[bytes, int] = {}
    for row, data in enumerate(source.rows):
        if not data or row in source.control_rows:
            continue
        if data in known and source.encode_bytes(data) != [row]:
            continue
        known[data] = row
    return known


def _given_parts(source: Side, target: Side) -> list[list[int]] | None:
    """Decompositions that an extended tokenizer brings, if they are of this source.

    How a learned piece was joined is not always how its bytes alone would be cut.
    """
    path = target.where / ROWS_FILE
    if not path.is_file():
        return None
    try:
        given: Any = json.loads(path.read_text(encoding="utf-8"))
        rows = [[int(old) for old in parts] for parts in given]
    except (ValueError, TypeError) as error:
        raise InputError(f"no list of rows ({error})", where=path) from error
    if len(rows) != len(target.rows):
        raise InputError(
            f"has {len(rows):,} rows, the tokenizer {len(target.rows):,}",
            where=path,
            mend="make the tokenizer again: dilmac tokenizer extend",
        )
    for row, parts in enumerate(rows):
        data = target.rows[row]
        if row in target.control_rows or not data:
            continue
        inside = all(0 <= old < len(source.rows) for old in parts)
        if not inside or b"".join(source.rows[old] or b"" for old in parts) != data:
            return None  # an extension of another tokenizer: bytes decide
    return rows


def _silence_doubles(plan: Plan, target: Side) -> None:
    """Silence tokens that no text is encoded with because another has the same bytes.

    A SentencePiece vocabulary has `a` and the byte token `<0x61>`; were both as likely, half of
    every `a` would be lost to the one that was never seen.
    """
    alike: dict[bytes, list[int]] = {}
    for row, data in enumerate(target.rows):
        if data and plan.spoken[row]:
            alike.setdefault(data, []).append(row)
    for data, rows in alike.items():
        if len(rows) == 1 and data != UNKNOWN_CHARACTER:
            continue
        used = target.encode_bytes(data)
        if len(used) > 1 and data != UNKNOWN_CHARACTER:
            used = rows[-1:]
        for row in rows:
            plan.spoken[row] = plan.read[row] = [row] == used


def _place_controls(plan: Plan, source: Side, target: Side) -> None:
    """Control tokens take the row of their role; each old row speaks for one of them only."""
    taken: set[int] = set()
    # Equal names have the better claim; then what ends a text, before what begins one.
    names = sorted(
        target.control, key=lambda name: (name not in source.control, name in START_OF_DOCUMENT)
    )
    for name in names:
        row = target.control[name]
        plan.read[row] = name not in PADDING
        old = counterpart(name, source.control)
        if old is None:
            plan.origins[row], plan.spoken[row] = Origin.FRESH, plan.read[row]
            continue
        plan.origins[row], plan.parts[row] = Origin.ROLE, [old]
        plan.spoken[row] = plan.read[row] and old not in taken
        if plan.spoken[row]:
            taken.add(old)


def id_map(source: Side, target: Side, plan: Plan) -> dict[int, int]:
    """Old id → new id, of control tokens by role and of content by its bytes."""
    mapped: dict[int, int] = {old: row for row, old in plan.shared().items() if plan.spoken[row]}
    for name, old in source.control.items():
        row = counterpart(name, target.control)
        if row is not None:
            mapped[old] = row
    return mapped
