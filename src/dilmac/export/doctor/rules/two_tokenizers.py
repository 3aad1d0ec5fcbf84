"""One model, two tokenizers: tokenizer.json, which transformers and vLLM read, tokenizer.model,
which llama.cpp's converter and Ollama take first, and the vocabulary of a GGUF."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import tokenizers

from dilmac.core import bundled_prose, read_measured_texts
from dilmac.export.doctor.finding import GGML, PYTHON, Finding, some
from dilmac.export.doctor.folder import TOKENIZER_JSON, TOKENIZER_MODEL, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import PieceType, Tokenizer

NUM_FUZZ = 300
NUM_LINES = 100
SHOWN = 30  # characters of a string that is read otherwise
CHOOSE = "keep the one that the model was trained with, and make the other from it"


@doctor_rule("two-tokenizers", of="folder")
def beside_each_other(folder: ModelFolder) -> Iterator[Finding]:
    """tokenizer.model against tokenizer.json: rows, and ids of real lines and fuzz strings."""
    proto, tokenizer = folder.proto, folder.tokenizer
    if proto is None or tokenizer is None:
        return
    if folder.is_byte_level:
        found = "is a SentencePiece model, tokenizer.json a byte-level one"
        yield Finding("error", TOKENIZER_MODEL, found, GGML, "remove tokenizer.model", _dropped)
        return
    apart = _rows_apart(folder, proto)
    if apart:
        found = f"{len(apart):,} rows are other tokens than in tokenizer.json: {some(apart)}"
        yield _model_finding(folder, proto, tokenizer, found)
        return
    if not _reads_alike(proto):
        return  # that it normalizes is a finding of its own
    different = list(_strings_apart(tokenizer, _reader(proto)))
    if different:
        found = (
            f"{len(different)} of {NUM_FUZZ + NUM_LINES} strings have other ids than in "
            f"tokenizer.json, such as {different[0][:SHOWN]!r}"
        )
        yield _model_finding(folder, proto, tokenizer, found)


def _model_finding(folder: ModelFolder, proto: Any, tokenizer: Tokenizer, found: str) -> Finding:
    fix = _rewriting(folder, proto, tokenizer)
    mend = "write tokenizer.model anew from tokenizer.json" if fix else CHOOSE
    return Finding("error", TOKENIZER_MODEL, found, GGML, mend, fix)


@doctor_rule("two-tokenizers", of="folder")
def as_transformers_opens_it(folder: ModelFolder) -> Iterator[Finding]:
    """What AutoTokenizer makes of the folder, if its class builds a tokenizer of its own."""
    name = folder.tokenizer_config.get("tokenizer_class")
    if folder.tokenizer is None or name in (None, "PreTrainedTokenizerFast", "TokenizersBackend"):
        return
    from transformers import AutoTokenizer

    try:
        theirs = AutoTokenizer.from_pretrained(
            str(folder.path), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever transformers stumbles over is the finding
        found = f"{name} does not open it ({' '.join(str(error).split())[:120]})"
        mend = "write PreTrainedTokenizerFast, which reads tokenizer.json as it is"
        yield Finding(
            "error", "tokenizer_config.json: tokenizer_class", found, PYTHON, mend, _plain
        )
        return

    def read(text: str) -> list[int]:
        return list(theirs.encode(text, add_special_tokens=False))

    plain = tokenizers.Tokenizer.from_file(str(folder.path / TOKENIZER_JSON))
    texts = [text for text in _texts() if "<" not in text]  # without the spelling of markers
    apart = [
        text for text in texts if read(text) != plain.encode(text, add_special_tokens=False).ids
    ]
    if apart:
        yield Finding(
            "error",
            "tokenizer_config.json: tokenizer_class",
            f"{name} gives {len(apart)} of {len(texts)} strings other ids than tokenizer.json, "
            f"such as {apart[0][:SHOWN]!r}",
            PYTHON,
            "write PreTrainedTokenizerFast, which reads tokenizer.json as it is",
            _plain,
        )


@doctor_rule("two-tokenizers", of="gguf")
def against_its_source(file: GgufFile) -> Iterator[Finding]:
    """Tokens, merges and scores of a GGUF against the tokenizer that it was made of."""
    source = file.source
    if source is None or not file.tokens:
        return
    rows = source.vocabulary.items()
    apart = [f"{row} ({name})" for name, row in rows if file.token(row) != name]
    if apart:
        found = f"{len(apart):,} rows are other tokens than in the tokenizer: {some(apart)}"
        yield Finding("error", f"{KEY}tokens", found, GGML, "export it again")
    merges = (source.spec.get("model") or {}).get("merges")
    if file.model == "gpt2" and merges is not None:
        spelled = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
        if spelled != file.tokenizer_value("merges"):
            found = "are other merges than the tokenizer's, or in another order"
            yield Finding(
                "error", f"{KEY}merges", found, GGML, "take the tokenizer's",
                lambda copy: copy.set(f"{KEY}merges", spelled),
            )  # fmt: skip
    if file.model == "llama" and source.proto is not None:
        yield from _scores(file, [piece.score for piece in source.proto.pieces])


def _scores(file: GgufFile, wanted: list[float]) -> Iterator[Finding]:
    stated = file.tokenizer_value("scores") or []
    if list(stated[: len(wanted)]) == wanted:
        return
    lowest = [-1000.0] * (len(file.tokens) - len(wanted))
    found = "are missing" if not stated else "are other scores than the vocabulary's"
    yield Finding(
        "error", f"{KEY}scores", f"{found}: merges follow them", GGML, "take the vocabulary's",
        lambda copy: copy.set(f"{KEY}scores", wanted + lowest),
    )  # fmt: skip


def _rows_apart(folder: ModelFolder, proto: Any) -> list[str]:
    """Rows that are not the same token in both; markers after the last piece may be added."""
    ours = {row: name for name, row in folder.vocabulary.items()}
    added = {token["content"] for token in folder.spec.get("added_tokens", [])}
    pieces = [piece.piece for piece in proto.pieces]
    apart = [
        f"{row} ({name!r}, {ours.get(row)!r})"
        for row, name in enumerate(pieces)
        if ours.get(row) != name
    ]
    beyond = (row for row in ours if row >= len(pieces) and ours[row] not in added)
    return apart + [f"{row} (none, {ours[row]!r})" for row in sorted(beyond)]


def _reads_alike(proto: Any) -> bool:
    rule = proto.normalizer_spec
    return rule.name in ("", "identity") and not rule.remove_extra_whitespaces


def _reader(proto: Any) -> Callable[[str], list[int]]:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_proto=proto.SerializeToString())
    return lambda text: list(processor.encode(text))


@cache
def _texts() -> list[str]:
    lines = (line for text in read_measured_texts(bundled_prose()) for line in text.split("\n"))
    return [*islice(filter(None, lines), NUM_LINES), *fuzz_strings(NUM_FUZZ, seed=42)]


def _strings_apart(tokenizer: Tokenizer, read: Callable[[str], list[int]]) -> Iterator[str]:
    for text in _texts():
        if read(text) != tokenizer.encode(text):
            yield text


def _rewriting(
    folder: ModelFolder, proto: Any, tokenizer: Tokenizer
) -> Callable[[Any], None] | None:
    """A tokenizer.model made of tokenizer.json's BPE; None where it is of another kind."""
    model = folder.spec.get("model") or {}
    if model.get("type") != "BPE" or not model.get("byte_fallback") or folder.is_byte_level:
        return None
    data = _as_sentencepiece(folder, proto, tokenizer)
    return (lambda copy: copy.write(TOKENIZER_MODEL, data)) if data else None


