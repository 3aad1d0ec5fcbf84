"""Model folders that Ollama converts itself (`FROM .`), and what its importer needs of them.

What it knows was read in its source (`convert/convert.go`, `convert/tokenizer.go`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dilmac.core import InputError, read_json
from dilmac.export.architectures import Settings
from dilmac.export.vocabulary import read_vocabulary
from dilmac.tokenizer import (
    IM_END,
    IM_START,
    TOKENIZER_FILES,
    PieceType,
    Tokenizer,
    is_byte_level,
    read_pieces,
)

# No Qwen3ForCausalLM among them, nor a mixture of experts of Qwen3's.
IMPORTED = ("LlamaForCausalLM", "Qwen2ForCausalLM")
MEND = "leave --weights out: a GGUF is written then, which Ollama takes"
COPIED = (*TOKENIZER_FILES, "config.json", "generation_config.json", "README.md", "LICENSE")


def require_importable(folder: Path, settings: Settings) -> None:
    """Refuse a folder that Ollama cannot import, or would misread.

    Raises:
        InputError: another architecture, or a tokenizer whose markers would become plain text.
    """
    name = settings["architectures"][0]
    if name not in IMPORTED:
        raise InputError(
            f"Ollama cannot import the safetensors of a {name}",
            where=folder / "config.json",
            mend=MEND,
        )
    read_vocabulary(folder, settings["vocab_size"])  # a tokenizer.model, or Qwen's own split
    if is_byte_level(Tokenizer(folder).fast):
        return
    # Ollama takes the tokenizer.model first, and its user-defined pieces for plain text unless
    # special_tokens_map.json names them.
    named = read_json(folder / "special_tokens_map.json").get("additional_special_tokens") or []
    types = {piece.text: piece.type for piece in read_pieces(folder / "tokenizer.model")}
    for marker in (IM_START, IM_END):
        if types.get(marker) != PieceType.CONTROL and marker not in named:
            raise InputError(
                f"{marker} is no control piece: Ollama would read it as plain text",
                where=folder / "tokenizer.model",
                mend=MEND,
            )


def copy_model(folder: Path, target: Path) -> None:
    """Copy weights, config, tokenizer and card, unchanged."""
    for name in copied_files(folder):
        shutil.copyfile(folder / name, target / name)


def copied_files(folder: Path) -> list[str]:
    """Names of the files that Ollama gets of a model folder."""
    weights = [path.name for path in sorted(folder.glob("*.safetensors*"))]
    return [name for name in (*COPIED, *weights) if (folder / name).is_file()]
