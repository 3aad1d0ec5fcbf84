"""`dilmac models show`: all that is known of a model, and the memory it needs."""

from __future__ import annotations

from pathlib import Path

from dilmac.core import ConfigError, Figures
from dilmac.models.catalogue.config import ShowConfig
from dilmac.models.catalogue.entries import Entry, Shape, Support, catalogue
from dilmac.models.catalogue.find import find_entry, nearest
from dilmac.models.catalogue.listing import brief
from dilmac.models.catalogue.local import entry_of_folder
from dilmac.models.catalogue.sizes import parse_context
from dilmac.models.running import (
    FORMATS,
    Format,
    bits_per_weight,
    kv_bytes_per_token,
    running_bytes,
    weight_bytes,
)
from dilmac.models.shipped import shipped_model, shipped_models

DEFAULT_CONTEXT = 8192
# Of these there is a word for every model: yes, no, or unknown.
RUNTIMES = ("transformers", "vLLM", "llama.cpp", "Ollama", "ONNX", "ModelScope", "Foundry Local")


def show_model(config: ShowConfig) -> Figures:
    """What is known of a model, by name or in a local folder; null is unknown.

    Raises:
        ConfigError: no such model; the nearest names are given.
        InputError: the folder is no model folder.
    """
    entry, stored = _find(config.model)
    if config.context is None:
        context = min(DEFAULT_CONTEXT, entry.context or DEFAULT_CONTEXT)
    else:
        context = parse_context(config.context)
    found: Figures = {"name": entry.name, **brief(entry)}
    if stored is not None:
        found = {"name": config.model, "parameters": entry.params, "context": entry.context}
        found |= {"stored_bytes": stored, "kv_bytes_per_token": kv_bytes_per_token(entry)}
    else:
        found |= _facts(entry)
    found["architecture"] = entry.architecture
    found["shape"] = {key: getattr(entry, key) for key in Shape.model_fields}
    found |= {"context_asked": context, "slots": config.slots, "kv_type": config.kv_type}
    found["memory"] = {weights: _memory(entry, weights, context, config) for weights in FORMATS}
    return found


def _find(name: str) -> tuple[Entry, int | None]:
    """The model, and the bytes stored where it is a folder: a path, what ships, a name."""
    if Path(name).exists():
        return entry_of_folder(Path(name))
    if name in shipped_models():
        return entry_of_folder(shipped_model(name))
    if (entry := find_entry(name)) is not None:
        return entry, None
    raise ConfigError(
        f"no model {name!r} in the catalogue, and no such folder",
        where="dilmac models show",
        mend=nearest(name, [*catalogue().models, *shipped_models()]),
    )


def _facts(entry: Entry) -> Figures:
    known = catalogue()
    license = known.licenses[entry.license]
    return {
        "base": entry.base,
        "chat": entry.chat,
        "download": entry.hub and f"hf download {entry.hub} --local-dir {entry.name.lower()}",
        "license_terms": license.terms,
        "commercial_use": license.commercial,
        "runs": {name: _said(runs_in(entry, name)) for name in RUNTIMES},
        "sources": {key: known.sources[key] for key in entry.sources},
    }


def runs_in(entry: Entry, runtime: str) -> Support | None:
    """Whether a model runs in a runtime or can be had at a place; None is unknown."""
    known = catalogue()
    if runtime == "Ollama" and entry.ollama:
        return Support(runs=True, note=f"ollama run {entry.ollama}", source="ollama-library")
    if runtime == "Foundry Local" and entry.foundry:
        return Support(runs=True, note=f"as {entry.foundry}", source="foundry")
    by_family = known.families[entry.family].places.get(runtime)
    return by_family or known.architectures.get(entry.architecture or "", {}).get(runtime)


def _said(support: Support | None) -> Figures:
    if support is None:
        return {"runs": None}
    return {**support.model_dump(), "source": catalogue().sources[support.source]}


def _memory(entry: Entry, weights: Format, context: int, config: ShowConfig) -> Figures:
    running = running_bytes(
        entry,
        weights,
        context,
        slots=config.slots,
        kv_type=config.kv_type,
    )
    alone = weight_bytes(entry, weights)
    bits = bits_per_weight(entry, weights)
    found: Figures = {"bits_per_weight": round(bits, 3), "weights": alone}
    return found | (running.parts() if running else {"total": None})
