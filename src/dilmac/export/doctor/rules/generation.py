"""generation_config.json: settings that contradict each other, the config, or the context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dilmac.export.doctor.ends import ids_of
from dilmac.export.doctor.finding import PYTHON, Finding
from dilmac.export.doctor.folder import GENERATION, ModelFolder
from dilmac.export.doctor.registry import doctor_rule

# What counts only where tokens are drawn, with the value that says nothing.
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 50, "min_p": None, "typical_p": 1.0}
# Smallest and largest value that any runtime takes; the smallest is excluded where so marked.
BOUNDS: dict[str, tuple[float, float, bool]] = {
    "temperature": (0.0, 100.0, True),
    "top_p": (0.0, 1.0, True),
    "min_p": (0.0, 1.0, False),
    "repetition_penalty": (0.0, 100.0, True),
    "top_k": (-1, 1 << 31, False),
    "num_beams": (1, 1 << 20, False),
}
LENGTHS = ("max_length", "max_new_tokens", "min_length", "min_new_tokens")


@doctor_rule("generation", of="folder")
def sampling(folder: ModelFolder) -> Iterator[Finding]:
    """Sampling settings beside no sampling: transformers answers greedily, vLLM draws."""
    stated = folder.generation
    if not stated or stated.get("do_sample"):
        return
    idle = {key: stated[key] for key, default in SAMPLING.items() if _says(stated, key, default)}
    if idle:
        shown = ", ".join(f"{key} {value}" for key, value in idle.items())
        yield Finding(
            "warning",
            f"{GENERATION}: do_sample",
            f"is {stated.get('do_sample', 'missing')} beside {shown}: transformers takes the best "
            "token, vLLM and others draw",
            PYTHON,
            f"take out {', '.join(idle)}, as transformers does",
            lambda copy: copy.set_json(GENERATION, **dict.fromkeys(idle)),
        )


def _says(stated: dict[str, Any], key: str, default: Any) -> bool:
    return stated.get(key) is not None and stated[key] != default


@doctor_rule("generation", of="folder")
def bounds(folder: ModelFolder) -> Iterator[Finding]:
    """Values that no runtime takes."""
    for key, (least, most, is_open) in BOUNDS.items():
        value = folder.generation.get(key)
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or (is_open and value == least):
            if key == "temperature" and value == 0 and not folder.generation.get("do_sample"):
                continue  # a finding of `sampling`
            yield Finding(
                "error",
                f"{GENERATION}: {key}",
                f"{value!r} is outside what runtimes take ({'>' if is_open else ''}{least:g} to "
                f"{most:g})",
                PYTHON,
                "take it out",
                _taking_out(key),
            )


@doctor_rule("generation", of="folder")
def lengths(folder: ModelFolder) -> Iterator[Finding]:
    """Lengths beyond the context, or the least beyond the most."""
    context = folder.text_config.get("max_position_embeddings")
    stated = folder.generation
    for key in LENGTHS:
        value = stated.get(key)
        if isinstance(value, int) and isinstance(context, int) and value > context:
            found = f"is {value:,}, the model has positions for {context:,}"
            yield Finding(
                "warning", f"{GENERATION}: {key}", found, PYTHON, "take it out", _taking_out(key)
            )
    for least, most in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
        low, high = stated.get(least), stated.get(most)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            found = f"is {low:,}, {most} is {high:,}"
            yield Finding(
                "error", f"{GENERATION}: {least}", found, PYTHON, "take it out", _taking_out(least)
            )


@doctor_rule("generation", of="folder")
def against_config(folder: ModelFolder) -> Iterator[Finding]:
    """An eos of config.json at which generation does not stop, or an eos it may never give."""
    ends = ids_of(folder.generation.get("eos_token_id"))
    silent = ids_of(folder.generation.get("suppress_tokens"))
    own = ids_of(folder.text_config.get("eos_token_id"))
    missing = [row for row in own if row not in ends]
    if ends and missing:
        yield Finding(
            "error",
            f"{GENERATION}: eos_token_id",
            f"{ends} does not hold {missing}, which config.json names: transformers and vLLM go on "
            "where llama.cpp stops, or the other way",
            (*PYTHON, "llama.cpp"),
            "name both",
            lambda copy: copy.change_json(GENERATION, lambda content: _naming(content, missing)),
        )
    never = [row for row in dict.fromkeys([*ends, *own]) if row in silent]
    if never:
        left = [row for row in silent if row not in never]
        yield Finding(
            "error",
            f"{GENERATION}: suppress_tokens",
            f"holds the eos {never}: an answer can never end",
            PYTHON,
            "take the eos out",
            lambda copy: copy.set_json(GENERATION, suppress_tokens=left or None),
        )
    num_rows = folder.text_config.get("vocab_size")
    outside = [row for row in silent if not isinstance(row, int) or row < 0]
    if isinstance(num_rows, int):
        outside += [row for row in silent if isinstance(row, int) and row >= num_rows]
    if outside:
        inside = [row for row in silent if row not in outside and row not in never]
        yield Finding(
            "error",
            f"{GENERATION}: suppress_tokens",
            f"{outside[0]!r} is no id of the model",
            PYTHON,
            "take it out",
            lambda copy: copy.set_json(GENERATION, suppress_tokens=inside or None),
        )


def _naming(content: dict[str, Any], rows: list[Any]) -> None:
    stated = ids_of(content.get("eos_token_id"))
    content["eos_token_id"] = list(dict.fromkeys([*stated, *rows]))


def _taking_out(key: str) -> Any:
    return lambda copy: copy.set_json(GENERATION, **{key: None})
