"""The proof at its full size: 20,000 real lines, 5,000 fuzz strings, 2,000 positions."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest
from tiny_models import config_of, make_model

from dilmac.core import read_measured_texts
from dilmac.export import GgufConfig, export_gguf
from dilmac.models import DEFAULT_MODEL, model_folder
from dilmac.tokenizer import ExtendConfig, extend_tokenizer, pretrained_path
from dilmac.transplant import TransplantConfig, transplant

pytestmark = pytest.mark.slow
NUM_LINES = 20_000
FULL = {"num_lines": NUM_LINES, "num_fuzz": 5_000, "num_positions": 2_000}


@pytest.fixture(scope="module")
def text(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lines of every file, Turkish, English and code, mixed."""
    names = ("tr-*", "en-*", "code-*")
    paths = [path for name in names for path in sorted((shared / "corpus").glob(f"{name}.zst"))]
    lines: list[str] = []
    for place, path in enumerate(paths):
        # What a small file lacks, the ones after it bring.
        share = -(-(NUM_LINES - len(lines)) // (len(paths) - place))
        found = (line for text in read_measured_texts([path]) for line in text.split("\n"))
        lines += islice((line for line in found if line), share)
    random.Random(1).shuffle(lines)
    file = tmp_path_factory.mktemp("text") / "lines.jsonl"
    written = (json.dumps({"text": line}, ensure_ascii=False) for line in lines)
    file.write_text("\n".join(written) + "\n", encoding="utf-8")
    return file


def prove(model: Path, text: Path, type: str) -> None:
    prove_by(config_of(model, text=(str(text),), type=type, **FULL))


def prove_by(config: GgufConfig) -> None:
    parity = export_gguf(config).figures["parity"]
    assert parity["ids"] == {
        "lines": NUM_LINES,
        "fuzz_strings": 5_000,
        "different": 0,
        "lossy": 0,
    }
    assert parity["logprobs"]["positions"] == 2_000
    assert parity["logprobs"]["largest_difference"] <= {"f32": 0.0001, "f16": 0.05}[config.type]
    assert parity["logprobs"]["best_differs_beyond_margin"] == 0


def test_the_model_that_ships(text: Path, tmp_path: Path) -> None:
    config = config_of(model_folder(Path(DEFAULT_MODEL)), text=(str(text),), type="f16", **FULL)
    prove_by(config.model_copy(update={"out": tmp_path / "out"}))


def test_a_qwen3_on_a_sentencepiece_tokenizer(text: Path, tmp_path: Path) -> None:
    prove(make_model(tmp_path / "model", pretrained_path("tr32k"), "qwen3"), text, "f16")


@pytest.mark.parametrize("way", ["replace", "extend"])
def test_a_transplanted_qwen3(
    way: str, text: Path, tmp_path: Path, shared: Path, sample_corpus: Path
) -> None:
    """From Qwen3's own tokenizer to `tr32k`, and to its extension by 2,000 rows."""
    qwen = shared / "tokenizers" / "qwen3"
    tokenizer = pretrained_path("tr32k")
    if way == "extend":
        extension = ExtendConfig(
            corpus=sample_corpus, base=str(qwen), rows=2_000, out=tmp_path / "tokenizer"
        )
        tokenizer = extend_tokenizer(extension).path
    source = make_model(tmp_path / "source", qwen, "qwen3", tied=True, num_spare_rows=267)
    config = TransplantConfig(model=str(source), tokenizer=str(tokenizer), out=tmp_path / "model")
    prove(transplant(config).path, text, "f32" if way == "replace" else "f16")
