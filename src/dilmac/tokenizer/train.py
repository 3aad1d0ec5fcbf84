"""Train a lossless SentencePiece BPE with the settings that were decided by measurement.

With these settings ids are the same in SentencePiece, in the converted `tokenizer.json` and in
llama.cpp, text round-trips exactly, and encoding segment by segment equals encoding the whole.
"""

from __future__ import annotations

import io
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece

from dilmac.core import (
    Artifact,
    ConfigError,
    Figures,
    InputError,
    building,
    num_cpus,
    open_artifact,
    read_texts,
    say,
)
from dilmac.tokenizer.config import TokenizerConfig
from dilmac.tokenizer.convert import read_pieces, with_exact_scores, write_hf_folder
from dilmac.tokenizer.encode import MODEL_FILE, Tokenizer
from dilmac.tokenizer.sample import WeighedText, weigh
from dilmac.tokenizer.special import (
    CONTROL_SYMBOLS,
    END_OF_TEXT,
    PAD,
    REQUIRED_CHARACTERS,
    UNKNOWN,
)
from dilmac.tokenizer.superwords import add_superwords, crosses_words
from dilmac.tokenizer.user_tokens import user_tokens
from dilmac.tokenizer.words import (
    LINE_BREAK,
    MAX_WORD_CHARS,
    count_words,
    with_line_breaks,
    write_words,
)

# Decided by measurement (DESIGN: Tokenizer): lossless, and the same ids in every runtime.
FIXED: dict[str, Any] = {
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "add_dummy_prefix": False,
    "allow_whitespace_only_pieces": True,
    "max_sentence_length": 4 * MAX_WORD_CHARS + 16,
    "unk_id": 0,
    "unk_piece": UNKNOWN,
    "eos_id": 1,
    "eos_piece": END_OF_TEXT,
    "pad_id": 2,
    "pad_piece": PAD,
    "bos_id": -1,
    "control_symbols": list(CONTROL_SYMBOLS),
    "minloglevel": 2,
}
# Unigram's sums depend on how many threads share them; BPE's do not.
UNIGRAM_THREADS = 4
MAX_VOCABULARY = 1_000_000
MEASURED_BYTES = 5_000_000
# Rows that every vocabulary holds: control tokens, 256 bytes, required characters.
SMALLEST_VOCABULARY = 512


def train_tokenizer(config: TokenizerConfig, *, force: bool = False) -> Artifact:
    """Make a tokenizer folder: `tokenizer.model` and the Hugging Face files beside it.

    Raises:
        InputError: a corpus is none, or holds no text.
        ConfigError: the vocabulary is larger than the text can fill, or a user token collides.
    """
    corpora = [config.corpus, *config.more_corpora]
    for corpus in corpora:
        open_artifact(corpus, "corpus")
    user_tokens(config)  # refused before the corpus is read
    inputs = {"corpus": [config.corpus], "more_corpora": list(config.more_corpora)}
    with building("tokenizer", config, inputs, force=force) as build:
        if build.done:
            return build.done
        text = weigh(config)
        num_bytes = min(text.num_bytes, config.max_text_bytes)
        vocab_size = fitting_size(config.vocab_size, num_bytes)
        say(f"tokenizer: training {vocab_size:,} rows on {num_bytes / 1e6:,.1f} MB")
        rows = rows_of_first_pass(vocab_size, config)
        model = train_on_words(count_words(text.stream(config.max_text_bytes)), rows, config)
        if config.superwords:
            sample = text.stream(config.max_superword_bytes)
            model = add_superwords(model, sample, config.superwords, config.superword_words)
        (build.path / MODEL_FILE).write_bytes(model)
        write_hf_folder(build.path / MODEL_FILE, build.path)
        return build.finish(_measure(build.path, text))


def fitting_size(vocab_size: int | str, text_bytes: int) -> int:
    """The number of rows asked for, or for `auto` the one that a text of this size can fill.

    The rule: the power of two below 4 x sqrt(bytes), between 2,048 and 32,768: 2,048 rows for the
    bundled 0.2 MB (held-out 2.51 bits per byte at equal training, 4,096 rows 2.57), 8,192 for
    10 MB, 32,768 from 67 MB on.
    """
    if vocab_size == "auto":
        rows = max(2048, min(32768, 4 * math.isqrt(text_bytes)))
        return 1 << (rows.bit_length() - 1)
    size = int(vocab_size)
    if size > MAX_VOCABULARY:
        raise ConfigError(
            f"{size:,} rows are too many", where="--vocab-size", mend=f"at most {MAX_VOCABULARY:,}"
        )
    if size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"{size} rows are too few",
            where="--vocab-size",
            mend=f"give at least {SMALLEST_VOCABULARY}: bytes and required characters fill 390",
        )
    return size


