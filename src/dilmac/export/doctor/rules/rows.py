"""Rows of the tables that no training has touched, or that are no numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from dilmac.export.doctor.ends import markers_in_use
from dilmac.export.doctor.finding import EVERYWHERE, Finding, some
from dilmac.export.doctor.folder import ModelFolder
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.registry import Subject, doctor_rule
from dilmac.export.doctor.tables import Rows, folder_rows, gguf_rows, measure
from dilmac.tokenizer import PieceType

FAR = 20.0  # times the median norm, or a part of it: no trained row of spoken text was seen so far
MANY_EQUAL = 16  # rows with the same numbers; few may be (two tokens made of the same old ones)
RUN = 8  # rows in a row that look like their initial noise; fewer do so by chance
CONTRAST = 2.0  # between the noise and the median row, without which nothing can be told
NOISE = 0.02  # of most configs, where `initializer_range` is not stated
TRAIN = "train them (they are new rows: see `modules_to_save`), or transplant the tokenizer"


@doctor_rule("rows", of="folder")
def of_folder(folder: ModelFolder) -> Iterator[Finding]:
    """Input and output table of a model folder."""
    silent = set(folder.generation.get("suppress_tokens") or [])
    spoken = _spoken_of_folder(folder) - silent
    tables = [table for table in (folder.embedding, folder.head) if table]
    noise = folder.text_config.get("initializer_range") or NOISE
    for table in tables:
        rows = measure(folder_rows(table))
        yield from _faults(folder, table.name, rows, spoken, noise)


@doctor_rule("rows", of="gguf")
def of_gguf(file: GgufFile) -> Iterator[Finding]:
    """Input and output table of a GGUF."""
    pairs = zip(file.vocabulary.values(), file.types, strict=False)
    spoken = {row for row, kind in pairs if kind == PieceType.NORMAL} - file.suppressed
    spoken |= {file.vocabulary[name] for name in markers_in_use(file) & file.vocabulary.keys()}
    for name in ("token_embd.weight", "output.weight"):
        if name in file.tensors:
            rows = measure(gguf_rows(file.tensors[name]))
            yield from _faults(file, name, rows, spoken, NOISE)


def _spoken_of_folder(folder: ModelFolder) -> set[int]:
    """Rows that text is made of, without bytes and added tokens; and the markers of turns."""
    added = {token["content"] for token in folder.spec.get("added_tokens", [])}
    if folder.proto is not None:
        ordinary = (PieceType.NORMAL, PieceType.USER_DEFINED)
        added |= {piece.piece for piece in folder.proto.pieces if piece.type not in ordinary}
    spoken = {
        row
        for name, row in folder.vocabulary.items()
        if name not in added and not (len(name) == 6 and name.startswith("<0x"))
    }
    markers = markers_in_use(folder) & folder.vocabulary.keys()
    return spoken | {folder.vocabulary[name] for name in markers}


def _faults(
    subject: Subject, name: str, rows: Rows, spoken: Iterable[int], noise: float
) -> Iterator[Finding]:
    if rows.not_finite:
        found = (
            f"{len(rows.not_finite):,} rows are NaN or infinite: {_named(subject, rows.not_finite)}"
        )
        mend = "go back to a checkpoint before; no copy can tell what they were"
        yield Finding("error", name, found, EVERYWHERE, mend)
    there = np.array(sorted(row for row in spoken if row < len(rows.norms)), dtype=np.int64)
    there = np.setdiff1d(there, np.array(rows.not_finite, dtype=np.int64))
    if not len(there):
        return
    median = float(np.median(rows.norms[there]))
    zeros = there[rows.norms[there] == 0]
    if len(zeros):
        found = f"{len(zeros):,} spoken rows are zero: {_named(subject, zeros)}"
        yield Finding("error", name, found, EVERYWHERE, TRAIN)
    norms = rows.norms[there]
    far = there[(norms > 0) & ((norms > FAR * median) | (norms < median / FAR))]
    if median > 0 and len(far):
        found = f"{len(far):,} spoken rows are {FAR:.0f} times longer or shorter than the median: "
        yield Finding("warning", name, found + _named(subject, far), EVERYWHERE, TRAIN)
    equal = [int(row) for row in there if rows.copies[row] >= MANY_EQUAL and rows.norms[row] > 0]
    if equal:
        found = f"{len(equal):,} spoken rows are equal to each other: {_named(subject, equal)}"
        yield Finding("warning", name, found, EVERYWHERE, TRAIN)
    noisy = _noisy(rows, there, noise)
    if noisy:
        found = (
            f"{len(noisy):,} spoken rows in a row are as random as at their beginning "
            f"(deviation {noise:g}): {_named(subject, noisy)}"
        )
        yield Finding("warning", name, found, EVERYWHERE, TRAIN)


def _noisy(rows: Rows, there: np.ndarray, noise: float) -> list[int]:
    """The longest run of neighbors that look like N(0, noise²), where the others do not."""
    median = float(np.median(rows.deviations[there]))
    if not (median > CONTRAST * noise or median < noise / CONTRAST):
        return []
    # Four standard errors of a deviation and of a mean over `width` numbers.
    near = np.abs(rows.deviations / noise - 1) < 4 / np.sqrt(2 * rows.width)
    near &= np.abs(rows.means) < 4 * noise / np.sqrt(rows.width)
    best: list[int] = []
    run: list[int] = []
    for row in there.tolist():
        run = ([*run, row] if run and run[-1] == row - 1 else [row]) if near[row] else []
        if len(run) > len(best):
            best = run
    return best if len(best) >= RUN else []


def _named(subject: Subject, rows: Iterable[int]) -> str:
    names = {row: name for name, row in subject.vocabulary.items()}
    return some([f"{row} ({names[row]})" if row in names else str(row) for row in rows])
