"""`dilmac tokenizer extend`: Qwen's tokenizer goes on learning, on Turkish words.

English and code cost what they did, every old id means what it meant, and a model needs new rows
only for what is new.
"""

from __future__ import annotations

import json

import tokenizers

from dilmac.core import (
    Artifact,
    ConfigError,
    Figures,
    InputError,
    building,
    expand_inputs,
    open_artifact,
    say,
)
from dilmac.tokenizer.extend.base import BASE_FILES, Base, Pair, read_base
from dilmac.tokenizer.extend.config import ExtendConfig
from dilmac.tokenizer.extend.measure import Reading, measure
from dilmac.tokenizer.extend.merges import learn_merges
from dilmac.tokenizer.extend.prune import rows_to_keep
from dilmac.tokenizer.extend.words import words_of
from dilmac.tokenizer.extend.write import extended_spec, write_extended
from dilmac.tokenizer.hub import folder_of
from dilmac.tokenizer.sample import weigh
from dilmac.tokenizer.words import count_words


def extend_tokenizer(config: ExtendConfig, *, force: bool = False) -> Artifact:
    """Make a tokenizer folder that `AutoTokenizer` opens, with `rows.json` for the transplant.

    Raises:
        InputError: no corpus, or a base that cannot be found or is no byte-level BPE.
        ConfigError: more rows than the text can fill, or fewer to keep than are needed.
    """
    if config.keep and not config.other_texts:
        raise ConfigError(
            "by their use in Turkish alone, the rows of English and code would go",
            where="--keep",
            mend="name a few megabytes of them: --other-texts english.txt code.jsonl",
        )
    if not config.rows and not config.keep:
        raise ConfigError(
            "neither adds rows nor leaves any out", where="--rows 0", mend="give --keep, or --rows"
        )
    for corpus in (config.corpus, *config.more_corpora):
        open_artifact(corpus, "corpus")
    base = read_base(folder_of(config.base, BASE_FILES, f"--base {config.base}"))
    inputs = {
        "corpus": [config.corpus],
        "more_corpora": list(config.more_corpora),
        "base": base.files,
        "other_texts": expand_inputs(config.other_texts),
    }
    with building("tokenizer", config, inputs, force=force) as build:
        if build.done:
            return build.done
        reading = Reading(config, weigh(config))
        num_bytes = min(reading.text.num_bytes, config.max_text_bytes)
        say(f"extend: {config.rows:,} rows from {num_bytes / 1e6:,.1f} MB")
        learnt = _learn(base, reading, config)
        kept = list(range(len(base.names)))
        if config.keep:
            kept = rows_to_keep(base, learnt, reading.use(_fast(base, learnt, kept)), config.keep)
        write_extended(base, learnt, kept, build.path)
        fast = _fast(base, learnt, kept)
        figures: Figures = {
            "vocab_size": len(kept) + len(learnt),
            "rows_added": len(learnt),
            "rows_kept": len(kept),
        }
        return build.finish(figures | measure(base.fast, fast, reading))


def _learn(base: Base, reading: Reading, config: ExtendConfig) -> list[Pair]:
    if not config.rows:
        return []
    counts = count_words(reading.text.stream(config.max_text_bytes))
    learnt = learn_merges(words_of(base, counts), base.names, config.rows)
    if not learnt:
        raise InputError("no word in it that the base cuts more than once", where=config.corpus)
    if len(learnt) < config.rows:
        raise ConfigError(
            f"{config.rows:,} rows are more than the text of {config.corpus} can fill",
            where="--rows",
            mend=f"give at most {len(learnt):,}, or more text",
        )
    return learnt


def _fast(base: Base, learnt: list[Pair], kept: list[int]) -> tokenizers.Tokenizer:
    fast = tokenizers.Tokenizer.from_str(json.dumps(extended_spec(base, learnt, kept)))
    fast.encode_special_tokens = True
    return fast
