"""`dilmac models rescale`: a context longer than trained, and what it costs in bits per byte."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from dilmac.core import (
    Artifact,
    Figures,
    InputError,
    building,
    expand_inputs,
    open_artifact,
    read_measured_texts,
    read_texts,
    say,
    write_json,
)
from dilmac.evaluate import measure_bits
from dilmac.models import (
    load_model,
    require_model_folder,
    require_plain_weights,
    trained_context,
    with_longer_context,
    write_model_card,
)
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.training.folder_configs import RescaleConfig

COPIED = ("*.safetensors", "*.safetensors.index.json", "generation_config.json")


def rescale(config: RescaleConfig, *, force: bool = False) -> Artifact:
    """A copy of a model whose config reads positions beyond the trained context.

    Raises:
        InputError: model or text cannot be read, or the text is shorter than the new context.
        ConfigError: the context is not longer, or the model's positions cannot be stretched.
    """
    settings = require_model_folder(config.model)
    require_plain_weights(settings, config.model)
    if "max_position_embeddings" not in settings:
        raise InputError("names no context", where=config.model / "config.json")
    changed = with_longer_context(settings, config.context, config.type)
    inputs = {"model": [config.model], "text": expand_inputs(config.text)}
    if config.corpus:
        inputs["corpus"] = [config.corpus]
    with building("model", config, inputs, force=force) as build:
        if build.done:
            return build.done
        for pattern in COPIED:
            for path in sorted(config.model.glob(pattern)):
                shutil.copyfile(path, build.path / path.name)
        copy_tokenizer(config.model, build.path)
        write_json(build.path / "config.json", changed)
        trained = trained_context(settings)
        figures: Figures = {
            "trained_context": trained,
            "context": config.context,
            "rope_parameters": changed["rope_parameters"],
        }
        if config.text or config.corpus:
            figures |= _cost(config, build.path, trained)
        write_model_card(build, figures, how="rescaled", base=config.model)
        return build.finish(figures)


def _cost(config: RescaleConfig, scaled: Path, trained: int) -> Figures:
    """Bits per byte in windows of several lengths, with positions as trained and stretched."""
    tokenizer = Tokenizer(config.model)
    text, num_joined = _joined(_texts(config), config.max_text_bytes)
    num_tokens = len(tokenizer.encode(text))
    if num_tokens <= config.context:
        raise InputError(
            f"the text to measure has {num_tokens} tokens, the new context {config.context}",
            where="--text" if config.text else "--corpus",
            mend="give more text, or raise --max-text-bytes",
        )
    lengths = [trained]
    while lengths[-1] * 2 < config.context:
        lengths.append(lengths[-1] * 2)
    lengths.append(config.context)
    found: dict[str, dict[str, float]] = {}
    for name, folder in (("as_trained", config.model), ("stretched", scaled)):
        model = load_model(folder)
        tokenizer.require_fit(model.get_input_embeddings().num_embeddings)
        found[name] = {}
        for length in lengths:
            bits = measure_bits(model, tokenizer, [text], context=length).per_byte
            found[name][str(length)] = round(bits, 4)
            say(f"rescale: {bits:.4f} bits per byte in windows of {length} tokens, {name}")
    before = found["as_trained"][str(trained)]
    return {
        "measured_bytes": len(text.encode()),
        "measured_documents": num_joined,
        "bits_per_byte_by_window": found,
        "cost_within_the_trained_context": round(found["stretched"][str(trained)] - before, 4),
        "cost_at_the_new_context": round(found["stretched"][str(config.context)] - before, 4),
    }


def _texts(config: RescaleConfig) -> Iterable[str]:
    if config.text:
        return read_measured_texts(config.text, config.text_field)
    if config.corpus is None:
        raise AssertionError("called only where there is a text")
    open_artifact(config.corpus, "corpus")
    return read_texts(config.corpus, "heldout")


def _joined(texts: Iterable[str], max_bytes: int) -> tuple[str, int]:
    """Documents one after the other, so that windows longer than any of them are full."""
    taken: list[str] = []
    size = 0
    for text in texts:
        taken.append(text)
        size += len(text.encode()) + 2
        if size >= max_bytes:
            break
    return "\n\n".join(taken).encode()[:max_bytes].decode("utf-8", "ignore"), len(taken)
