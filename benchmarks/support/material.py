"""What training benchmarks train on: a corpus artifact and a tokenizer, given or made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dilmac.core import bundled_prose, open_artifact
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import TokenizerConfig, pretrained_names, pretrained_path, train_tokenizer


def corpus_for(given: Path | None, work: Path, texts: Sequence[str] = ()) -> Path:
    """The corpus given, or one that is built in `work`: of `texts`, else of the bundled sample."""
    if given is not None:
        return open_artifact(given, "corpus").path
    inputs = tuple(texts) or tuple(map(str, bundled_prose()))
    config = CorpusConfig(inputs=inputs, holdout_percent=5, out=work / "corpus")
    return build_corpus(config).path


def tokenizer_for(given: str | None, work: Path, corpus: Path, vocab_size: int) -> Path:
    """A tokenizer by its folder or its shipped name, or one trained on the corpus in `work`."""
    if given in pretrained_names():
        return pretrained_path(given)
    if given is not None:
        return Path(given)
    config = TokenizerConfig(corpus=corpus, vocab_size=vocab_size, out=work / "tokenizer")
    return train_tokenizer(config).path
