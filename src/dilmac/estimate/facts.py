"""What is known of a stage's inputs: from the disk where they lie, else from earlier stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from dilmac.core import open_artifact
from dilmac.models import Entry, Preset, entry_of_folder, find_entry, model_folder, shipped_models
from dilmac.tokenizer import Tokenizer, pretrained_names, pretrained_path

FULL_ROWS = 151_669  # of Qwen3's tokenizer; its tables have some more


class UnknownError(Exception):
    """A figure that cannot be known yet; the text says why."""


@dataclass(frozen=True)
class Corpus:
    """Text to train on."""

    train_bytes: int
    heldout_bytes: int
    folder: Path | None  # where it lies already


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer."""

    rows: int
    folder: Path | None
    new_rows: int | None = None  # after those of the tokenizer that it extends


@dataclass(frozen=True)
class Model:
    """A model's shape; `vocabulary` is that of its texts, `rows` what its tables have."""

    shape: Preset
    rows: int
    vocabulary: Vocabulary
    folder: Path | None
    new_rows: int | None = None  # at the end of its tables, made by a transplant
    is_bf16: bool = False  # as it is stored


Kind = TypeVar("Kind", Corpus, Vocabulary, Model)
Facts = Corpus | Vocabulary | Model | UnknownError


@dataclass
class Known:
    """What stages will have made, by their folders."""

    made: dict[Path, Facts] = field(default_factory=dict)

    def corpus(self, path: Path) -> Corpus:
        """The corpus at a path.

        Raises:
            UnknownError: it is not there, and what it will be cannot be told.
        """
        if (path / "artifact.json").is_file():
            figures = open_artifact(path, "corpus").figures
            heldout = int(figures.get("text_bytes_heldout", 0))
            return Corpus(int(figures["text_bytes_kept"]) - heldout, heldout, path)
        return _expected(self.made.get(path), Corpus, f"corpus {path}")

    def vocabulary(self, name: Path | str) -> Vocabulary:
        """The tokenizer of that name or at that path.

        Raises:
            UnknownError: it is not there, and what it will be cannot be told.
        """
        path = Path(name)
        if has_tokenizer(path):
            return vocabulary_in(path)
        if path in self.made:
            return _expected(self.made[path], Vocabulary, f"tokenizer {path}")
        if str(name) in pretrained_names():
            return vocabulary_in(pretrained_path(str(name)))
        entry = find_entry(str(name))
        if entry is not None and entry.vocab:
            return Vocabulary(min(entry.vocab, FULL_ROWS), None)
        raise UnknownError(f"no tokenizer {name} yet, so not how many rows it has")

    def model(self, name: Path | str) -> Model:
        """The model of that name or at that path; one of the catalogue needs no folder.

        Raises:
            InputError: nothing of that name is there, ships, or stands in the catalogue.
            UnknownError: what it will be cannot be told, or its kind has no formulas here.
        """
        path = Path(name)
        if not path.exists():
            if path in self.made:
                return _expected(self.made[path], Model, f"model {path}")
            entry = find_entry(str(name))
            if entry is not None and str(name) not in shipped_models():
                shape = shape_of(entry)
                rows = entry.vocab or 0
                return Model(
                    shape, rows, Vocabulary(min(rows, FULL_ROWS), None), None, is_bf16=True
                )
        folder = model_folder(name)
        entry, stored = entry_of_folder(folder)
        vocabulary = vocabulary_in(folder) if has_tokenizer(folder) else None
        rows = entry.vocab or 0
        return Model(
            shape_of(entry),
            rows,
            vocabulary or Vocabulary(rows, None),
            folder,
            new_rows=_new_rows(folder, rows),
            is_bf16=bool(entry.params) and stored <= 2 * (entry.params or 0),
        )


def _expected(found: Facts | None, kind: type[Kind], what: str) -> Kind:
    if isinstance(found, UnknownError):
        raise found
    if not isinstance(found, kind):
        raise UnknownError(f"{what} is not there yet")
    return found


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer."""
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))


def vocabulary_in(folder: Path) -> Vocabulary:
    """The tokenizer of a folder."""
    return Vocabulary(len(Tokenizer(folder)), folder)


def _new_rows(folder: Path, rows: int) -> int | None:
    """Rows at the end of a model's tables that a transplant made."""
    if not (folder / "artifact.json").is_file():
        return None
    first = open_artifact(folder, "model").figures.get("first_made_row")
    return None if first is None else rows - int(first)


def shape_of(entry: Entry) -> Preset:
    """The shape of a model of the catalogue or of a folder.

    Raises:
        UnknownError: it has experts, or layers of another kind, or its shape is not known.
    """
    is_plain = not entry.experts and entry.full_attention_layers is None
    if entry.architecture is not None and entry.architecture not in KNOWN_ARCHITECTURES:
        is_plain = False
    if not is_plain:
        raise UnknownError(f"{entry.name} is a {entry.architecture}: no formulas for its layers")
    numbers = (
        entry.hidden,
        entry.intermediate,
        entry.layers,
        entry.heads,
        entry.kv_heads,
        entry.vocab,
    )
    if None in numbers:
        raise UnknownError(f"the shape of {entry.name} is not wholly known")
    return Preset(
        architecture="qwen3" if entry.architecture == "qwen3" else "llama",
        hidden_size=entry.hidden or 0,
        intermediate_size=entry.intermediate or 0,
        num_layers=entry.layers or 0,
        num_heads=entry.heads or 0,
        num_kv_heads=entry.kv_heads or 0,
        head_dim=entry.head_dim,
        context=entry.context or 2048,
        tied=bool(entry.tied),
    )


KNOWN_ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3")  # blocks alike but for norms, biases


def transplanted(source: Model, vocabulary: Vocabulary, *, untie: bool, rows: int) -> Model:
    """A model on another tokenizer, its tables with that many rows."""
    shape = source.shape.model_copy(update={"tied": source.shape.tied and not untie})
    new = None if vocabulary.new_rows is None else rows - (vocabulary.rows - vocabulary.new_rows)
    return replace(source, shape=shape, rows=rows, vocabulary=vocabulary, folder=None, new_rows=new)
