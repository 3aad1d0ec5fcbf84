"""The extended vocabulary as a Hugging Face folder that llama.cpp reads with `pre=qwen2`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dilmac.core import InputError, write_json
from dilmac.tokenizer.chat import CHAT_TEMPLATE
from dilmac.tokenizer.extend.base import Base, Pair
from dilmac.tokenizer.special import IM_END, IM_START

ROWS_FILE = "rows.json"


def source_rows(base: Base, learnt: list[Pair], kept: list[int]) -> list[list[int]]:
    """For every row of the new vocabulary the base's ids that it stands for, in their order."""
    parts = [[row] for row in range(len(base.names))]
    for first, last in learnt:
        parts.append(parts[first] + parts[last])
    return [[row] for row in kept] + parts[len(base.names) :]


def extended_spec(base: Base, learnt: list[Pair], kept: list[int]) -> dict[str, Any]:
    """The new `tokenizer.json`: old rows that are kept in their order, then the new ones.

    Control tokens stand in the BPE's vocabulary, too, where no merge reaches them: the Rust library
    would otherwise number them anew, after the last row.
    """
    names = list(base.names)
    for first, last in learnt:
        names.append(names[first] + names[last])
    order = [*kept, *range(len(base.names), len(names))]
    vocabulary = {names[row]: place for place, row in enumerate(order) if names[row]}
    written = [(names[first], names[last]) for first, last in [*base.merges, *learnt]]
    merges = [(a, b) for a, b in written if {a, b, a + b} <= vocabulary.keys()]
    added = [token | {"id": vocabulary[token["content"]]} for token in base.spec["added_tokens"]]
    model = base.spec["model"] | {"vocab": vocabulary, "merges": merges}
    return base.spec | {"added_tokens": added, "model": model}


def write_extended(base: Base, learnt: list[Pair], kept: list[int], folder: Path) -> None:
    """Write `tokenizer.json`, its configs, the chat template, and `rows.json`.

    Raises:
        InputError: the base's post-processor holds ids, which pruning changes.
    """
    is_pruned = len(kept) < len(base.names)
    if is_pruned and '"ids"' in json.dumps(base.spec.get("post_processor")):
        raise InputError(
            "its post-processor adds control tokens by their ids: it cannot be pruned",
            where=base.folder / "tokenizer.json",
            mend="leave --keep out",
        )
    spec = extended_spec(base, learnt, kept)
    text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    rows = json.dumps(source_rows(base, learnt, kept), separators=(",", ":"))
    (folder / ROWS_FILE).write_text(rows + "\n", encoding="utf-8")
    _write_settings(base.folder, spec["added_tokens"], folder)


def _write_settings(source: Path, added: list[dict[str, Any]], folder: Path) -> None:
    settings: dict[str, Any] = {}
    if (source / "tokenizer_config.json").is_file():
        settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    # The class that reads tokenizer.json as it is.
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False}
    if "added_tokens_decoder" in settings:
        settings["added_tokens_decoder"] = {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in added
        }
    has_markers = {IM_START, IM_END} <= {token["content"] for token in added}
    if has_markers:
        settings["eos_token"] = IM_END
    write_json(folder / "tokenizer_config.json", settings)
    template = source / "chat_template.jinja"
    if template.is_file():
        shutil.copyfile(template, folder / template.name)
    elif has_markers and "chat_template" not in settings:
        (folder / template.name).write_text(CHAT_TEMPLATE, encoding="utf-8")