def _as_sentencepiece(folder: ModelFolder, old: Any, tokenizer: Tokenizer) -> bytes | None:
    """Pieces with the scores that make SentencePiece merge in tokenizer.json's order; None if the
    result does not read text as tokenizer.json does."""
    from sentencepiece import sentencepiece_model_pb2

    from dilmac.export.doctor.rules.prefix_space import of_json

    proto = sentencepiece_model_pb2.ModelProto()
    proto.CopyFrom(old)
    del proto.pieces[:]
    rank: dict[str, int] = {}
    for place, merge in enumerate(folder.spec["model"].get("merges", [])):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        rank.setdefault(left + right, place)
    special = {token["content"]: token["special"] for token in folder.spec.get("added_tokens", [])}
    names = {row: name for name, row in folder.vocabulary.items()}
    unknown = folder.spec["model"].get("unk_token") or "<unk>"
    for row in range(folder.num_rows):
        name = names.get(row, f"[unused{row}]")
        kind = _kind_of(name, special, unknown, is_known=row in names)
        proto.pieces.add(piece=name, score=-float(rank.get(name, len(rank) + row)), type=int(kind))
    proto.normalizer_spec.add_dummy_prefix = of_json(folder.spec)
    proto.trainer_spec.vocab_size = len(proto.pieces)
    try:
        if any(True for _ in _strings_apart(tokenizer, _reader(proto))):
            return None
    except RuntimeError:  # SentencePiece refuses it: two rows alike, or no unknown
        return None
    return bytes(proto.SerializeToString())


def _kind_of(name: str, special: dict[str, bool], unknown: str, *, is_known: bool) -> PieceType:
    if name == unknown:
        return PieceType.UNKNOWN
    if name in special:
        return PieceType.CONTROL if special[name] else PieceType.USER_DEFINED
    if len(name) == 6 and name.startswith("<0x"):
        return PieceType.BYTE
    return PieceType.NORMAL if is_known else PieceType.UNUSED


def _dropped(copy: Any) -> None:
    copy.drop(TOKENIZER_MODEL)


def _plain(copy: Any) -> None:
    copy.set_json("tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
