"""Where a checkpoint keeps its embedding and its head, and which ids its config names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dilmac.core import InputError

# Of causal models and of the language part of vision models, as transformers and as the hub's older
# checkpoints name them.
EMBEDDINGS = (
    "model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "language_model.model.embed_tokens.weight",
)
HEADS = ("lm_head.weight", "language_model.lm_head.weight")
# model_type → section of config.json that holds the vocabulary's size; "" is config.json itself.
SECTIONS = {
    "llama": "",
    "mistral": "",
    "qwen2": "",
    "qwen2_moe": "",
    "qwen3": "",
    "qwen3_moe": "",
    "qwen3_5_text": "",
    "gemma": "",  # multiplies input rows by the root of the width: so it does with new rows, too
    "gemma2": "",
    "gemma3_text": "",
    "gemma3": "text_config",
    "qwen2_vl": "text_config",
    "qwen2_5_vl": "text_config",
    "qwen3_vl": "text_config",
    "qwen3_5": "text_config",
}
Settings = dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """A checkpoint's tables: tensor names, shape, and whether one serves as both."""

    embedding: str
    head: str | None  # None where tied: the embedding is the head
    spare_head: str | None  # written beside the embedding although tied; left out of the new model
    num_rows: int
    width: int

    @property
    def is_tied(self) -> bool:
        return self.head is None

    @property
    def tables(self) -> set[str]:
        """Every tensor that another vocabulary changes or drops."""
        return {name for name in (self.embedding, self.head, self.spare_head) if name}


def require_known(settings: Settings, where: Any) -> str:
    """The `model_type` of a config.json whose tables dilmac knows.

    Raises:
        InputError: it is of another architecture.
    """
    kind = settings.get("model_type")
    if not isinstance(kind, str) or kind not in SECTIONS:
        raise InputError(
            f"architecture {kind!r} is not known here",
            where=where,
            mend=f"known: {', '.join(SECTIONS)}",
        )
    return kind


def find_layout(
    shapes: dict[str, tuple[int, ...]], *, num_rows: int, is_tied: bool, where: Any
) -> Layout:
    """The tables among the tensors of a checkpoint, by their names and shapes.

    `num_rows` and `is_tied` are what its config says, or its class where the config is silent.

    Raises:
        InputError: one is missing, has no two dimensions, or has other rows than config.json says.
    """
    embedding = _one_of(EMBEDDINGS, shapes, "embedding", where)
    head = next((name for name in HEADS if name in shapes), None)
    if not is_tied and head is None:
        raise InputError(
            f"no head in it ({HEADS[0]}), and its config.json says that it is not tied",
            where=where,
            mend="check tie_word_embeddings in config.json, and that no shard is missing",
        )
    for name in filter(None, (embedding, head)):
        if len(shapes[name]) != 2 or shapes[name][0] != num_rows:
            raise InputError(
                f"{name} has the shape {list(shapes[name])}, config.json says {num_rows} rows",
                where=where,
            )
    if head and shapes[head] != shapes[embedding]:
        raise InputError(
            f"{head} has the shape {list(shapes[head])}, {embedding} {list(shapes[embedding])}",
            where=where,
        )
    rows, width = shapes[embedding]
    if is_tied:
        return Layout(embedding, None, head, rows, width)
    return Layout(embedding, head, None, rows, width)


def _one_of(names: tuple[str, ...], shapes: dict[str, Any], what: str, where: Any) -> str:
    found = next((name for name in names if name in shapes), None)
    if found is None:
        raise InputError(
            f"no {what} in it: none of {', '.join(names)}",
            where=where,
            mend="is a shard missing, or are these the weights of an adapter?",
        )
    return found


def text_section(settings: Settings) -> Settings:
    """The part of config.json about the language model."""
    name = SECTIONS[settings["model_type"]]
    part = settings.get(name) if name else settings
    return part if isinstance(part, dict) else settings


def with_vocabulary(settings: Settings, num_rows: int, *, is_tied: bool) -> Settings:
    """A copy of config.json for other tables."""
    changed = {**settings, "tie_word_embeddings": is_tied}
    name = SECTIONS[settings["model_type"]]
    if "vocab_size" in changed or not name:
        changed["vocab_size"] = num_rows
    if name and isinstance(settings.get(name), dict):
        changed[name] = {**settings[name], "vocab_size": num_rows}
        if "tie_word_embeddings" in changed[name]:
            changed[name]["tie_word_embeddings"] = is_tied
    return changed


# ---- ids that configs name

IdMap = Callable[[str, int], int | None]


def with_ids(settings: Settings, new_id: IdMap) -> Settings:
    """A copy of config.json or generation_config.json in which ids of tokens are the new ones.

    `new_id` gets the key and the old id; where it gives None, the id is left out: a list gets
    shorter, a single id becomes None.
    """
    changed: Settings = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            changed[key] = with_ids(value, new_id)
        elif names_tokens(key):
            changed[key] = _mapped(key, value, new_id)
        else:
            changed[key] = value
    return changed


def names_tokens(key: str) -> bool:
    """Whether a config's key holds ids of tokens."""
    return key.endswith(("_token_id", "_token_index", "suppress_tokens", "bad_words_ids"))


def _mapped(key: str, value: Any, new_id: IdMap) -> Any:
    if isinstance(value, list):
        found = [_mapped(key, item, new_id) for item in value]
        if key == "bad_words_ids" and None in found:  # a part of a word forbids another
            return None
        return list(dict.fromkeys(found)) if _is_flat(found) else [i for i in found if i]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return new_id(key, value)
    return value


def _is_flat(found: list[Any]) -> bool:
    if any(isinstance(item, list) for item in found):
        return False
    while None in found:
        found.remove(None)
    return True


def ids_named(settings: Settings) -> Iterator[tuple[str, int]]:
    """Every key and id of a token in a config, also in its sections."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from ids_named(value)
        elif names_tokens(key):
            yield from ((key, row) for row in _flat(value))


def _flat(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
