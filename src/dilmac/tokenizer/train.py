"""Train a lossless SentencePiece BPE with the settings that were decided by measurement.

With these settings ids are the same in SentencePiece, in the converted `tokenizer.json` and in
llama.cpp, text round-trips exactly, and encoding segment by segment equals encoding the whole.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import sentencepiece
import xxhash

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
from dilmac.tokenizer.convert import write_hf_folder
from dilmac.tokenizer.encode import MODEL_FILE, Tokenizer
from dilmac.tokenizer.special import (
    CONTROL_SYMBOLS,
    END_OF_TEXT,
    PAD,
    REQUIRED_CHARACTERS,
    UNKNOWN,
)

# Longer lines are cut at a space: SentencePiece drops what is longer than its limit.
MAX_LINE_CHARS = 4000
MAX_LINE_BYTES = 4 * MAX_LINE_CHARS + 16
# Rows that every vocabulary holds: control tokens, 256 bytes, required characters.
SMALLEST_VOCABULARY = 512


def train_tokenizer(config: TokenizerConfig, *, force: bool = False) -> Artifact:
    """Make a tokenizer folder: `tokenizer.model` and the Hugging Face files beside it.

    Raises:
        InputError: `config.corpus` is no corpus.
        ConfigError: the vocabulary is larger than the text can fill.
    """
    corpus = open_artifact(config.corpus, "corpus")
    with building("tokenizer", config, {"corpus": [config.corpus]}, force=force) as build:
        if build.done:
            return build.done
        text_bytes = corpus.figures["text_bytes_kept"] - corpus.figures["text_bytes_heldout"]
        vocab_size = fitting_size(config.vocab_size, min(text_bytes, config.max_text_bytes))
        share = min(1.0, config.max_text_bytes / max(1, text_bytes))
        say(f"tokenizer: training {vocab_size:,} rows on {text_bytes * share / 1e6:,.1f} MB")
        model = _train(_lines(config.corpus, share), vocab_size, config)
        (build.path / MODEL_FILE).write_bytes(model)
        write_hf_folder(build.path / MODEL_FILE, build.path)
        return build.finish(_measure(build.path, config.corpus))


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
    if size < SMALLEST_VOCABULARY:
        raise ConfigError(
            f"{size} rows are too few",
            where="--vocab-size",
            mend=f"give at least {SMALLEST_VOCABULARY}: bytes and required characters fill 390",
        )
    return size


def _lines(corpus: Path, share: float) -> Iterator[str]:
    for text in read_texts(corpus, "train"):
        if share < 1 and xxhash.xxh3_64_intdigest(text) / 2**64 >= share:
            continue
        for line in text.split("\n"):
            yield from _cut(line)


def _cut(line: str) -> Iterator[str]:
    while len(line) > MAX_LINE_CHARS:
        space = line.rfind(" ", 1, MAX_LINE_CHARS)
        end = space if space > 0 else MAX_LINE_CHARS
        yield line[:end]
        line = line[end:]
    if line:
        yield line


def _train(lines: Iterator[str], vocab_size: int, config: TokenizerConfig) -> bytes:
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            character_coverage=config.character_coverage,
            required_chars=REQUIRED_CHARACTERS,
            split_digits=config.split_digits,
            max_sentencepiece_length=config.max_piece_length,
            max_sentence_length=MAX_LINE_BYTES,
            unk_id=0,
            unk_piece=UNKNOWN,
            eos_id=1,
            eos_piece=END_OF_TEXT,
            pad_id=2,
            pad_piece=PAD,
            bos_id=-1,
            control_symbols=list(CONTROL_SYMBOLS),
            num_threads=num_cpus(),
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(error, vocab_size, config.corpus) from error
    return model.getvalue()


def _explained(error: RuntimeError, vocab_size: int, corpus: Path) -> Exception:
    text = str(error)
    if limit := re.search(r"value <= (\d+)", text):
        return ConfigError(
            f"{vocab_size:,} rows are more than the text of {corpus} can fill",
            where="--vocab-size",
            mend=f"give at most {limit.group(1)}, `auto`, or more text",
        )
    return InputError(f"SentencePiece cannot train on it ({text})", where=corpus)


def _measure(folder: Path, corpus: Path) -> Figures:
    """Tokens on the held-out split, where there is one, else on the train split."""
    tokenizer = Tokenizer(folder)
    split = "heldout" if any(corpus.glob("heldout-*")) else "train"
    num_bytes = num_words = num_tokens = 0
    texts = list(read_texts(corpus, split)) if split == "heldout" else read_texts(corpus, split)
    for text in texts:
        ids = tokenizer.encode(text)
        if tokenizer.decode(ids) != text:
            raise AssertionError(f"no exact round trip of {text[:80]!r}")
        num_bytes += len(text.encode())
        num_words += len(text.split())
        num_tokens += len(ids)
    return {
        "vocab_size": len(tokenizer),
        "measured_on": split,
        "tokens_per_word": round(num_tokens / max(1, num_words), 4),
        "bytes_per_token": round(num_bytes / max(1, num_tokens), 4),
    }
