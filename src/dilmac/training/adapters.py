"""`dilmac adapters`: several adapters of one base; which is active; one merged into the base.

An adapter is a folder as peft writes it. Of a folder of adapters each has the name of the folder
that it lies in: `runs/polite/adapter` (as `dilmac finetune --out runs/polite` leaves it) and
`runs/polite` are both `polite`. `active.json` in it names the active one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel

from dilmac.core import Artifact, Figures, InputError, building, unknown_key, write_json
from dilmac.models import (
    load_model,
    require_model_folder,
    require_plain_weights,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.training.adapter_configs import (
    ListAdaptersConfig,
    MergeAdapterConfig,
    SwitchAdapterConfig,
)
from dilmac.training.precision import DTYPES
from dilmac.training.tune.merge import WEIGHTS, merge_adapter, probe_of, with_saved_adapter
from dilmac.training.tune.quantized import dequantized, load_quantized
from dilmac.training.tune.rows import made_rows
from dilmac.training.tune.save import ADAPTER, save_whole

ACTIVE = "active.json"
SETTINGS = "adapter_config.json"


@dataclass(frozen=True)
class Adapter:
    """An adapter folder, and what its config says."""

    name: str
    folder: Path
    settings: dict[str, Any]

    @property
    def method(self) -> str:
        kind = str(self.settings.get("peft_type", "unknown")).lower()
        return "dora" if kind == "lora" and self.settings.get("use_dora") else kind

    @property
    def whole_tables(self) -> list[str]:
        """Tables that it replaces, by the last part of their names."""
        names = self.settings.get("modules_to_save") or []
        return sorted({str(name).rpartition(".")[2] for name in names})

    def figures(self) -> Figures:
        rows = self.settings.get("trainable_token_indices") or {}
        if isinstance(rows, list):  # peft's short form: of the input table
            rows = {"embed_tokens": rows}
        return {
            "method": self.method,
            "rank": self.settings.get("r"),
            "base": self.settings.get("base_model_name_or_path"),
            "megabytes": round((self.folder / WEIGHTS).stat().st_size / 1e6, 3),
            "new_rows": max(map(len, rows.values()), default=0),
            "whole_tables": self.whole_tables,
            "folder": str(self.folder),
        }


def list_adapters(config: ListAdaptersConfig) -> Figures:
    """The adapters of a folder by name, and the active one.

    Raises:
        InputError: no such folder, no adapter in it, or one that is damaged.
    """
    found = find_adapters(config.adapters)
    return {
        "active": active_name(config.adapters, found),
        "adapters": {name: adapter.figures() for name, adapter in found.items()},
    }


def switch_adapter(config: SwitchAdapterConfig) -> Figures:
    """Make an adapter the active one: what `adapters merge` and `open_adapters` take.

    Raises:
        InputError: see `list_adapters`.
        ConfigError: no adapter of that name.
    """
    found = find_adapters(config.adapters)
    _named(found, config.name)
    before = active_name(config.adapters, found)
    write_json(config.adapters / ACTIVE, {"active": config.name})
    return {"active": config.name, "active_before": before}


def merge_named_adapter(config: MergeAdapterConfig, *, force: bool = False) -> Artifact:
    """The base with one adapter merged into it, as a model folder.

    Raises:
        InputError: base or adapter cannot be read, or do not belong together; or no adapter is
            named, and none is active.
        ConfigError: no adapter of that name.
        DilmacError: merged or saved, the logits are others.
    """
    config = with_model_folder(config)
    require_plain_weights(require_model_folder(config.model), config.model)
    adapter = _chosen(config)
    inputs = {"model": [config.model], "adapters": [adapter.folder]}
    with building("model", config, inputs, force=force) as build:
        if build.done:
            return build.done
        tokenizer = Tokenizer(config.model)
        if config.quantization:
            dtype = DTYPES["fp32"]
            base = dequantized(load_quantized(config.model, config.quantization, dtype))
        else:
            base = load_model(config.model)
        probe = probe_of(tokenizer, base.device)
        adapted = with_saved_adapter(base, adapter.folder)
        model, difference = merge_adapter(adapted, probe, adapter.folder)
        saved = save_whole(model, probe, build.path, DTYPES[config.save_precision], tokenizer)
        copy_tokenizer(config.model, build.path)
        figures = {
            "adapter": adapter.name,
            "method": adapter.method,
            "merge_logit_difference": float(f"{difference:.2g}"),
            "saved_logit_difference": saved,
            **made_rows(config.model),
        }
        write_model_card(build, figures, how="finetuned", base=config.model)
        return build.finish(figures)


def open_adapters(base: Any, folder: Path) -> PeftModel:
    """Base with every adapter of a folder beside it, the active one in use.

    `model.set_adapter(name)` switches, and `model.disable_adapter()` gives the base.

    Raises:
        InputError: see `list_adapters`; one does not belong to this base; or of several one has
            whole tables, which peft 0.21 does not switch where input and output are tied.
    """
    found = find_adapters(folder)
    whole = [name for name, adapter in found.items() if adapter.whole_tables]
    if whole and len(found) > 1:
        raise InputError(
            f"{whole[0]!r} has whole tables in it and cannot be opened beside others",
            where=folder,
            mend="merge it, or train with --no-train-embeddings",
        )
    model = base
    for name, adapter in found.items():
        model = with_saved_adapter(model, adapter.folder, name)
    model.set_adapter(active_name(folder, found) or next(iter(found)))
    opened: PeftModel = model.eval()
    return opened


def find_adapters(folder: Path) -> dict[str, Adapter]:
    """The adapters of a folder, by name in their order.

    Raises:
        InputError: no such folder, no adapter in it, or one that is damaged.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder)
    found: dict[str, Adapter] = {}
    places = (path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    for place in sorted(places):  # without runs that are not whole
        for inner in (place, place / ADAPTER):
            if (inner / SETTINGS).is_file():
                found[place.name] = read_adapter(inner, place.name)
                break
    if not found:
        raise InputError(
            f"no adapter in it (a folder with {SETTINGS})",
            where=folder,
            mend="`dilmac finetune --out FOLDER/NAME` leaves one",
        )
    return found


def read_adapter(folder: Path, name: str) -> Adapter:
    """
    Raises:
        InputError: its config is damaged, or it has no safetensors weights.
    """
    path = folder / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"no JSON ({error})", where=path) from error
    if not isinstance(settings, dict):
        raise InputError("no JSON object", where=path)
    if not (folder / WEIGHTS).is_file():
        raise InputError(
            f"no {WEIGHTS} in it", where=folder, mend="pickled weights (.bin) are not loaded"
        )
    return Adapter(name, folder, settings)


