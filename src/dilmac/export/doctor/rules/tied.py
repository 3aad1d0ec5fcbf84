"""The flag that ties input and output table, against the tensors."""

from __future__ import annotations

from collections.abc import Iterator

from dilmac.export.doctor.finding import EVERYWHERE, Finding, Fix
from dilmac.export.doctor.folder import CONFIG, ModelFolder, Tensor
from dilmac.export.doctor.registry import doctor_rule
from dilmac.export.doctor.tables import are_equal, folder_rows

WHERE = f"{CONFIG}: tie_word_embeddings"


@doctor_rule("tied", of="folder")
def flag_and_tensors(folder: ModelFolder) -> Iterator[Finding]:
    """Tied with a head of its own, or untied without one."""
    if not folder.generates or folder.embedding is None or folder.is_tied is None:
        return
    head = folder.head
    if head is None and not folder.is_tied:
        yield Finding(
            "error",
            WHERE,
            "is false, and there is no output table: transformers fills one with random numbers",
            ("transformers", "vLLM", "ONNX"),
            "set it to true, as llama.cpp takes it",
            _tying(True),
        )
    if head is not None and folder.is_tied and not _are_one(head, folder.embedding):
        yield Finding(
            "error",
            WHERE,
            f"is true, {head.name} holds other numbers than the input table: some runtimes read "
            "the one, some the other",
            EVERYWHERE,
            "set it to false, so that both are read, as transformers does",
            _tying(False),
        )


def _are_one(head: Tensor, embedding: Tensor) -> bool:
    if head.shape != embedding.shape:
        return False
    return are_equal(folder_rows(head), folder_rows(embedding))


def _tying(value: bool) -> Fix:
    return lambda copy: copy.set_json(CONFIG, tie_word_embeddings=value)