def rows_of_first_pass(vocab_size: int, config: TokenizerConfig) -> int:
    """Rows that are left for pieces inside words.

    Raises:
        ConfigError: too few, or the algorithm has no second pass.
    """
    if config.superwords and config.algorithm != "bpe":
        raise ConfigError(
            "pieces across words need merges, which unigram has none of",
            where="--superwords",
            mend="take --algorithm bpe, or no superwords",
        )
    rows = vocab_size - config.superwords
    if rows < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"{config.superwords:,} of {vocab_size:,} rows leave {rows:,} for pieces inside words",
            where="--superwords",
            mend=f"give at most {vocab_size - SMALLEST_VOCABULARY:,}; a quarter is a good share",
        )
    return rows


def train_on_words(words: Mapping[str, float], vocab_size: int, config: TokenizerConfig) -> bytes:
    """The first pass: a SentencePiece model of pieces inside words.

    Raises:
        InputError: there are no words.
        ConfigError: more rows than they can fill.
    """
    if not words:
        raise InputError(
            "no text in it, or none was drawn",
            where=config.corpus,
            mend="give more text, or raise --max-text-bytes",
        )
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "words.tsv"
        write_words(words, file, triples=config.digits == "triples")
        try:
            sentencepiece.SentencePieceTrainer.train(
                input=str(file),
                input_format="tsv",
                model_writer=model,
                model_type=config.algorithm,
                vocab_size=vocab_size,
                character_coverage=config.character_coverage,
                required_chars=_required_characters(config),
                split_digits=config.digits == "single",
                split_by_unicode_script=not config.join_marks,
                max_sentencepiece_length=config.max_piece_length,
                user_defined_symbols=list(user_tokens(config)),
                num_threads=num_cpus() if config.algorithm == "bpe" else UNIGRAM_THREADS,
                **FIXED,
            )
        except RuntimeError as error:
            raise _explained(error, vocab_size, config.corpus) from error
    learned = with_line_breaks(model.getvalue())
    return with_exact_scores(learned) if config.algorithm == "unigram" else learned


def _required_characters(config: TokenizerConfig) -> str:
    unusable = "".join(sorted(set(config.required_characters) & set("\0\t\r\n \u2581")))
    if unusable:
        raise ConfigError(
            f"{unusable!r} cannot be a piece's character", where="--required-characters"
        )
    return REQUIRED_CHARACTERS + LINE_BREAK + config.required_characters


def _explained(error: RuntimeError, vocab_size: int, corpus: Path) -> Exception:
    text = str(error)
    if limit := re.search(r"value <= (\d+)", text):
        return ConfigError(
            f"{vocab_size:,} rows are more than the text of {corpus} can fill",
            where="--vocab-size",
            mend=f"give at most {limit.group(1)}, `auto`, or more text",
        )
    return InputError(f"SentencePiece cannot train on it ({text})", where=corpus)


def _measure(folder: Path, text: WeighedText) -> Figures:
    """Tokens on the held-out split, where there is one, else on a sample of the train split."""
    tokenizer = Tokenizer(folder)
    corpus = text.corpora[0]
    split = "heldout" if any(corpus.glob("heldout-*")) else "train"
    sample = (part for part, _ in text.stream(MEASURED_BYTES))
    num_bytes = num_words = num_tokens = 0
    parts = read_texts(corpus, split) if split == "heldout" else sample
    for part in parts:
        ids = tokenizer.encode(part)
        if tokenizer.decode(ids) != part:
            raise AssertionError(f"no exact round trip of {part[:80]!r}")
        num_bytes += len(part.encode())
        num_words += len(part.split())
        num_tokens += len(ids)
        if num_bytes > MEASURED_BYTES:
            break
    num_across = sum(crosses_words(piece.text) for piece in read_pieces(folder / MODEL_FILE))
    return {
        "vocab_size": len(tokenizer),
        "pieces_across_words": num_across,
        "measured_on": split,
        "tokens_per_word": round(num_tokens / max(1, num_words), 4),
        "bytes_per_token": round(num_bytes / max(1, num_tokens), 4),
    }
