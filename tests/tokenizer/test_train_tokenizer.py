"""Training a tokenizer: what it writes, that it repeats, and what it refuses."""

import json
from pathlib import Path

import pytest

from dilmac.core import ConfigError, InputError, open_artifact
from dilmac.tokenizer import TokenizerConfig, train_tokenizer
from dilmac.tokenizer.train import fitting_size


def test_folder_says_what_other_tools_need(sample_tokenizer: Path) -> None:
    config = json.loads((sample_tokenizer / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["add_prefix_space"] is False
    assert (config["eos_token"], config["pad_token"]) == ("<|im_end|>", "<|pad|>")
    assert {path.name for path in sample_tokenizer.iterdir()} == {
        "artifact.json",
        "chat_template.jinja",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }
    figures = open_artifact(sample_tokenizer, "tokenizer").figures
    assert figures["vocab_size"] == 1024 and figures["measured_on"] == "heldout"


def test_the_same_training_gives_the_same_bytes(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    config = TokenizerConfig(corpus=sample_corpus, vocab_size=1024, out=tmp_path / "again")
    digest = open_artifact(sample_tokenizer).manifest.digest
    assert train_tokenizer(config).manifest.digest == digest


def test_a_vocabulary_that_the_text_cannot_fill_is_refused(
    sample_corpus: Path, tmp_path: Path
) -> None:
    config = TokenizerConfig(corpus=sample_corpus, vocab_size=200_000, out=tmp_path / "t")
    with pytest.raises(ConfigError, match=r"--vocab-size(.|\n)*give at most \d+"):
        train_tokenizer(config)
    with pytest.raises(ConfigError, match="too few"):
        train_tokenizer(config.model_copy(update={"vocab_size": 100}))
    with pytest.raises(InputError, match="not made by dilmac"):
        train_tokenizer(config.model_copy(update={"corpus": tmp_path}))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("num_bytes", "rows"), [(1000, 2048), (10**7, 8192), (7 * 10**7, 32768), (10**12, 32768)]
)
def test_auto_grows_with_the_text(num_bytes: int, rows: int) -> None:
    assert fitting_size("auto", num_bytes) == rows


def test_sampling_bounds_the_text(sample_corpus: Path, tmp_path: Path) -> None:
    config = TokenizerConfig(
        corpus=sample_corpus, vocab_size=600, max_text_bytes=60_000, out=tmp_path / "t"
    )
    assert train_tokenizer(config).figures["vocab_size"] == 600
