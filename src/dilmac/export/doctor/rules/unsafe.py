"""Files that run code when a model is opened: pickles, and Python of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dilmac.export.doctor.finding import PYTHON, Finding, Fix, some
from dilmac.export.doctor.folder import CONFIG, GENERATION, TOKENIZER_CONFIG, ModelFolder
from dilmac.export.doctor.registry import doctor_rule

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
ALWAYS = ("pytorch_model", "adapter_model", "consolidated")  # .bin files that are pickles by name


@doctor_rule("unsafe", of="folder")
def pickles(folder: ModelFolder) -> Iterator[Finding]:
    """Pickled weights and trainers' leftovers."""
    found = sorted(path.name for path in folder.path.iterdir() if _is_pickle(path))
    if not found:
        return
    is_doubled = bool(folder.tensors)
    yield Finding(
        "warning" if is_doubled else "error",
        some(found),
        "is a pickle, which runs what is in it"
        + ("" if is_doubled else "; there are no safetensors weights"),
        PYTHON,
        "leave it out: the safetensors weights are enough"
        if is_doubled
        else "write it as safetensors: `dilmac models convert --weights FILE` reads it without "
        "running anything",
        _leaving_out(found) if is_doubled else None,
    )


def _is_pickle(path: Path) -> bool:
    if path.suffix not in PICKLES or not path.is_file():
        return False
    if path.suffix != ".bin" or path.name.startswith(ALWAYS):
        return True
    with path.open("rb") as file:
        head = file.read(4)
    return head[:1] == b"\x80" or head == b"PK\x03\x04"  # pickle's own mark; torch's zip


@doctor_rule("unsafe", of="folder")
def remote_code(folder: ModelFolder) -> Iterator[Finding]:
    """auto_map in a config, and Python files."""
    named = {
        CONFIG: folder.config, TOKENIZER_CONFIG: folder.tokenizer_config,
        GENERATION: folder.generation,
    }  # fmt: skip
    for name, settings in named.items():
        if "auto_map" in settings:
            known = name != CONFIG or _is_of_transformers(folder)
            yield Finding(
                "error",
                f"{name}: auto_map",
                "asks for code of its own, which dilmaç, vLLM and transformers do not run unasked",
                (*PYTHON, "llama.cpp"),
                "take it out: transformers has this architecture" if known else
                "use a version of the model that transformers has itself",
                _without_map(name) if known else None,
            )  # fmt: skip
    code = sorted(path.name for path in folder.path.glob("*.py"))
    if code:
        known = _is_of_transformers(folder)
        yield Finding(
            "warning",
            some(code),
            "is Python that a loader with trust_remote_code runs",
            PYTHON,
            "leave it out" if known else "read it before you trust it",
            _leaving_out(code) if known else None,
        )


def _is_of_transformers(folder: ModelFolder) -> bool:
    """Whether transformers itself has the architecture that the config names."""
    import transformers

    names = folder.config.get("architectures") or []
    kind = folder.config.get("model_type")
    return (
        kind in transformers.CONFIG_MAPPING
        and bool(names)
        and all(hasattr(transformers, str(name)) for name in names)
    )


def _leaving_out(names: list[str]) -> Fix:
    def fix(copy: Any) -> None:
        for name in names:
            copy.drop(name)

    return fix


def _without_map(name: str) -> Fix:
    return lambda copy: copy.set_json(name, auto_map=None)
