"""What tokenizers make of the same texts: tokens, tokens per word, bytes per token, round trip."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from dilmac.core import Figures, InputError, read_measured_texts
from dilmac.tokenizer.encode import Tokenizer
from dilmac.tokenizer.measure.config import CompareConfig


def compare_tokenizers(config: CompareConfig) -> Figures:
    """Measure every tokenizer on the same texts (NFC); the first is the baseline of `saved`.

    Words are what white space divides. A round trip is exact when decoding gives the text back.

    Raises:
        InputError: a text or a tokenizer cannot be read.
    """
    tokenizers = [(name, Tokenizer(Path(name))) for name in config.tokenizer]
    texts = [
        unicodedata.normalize("NFC", text)
        for text in read_measured_texts(config.inputs, config.text_field, config.max_text_bytes)
    ]
    if not any(texts):
        raise InputError(
            "no text to measure", where=config.inputs[0], mend="raise --max-text-bytes"
        )
    rows = [{"tokenizer": name, **measure(tokenizer, texts)} for name, tokenizer in tokenizers]
    baseline = rows[0]["tokens"]
    for row in rows:
        row["saved_percent"] = round(100 * (1 - row["tokens"] / baseline), 2)
    return {"texts": len(texts), "tokenizers": rows}


def measure(tokenizer: Tokenizer, texts: list[str]) -> Figures:
    """Counts of one tokenizer on `texts`."""
    encoded = list(tokenizer.encode_stream(texts))
    num_tokens = sum(map(len, encoded))
    num_bytes = sum(len(text.encode()) for text in texts)
    num_words = sum(len(text.split()) for text in texts)
    pairs = zip(texts, encoded, strict=True)
    num_exact = sum(tokenizer.decode(ids, keep_control=True) == text for text, ids in pairs)
    return {
        "vocab_size": len(tokenizer),
        "tokens": num_tokens,
        "tokens_per_word": round(num_tokens / max(1, num_words), 4),
        "bytes_per_token": round(num_bytes / max(1, num_tokens), 4),
        "round_trip_percent": round(100 * num_exact / len(texts), 4),
    }
