"""Real parts for every test: a corpus, a tokenizer and tiny models made by the product itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _take_own_cores() -> None:
    """Of several test processes each keeps to cores of its own, as if it had no others.

    The product takes all cores that it finds; two models that train beside each other on two
    threads each took five times as long as on one.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        number, count = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[number::count] or cores)


_take_own_cores()
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data beside a checkout."""
    if not (SHARED / "corpus").is_dir():
        pytest.skip("needs ../shared (development data), which is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the session makes once."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="session")
def sample_corpus(made: Path) -> Path:
    """The bundled sample as a corpus."""
    from dilmac.core import bundled_raw_text
    from dilmac.corpus import CorpusConfig, build_corpus

    inputs = tuple(str(path) for path in bundled_raw_text())
    config = CorpusConfig(inputs=inputs, out=made / "corpus", holdout_percent=5)
    return build_corpus(config).path


@pytest.fixture(scope="session")
def sample_tokenizer(made: Path, sample_corpus: Path) -> Path:
    """A tokenizer of 1,024 rows."""
    from dilmac.tokenizer import TokenizerConfig, train_tokenizer

    config = TokenizerConfig(corpus=sample_corpus, vocab_size=1024, out=made / "tokenizer")
    return train_tokenizer(config).path


@pytest.fixture(scope="session")
def byte_level(made: Path) -> Path:
    """A tokenizer in Qwen's manner: 600 rows and the added tokens."""
    from byte_level_base import make_base

    return make_base(made / "byte-level-base", 600)


@pytest.fixture(scope="session")
def byte_level_extended(made: Path, byte_level: Path, sample_corpus: Path) -> Path:
    """The same, extended; its special tokens come from the configuration, as Qwen's."""
    from byte_level_base import NUM_NEW
    from dilmac.tokenizer import ExtendConfig, extend_tokenizer

    out = made / "byte-level-extended"
    config = ExtendConfig(corpus=sample_corpus, base=str(byte_level), rows=NUM_NEW, out=out)
    return extend_tokenizer(config).path


@pytest.fixture(scope="session")
def byte_level_pruned(made: Path, byte_level: Path, sample_corpus: Path) -> Path:
    """The same with 330 of its old rows."""
    from byte_level_base import ROWS_KEPT
    from dilmac.core import bundled_prose
    from dilmac.tokenizer import ExtendConfig, extend_tokenizer

    config = ExtendConfig(
        corpus=sample_corpus,
        base=str(byte_level),
        rows=40,
        keep=ROWS_KEPT,
        other_texts=(str(bundled_prose()[0]),),
        out=made / "byte-level-pruned",
    )
    return extend_tokenizer(config).path


@pytest.fixture(scope="session")
def tiny_model(made: Path, sample_corpus: Path, sample_tokenizer: Path) -> Path:
    """A `tiny` model that has seen some thousand tokens."""
    from dilmac.training import PretrainConfig, pretrain

    config = PretrainConfig(
        corpus=sample_corpus,
        tokenizer=sample_tokenizer,
        preset="tiny",
        tokens=60_000,
        batch_tokens=1024,
        out=made / "base",
        eval_bytes=3000,
    )
    return pretrain(config).path


@pytest.fixture(scope="session")
def tiny_chat(made: Path, tiny_model: Path) -> Path:
    """The tiny model, fine-tuned on the first bundled instructions."""
    from dilmac.core import bundled_instructions
    from dilmac.training import FinetuneConfig, finetune

    data = made / "instructions.jsonl"
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()[:60]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = FinetuneConfig(
        model=tiny_model, data=data, epochs=1, max_length=128, out=made / "chat"
    )
    return finetune(config).path


@pytest.fixture(scope="session")
def tiny_gguf(made: Path, tiny_chat: Path) -> Path:
    """The tiny chat model as a GGUF folder (`model-f16.gguf` in it)."""
    from dilmac.export import GgufConfig, export_gguf

    config = GgufConfig(
        model=tiny_chat, out=made / "gguf", num_lines=100, num_fuzz=200, num_positions=200
    )
    return export_gguf(config).path


@pytest.fixture(scope="session")
def blank_model(made: Path, sample_tokenizer: Path) -> Path:
    """A `tiny` model of random weights."""
    from labeled import blank_model as make

    return make(made / "blank", sample_tokenizer)


@pytest.fixture(scope="session")
def labeled_texts(made: Path) -> Path:
    """Texts of three labels."""
    from labeled import labeled, write_jsonl

    return write_jsonl(made / "labeled.jsonl", labeled(240))


@pytest.fixture(scope="session")
def tiny_classifier(made: Path, blank_model: Path, labeled_texts: Path) -> Path:
    """The random model, taught to label them by LoRA."""
    from dilmac.training import ClassifyConfig, classify_train

    config = ClassifyConfig(
        model=blank_model,
        data=labeled_texts,
        epochs=5,
        learning_rate=1e-2,
        max_length=16,
        precision="fp32",
        out=made / "classifier",
    )
    return classify_train(config).path
