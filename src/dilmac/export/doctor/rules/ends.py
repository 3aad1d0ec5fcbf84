"""Ends: of a turn, of a document, and what pads; in configs, tokenizers and headers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.ends import added_tokens, end_of_turn, ids_of
from dilmac.export.doctor.finding import EVERYWHERE, GGML, PYTHON, Finding, Fix
from dilmac.export.doctor.folder import CONFIG, GENERATION, TOKENIZER_CONFIG, ModelFolder
from dilmac.export.doctor.gguf_file import KEY, GgufFile
from dilmac.export.doctor.registry import doctor_rule

KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
# Tokens that may pad, the best first; whichever the vocabulary has and nothing ends with.
PADS = ("<|pad|>", "<pad>", "[PAD]", "<|endoftext|>", "<|finetune_right_pad_id|>", "<|fim_pad|>")
GGUF_IDS = ("bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "cls", "mask")


def eos_in_use(folder: ModelFolder) -> list[Any]:
    """What transformers and vLLM stop at: the generation config's, else the config's."""
    stated = ids_of(folder.generation.get("eos_token_id"))
    return stated or ids_of(folder.text_config.get("eos_token_id"))


@doctor_rule("ends", of="folder")
def outside(folder: ModelFolder) -> Iterator[Finding]:
    """Ids that are no rows of the vocabulary."""
    num_rows = folder.num_rows or folder.text_config.get("vocab_size") or 0
    if not num_rows:
        return
    for name, settings in ((CONFIG, folder.text_config), (GENERATION, folder.generation)):
        for key in KEYS:
            wrong = [row for row in ids_of(settings.get(key)) if not _is_row(row, num_rows)]
            if not wrong:
                continue
            right = folder.vocabulary.get(folder.token_named(key.removesuffix("_id")) or "")
            yield Finding(
                "error",
                f"{name}: {key}",
                f"{wrong[0]!r} is no id of a vocabulary of {num_rows:,} rows",
                EVERYWHERE,
                "take it out" if right is None else f"set it to {right}",
                _setting(name, key, right),
            )


@doctor_rule("ends", of="folder")
def unknown_tokens(folder: ModelFolder) -> Iterator[Finding]:
    """Special tokens by names that the vocabulary does not have."""
    if not folder.vocabulary:
        return
    for key in ("bos_token", "eos_token", "pad_token"):
        name = folder.token_named(key)
        if name and name not in folder.vocabulary:
            yield Finding(
                "error",
                f"{TOKENIZER_CONFIG}: {key}",
                f"{name!r} is no token of the vocabulary: transformers adds a row that the model "
                "does not have",
                PYTHON,
                "name the token that the model was trained with",
            )


@doctor_rule("ends", of="folder")
def pad_is_eos(folder: ModelFolder) -> Iterator[Finding]:
    """A model whose pad is its eos does not learn to stop: the loss leaves padding out."""
    ends, pads = eos_in_use(folder), ids_of(_stated(folder, "pad_token_id"))
    by_id = bool(ends and pads and pads[0] == ends[0])
    eos, pad = folder.token_named("eos_token"), folder.token_named("pad_token")
    by_name = eos is not None and eos == pad
    if not (by_id or by_name):
        return
    taken = {eos, *(name for name, row in folder.vocabulary.items() if row in ends)}
    better = next((p for p in PADS if p in folder.vocabulary and p not in taken), None)
    where = f"{TOKENIZER_CONFIG}: pad_token" if by_name else f"{CONFIG}: pad_token_id"
    yield Finding(
        "warning",
        where,
        "is the eos, so that a model fine-tuned with it never learns to stop",
        ("training", "transformers"),
        f"pad with {better}" if better else "add a pad token of its own before fine-tuning",
        _padding_with(folder, better) if better else None,
    )


@doctor_rule("ends", of="folder")
def eos_of_the_turn(folder: ModelFolder) -> Iterator[Finding]:
    """The eos against the token that the chat template ends an answer with."""
    if not folder.generates:
        return
    end, ends = end_of_turn(folder), eos_in_use(folder)
    eos = folder.token_named("eos_token")
    if end is None:
        row = folder.vocabulary.get(eos or "")
        if row is not None and row not in ends:
            yield _eos_finding(folder, eos or "", row, ends, f"the tokenizer's eos {eos}")
        return
    row = folder.vocabulary[end]
    if row not in ends:
        yield _eos_finding(folder, end, row, ends, f"{end}, with which the template ends a turn")
    elif eos is not None and folder.vocabulary.get(eos) not in (None, *ends):
        yield Finding(
            "error",
            f"{TOKENIZER_CONFIG}: eos_token",
            f"is {eos}, the configs stop at {_named(folder, ends)}: converters take the former",
            (*GGML, "ONNX"),
            f"set it to {end}",
            lambda copy: copy.name_token("eos_token", end),
        )
    elif eos not in (None, end):
        yield Finding(
            "note",
            f"{TOKENIZER_CONFIG}: eos_token",
            f"is {eos}, the template ends a turn with {end}, at which the configs stop as well",
            GGML,
            f"set it to {end}",
        )


def _eos_finding(folder: ModelFolder, name: str, row: int, ends: list[Any], what: str) -> Finding:
    def fix(copy: Any) -> None:
        others = [end for end in ends if _is_row(end, folder.num_rows) and end != row]
        value = [row, *others] if others else row
        for file in (CONFIG, GENERATION):
            if file == CONFIG or folder.generation:
                copy.set_json(file, eos_token_id=value)
        copy.name_token("eos_token", name)

    stops = f"stops at {_named(folder, ends)}" if ends else "names none"
    return Finding(
        "error",
        f"{GENERATION if folder.generation.get('eos_token_id') is not None else CONFIG}: "
        "eos_token_id",
        f"{stops}, not at {what}: an answer goes on without end",
        EVERYWHERE,
        f"name {name} ({row}) first",
        fix,
    )


def _named(folder: ModelFolder, rows: list[Any]) -> str:
    names = {row: name for name, row in folder.vocabulary.items()}
    return ", ".join(str(names.get(row, row)) for row in rows)


def _stated(folder: ModelFolder, key: str) -> Any:
    own = folder.generation.get(key)
    return folder.text_config.get(key) if own is None else own


def _is_row(row: Any, num_rows: int) -> bool:
    return isinstance(row, int) and not isinstance(row, bool) and 0 <= row < num_rows


def _setting(name: str, key: str, value: int | None) -> Fix:
    def fix(copy: Any) -> None:
        def change(content: dict[str, Any]) -> None:
            for part in (content, content.get("text_config")):
                if isinstance(part, dict) and key in part:
                    part[key] = value

        copy.change_json(name, change)

    return fix


def _padding_with(folder: ModelFolder, name: str) -> Fix:
    def fix(copy: Any) -> None:
        row = folder.vocabulary[name]
        copy.name_token("pad_token", name)
        for file, settings in ((CONFIG, folder.config), (GENERATION, folder.generation)):
            if settings:
                copy.set_json(file, pad_token_id=row)

    return fix


@doctor_rule("ends", of="gguf")
def ids_in_gguf(file: GgufFile) -> Iterator[Finding]:
    """Ids outside the vocabulary, no eos, and a pad that is the eos."""
    if not file.tokens:
        return
    for name in GGUF_IDS:
        row = file.tokenizer_value(f"{name}_token_id")
        if row is not None and not _is_row(row, len(file.tokens)):
            key = f"{KEY}{name}_token_id"
            found = f"{row} is no id of a vocabulary of {len(file.tokens):,} rows"
            yield Finding("error", key, found, GGML, "take it out", _without(key))
    eos, pad = (file.tokenizer_value(f"{name}_token_id") for name in ("eos", "padding"))
    if eos is not None and eos == pad:
        controls = added_tokens(file) - {file.token(eos)}
        better = next((name for name in PADS if name in controls), None)
        key = f"{KEY}padding_token_id"
        yield Finding(
            "warning",
            key,
            "is the eos",
            GGML,
            f"pad with {better}" if better else "take it out; llama.cpp needs no pad",
            _putting(key, file.vocabulary[better] if better else None),
        )


@doctor_rule("ends", of="gguf")
def turn_in_gguf(file: GgufFile) -> Iterator[Finding]:
    """eos and eot against the token that the template ends an answer with."""
    if not file.tokens:
        return
    end = end_of_turn(file)
    stated = [file.tokenizer_value(f"{name}_token_id") for name in ("eos", "eot")]
    right = file.vocabulary.get(end) if end else None
    if right in stated and right is not None and stated[0] is not None:
        return
    if right is None and stated[0] is not None:
        return
    shown = "is missing" if stated[0] is None else f"is {file.token(stated[0])}"
    found = f"{shown}, the template ends a turn with {end}" if end else shown

    def fix(copy: Any) -> None:
        copy.set(f"{KEY}eos_token_id", right)
        copy.set(f"{KEY}eot_token_id", right)

    yield Finding(
        "error",
        f"{KEY}eos_token_id",
        f"{found}: an answer goes on without end",
        GGML,
        "name the token that ends an answer" if right is None else f"set it to {right}",
        None if right is None else fix,
    )


@doctor_rule("ends", of="gguf")
def begins_with_bos(file: GgufFile) -> Iterator[Finding]:
    """Whether llama.cpp puts a bos before a prompt, against the tokenizer's own rule."""
    source = file.source
    if source is None or source.fast is None or file.model not in ("llama", "gpt2"):
        return
    encode = source.fast.encode
    wanted = encode("a").ids[0] != encode("a", add_special_tokens=False).ids[0]
    stated = file.tokenizer_value("add_bos_token")
    default = file.model == "llama"  # llama.cpp's own
    if (default if stated is None else stated) is not wanted:
        key = f"{KEY}add_bos_token"
        found = f"{'is missing' if stated is None else f'is {stated}'}, the tokenizer says {wanted}"
        yield Finding(
            "error", key, found, GGML, f"set it to {str(wanted).lower()}", _putting(key, wanted)
        )


def _putting(key: str, value: Any) -> Fix:
    return lambda copy: copy.set(key, value)


def _without(key: str) -> Fix:
    return _putting(key, None)
