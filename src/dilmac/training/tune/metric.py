"""A metric of the user's own: answers to validation prompts against their references."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch

from dilmac.core import ConfigError, Figures, Steps
from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.training.data.examples import Conversation

Metric = Callable[[list[str], list[str]], Any]
FLAG = "--metric"


def import_metric(path: str) -> Metric:
    """The function behind `module:function`; modules are looked for in this folder, too.

    Raises:
        ConfigError: no such module or function, or no function.
    """
    module_name, _, name = path.partition(":")
    if not (module_name and name):
        raise ConfigError(f"{path!r} is no module:function", where=FLAG, mend="write it so")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        function = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ConfigError(
            f"{path!r} cannot be imported ({type(error).__name__}: {error})",
            where=FLAG,
            mend="give a module of this folder or of the environment, and a function in it",
        ) from error
    finally:
        sys.path.remove(here)
    if not callable(function):
        raise ConfigError(f"{path!r} is no function", where=FLAG)
    found: Metric = function
    return found


def measure_metric(
    metric: Metric,
    model: Any,
    tokenizer: Tokenizer,
    examples: Sequence[Conversation],
    max_new_tokens: int,
) -> Figures:
    """What the user's function says of the model's greedy answers, by name.

    Raises:
        ConfigError: it raises, or returns something else than numbers.
    """
    predictions = []
    with Steps("metric", total=len(examples), unit="answers") as steps:
        for example in examples:
            predictions.append(answer(model, tokenizer, example.messages[:-1], max_new_tokens))
            steps.advance()
    references = [example.messages[-1].content for example in examples]
    try:
        found = metric(predictions, references)
    except Exception as error:
        raise ConfigError(
            f"the metric raised {type(error).__name__}: {error}", where=FLAG, mend="mend it"
        ) from error
    values = found if isinstance(found, dict) else {"metric": found}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigError(f"{name!r} is {value!r}, not a number", where=FLAG)
    # numpy's numbers are numbers, too, but JSON does not know them
    return {
        str(name): int(value) if isinstance(value, Integral) else float(value)
        for name, value in values.items()
    }


def answer(
    model: Any, tokenizer: Tokenizer, messages: Sequence[Message], max_new_tokens: int
) -> str:
    """The model's greedy answer to a conversation, without its end."""
    ids = encode_chat(tokenizer, messages, open_answer=True).ids
    room = int(model.config.max_position_embeddings) - len(ids)
    if room < 1:
        return ""
    with torch.inference_mode():
        made = model.generate(
            torch.tensor([ids], device=model.device),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long, device=model.device),
            max_new_tokens=min(room, max_new_tokens),
            do_sample=False,
            use_cache=True,
        )[0, len(ids) :].tolist()
    stops = set(model.generation_config.eos_token_id)
    end = next((place for place, token in enumerate(made) if token in stops), len(made))
    return tokenizer.decode(made[:end])