def active_name(folder: Path, found: dict[str, Adapter]) -> str | None:
    """Name of the active adapter: the one that was switched to, or the only one.

    Raises:
        InputError: `active.json` is damaged, or names an adapter that is not there.
    """
    path = folder / ACTIVE
    if not path.is_file():
        return next(iter(found)) if len(found) == 1 else None
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["active"]
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise InputError(f"damaged ({error})", where=path, mend="delete it") from error
    if name not in found:
        raise InputError(
            f"names {name!r}, which is not there", where=path, mend="`dilmac adapters switch`"
        )
    return str(name)


def _chosen(config: MergeAdapterConfig) -> Adapter:
    """The adapter to merge: the folder itself, or one in it by name."""
    folder = config.adapters
    for itself in (folder, folder / ADAPTER):
        if config.name is None and (itself / SETTINGS).is_file():
            return read_adapter(itself, folder.name)
    found = find_adapters(folder)
    name = config.name or active_name(folder, found)
    if name is None:
        raise InputError(
            f"holds {len(found)} adapters, and none is active",
            where=folder,
            mend=f"give --name: {', '.join(found)}",
        )
    return _named(found, name)


def _named(found: dict[str, Adapter], name: str) -> Adapter:
    if name not in found:
        raise unknown_key(name, found, where="--name")
    return found[name]
