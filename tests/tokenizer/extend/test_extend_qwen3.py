"""Qwen3 itself: its ids, its English, and llama.cpp."""

import json
import unicodedata
from itertools import islice
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from byte_level_base import LlamaTokenizer
from dilmac.core import open_artifact, read_measured_texts
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import ExtendConfig, Tokenizer, extend_tokenizer

pytestmark = pytest.mark.slow
ROWS, KEPT = 4000, 60_000
NUM_QWEN = 151_669


@pytest.fixture(scope="module", params=[None, KEPT], ids=["all-rows", "pruned"])
def folder(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    made = tmp_path_factory.mktemp("qwen3")
    names = ("tr-education", "tr-encyclopedic", "tr-reviews", "tr-literature")
    inputs = tuple(str(shared / "corpus" / f"{name}.jsonl.zst") for name in names)
    corpus = build_corpus(CorpusConfig(inputs=inputs, out=made / "corpus", steps=("repair",)))
    config = ExtendConfig(
        corpus=corpus.path,
        base=str(shared / "tokenizers" / "qwen3"),
        rows=ROWS,
        balance=0.5,
        keep=request.param,
        other_texts=tuple(str(shared / "corpus" / f"{n}-sample.jsonl.zst") for n in ("en", "code")),
        out=made / "extended",
    )
    return extend_tokenizer(config).path


def real_lines(shared: Path, count: int) -> list[str]:
    """Some lines of every file, composed as Qwen's normalizer composes them."""
    lines: list[str] = []
    for path in sorted((shared / "corpus").glob("*.jsonl.zst")):
        if path.name.startswith(("tr-", "en-", "code-")):
            texts = islice(read_measured_texts([path]), 60)
            found = [line for text in texts for line in text.split("\n") if line.strip()]
            lines += [line[:2000] for line in found if "\0" not in line][:count]
    return [unicodedata.normalize("NFC", line) for line in lines]


def test_turkish_is_cheaper_and_english_is_not_dearer(folder: Path) -> None:
    figures = open_artifact(folder).figures
    assert figures["saved_percent"] > 18
    pruned = figures["rows_kept"] == KEPT
    for change in figures["other_texts_change_percent"].values():
        assert abs(change) < (2 if pruned else 0.5)


def test_three_runtimes_agree_and_nothing_is_lost(
    folder: Path, shared: Path, tmp_path: Path
) -> None:
    ours = Tokenizer(folder)
    base = Tokenizer(shared / "tokenizers" / "qwen3")
    auto = AutoTokenizer.from_pretrained(folder)
    llama = LlamaTokenizer(folder, tmp_path / "tokenizer.gguf")
    sources: list[list[int]] = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    assert len(sources) == len(ours) == len(auto)
    lines = real_lines(shared, 100)
    assert len(lines) > 1500
    fuzz = [unicodedata.normalize("NFC", string) for string in fuzz_strings(1000, seed=7)]
    for text in lines + fuzz:
        ids = ours.encode(text)
        assert ours.decode(ids, keep_control=True) == text
        assert auto(text, split_special_tokens=True).input_ids == ids
        assert llama.encode(text) == ids, text
        if len(ours) == NUM_QWEN + ROWS:
            assert [old for row in ids for old in sources[row]] == base.encode(text)
