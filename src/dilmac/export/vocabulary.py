"""A SentencePiece vocabulary as GGUF metadata: pieces, scores, types, and who ends what.

llama.cpp's SentencePiece path ignores the normalizer and adds a space and a bos by default, so
both are switched off explicitly.
"""

from __future__ import annotations

from pathlib import Path

import gguf

from dilmac.core import InputError
from dilmac.tokenizer import IM_END, PAD, PieceType, Tokenizer, is_unigram, read_pieces


def add_vocabulary(writer: gguf.GGUFWriter, folder: Path, num_rows: int) -> None:
    """Write the tokenizer of a model folder; rows beyond it are named and typed as unused.

    Raises:
        InputError: no `tokenizer.model`, a unigram one, or a vocabulary larger than the model.
    """
    model_file = folder / "tokenizer.model"
    if not model_file.is_file():
        raise InputError(
            "no tokenizer.model in it: only SentencePiece tokenizers can be written yet",
            where=folder,
            mend="use a tokenizer that `dilmac tokenizer train` made",
        )
    if is_unigram(model_file):
        raise InputError(
            "a unigram vocabulary: llama.cpp's has no byte fallback and loses characters",
            where=model_file,
            mend="train a BPE vocabulary (`dilmac tokenizer train` without `--algorithm unigram`)",
        )
    tokenizer = Tokenizer(folder)
    tokenizer.require_fit(num_rows)
    pieces = read_pieces(model_file)
    unused = [f"[unused{row}]" for row in range(len(pieces), num_rows)]
    end = tokenizer.document_start_id
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.text for piece in pieces] + unused)
    writer.add_token_scores([piece.score for piece in pieces] + [-1000.0] * len(unused))
    writer.add_token_types(
        [int(piece.type) for piece in pieces] + [int(PieceType.UNUSED)] * len(unused)
    )
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(tokenizer.control_id(IM_END))
    writer.add_eot_token_id(tokenizer.control_id(IM_END))
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(tokenizer.control_id(PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    template = folder / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))
