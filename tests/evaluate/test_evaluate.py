"""`dilmac evaluate`: a model beside a compressor that has read the same text."""

import json
import shutil
from pathlib import Path

import pytest

from dilmac.core import ConfigError, InputError, read_texts
from dilmac.evaluate import EvaluateConfig, evaluate
from dilmac.evaluate.compressor import primed_bits_per_byte
from dilmac.tokenizer import TokenizerConfig, copy_tokenizer, train_tokenizer


def test_held_out_split_by_source_beside_ppmd(tiny_model: Path, sample_corpus: Path) -> None:
    figures = evaluate(EvaluateConfig(model=tiny_model, corpus=sample_corpus))
    heldout = list(read_texts(sample_corpus, "heldout"))
    assert figures["measured_bytes"] == sum(len(text.encode()) for text in heldout)
    by_source = figures["bits_per_byte_by_source"]
    assert min(by_source.values()) <= figures["bits_per_byte"] <= max(by_source.values())
    assert 1 < figures["ppmd"]["bits_per_byte"] < 4
    train_bytes = sum(len(text.encode()) + 1 for text in read_texts(sample_corpus, "train"))
    assert figures["ppmd"]["primed_with_bytes"] == train_bytes


def test_text_files_are_measured(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("İlk paragraf burada.\n\nİkinci paragraf da burada.\n", encoding="utf-8")
    figures = evaluate(EvaluateConfig(model=tiny_model, text=(str(path),)))
    assert figures["measured_bytes"] == len(
        "İlk paragraf burada.İkinci paragraf da burada.".encode()
    )
    assert "ppmd" not in figures


def test_texts_are_grouped_by_domain_else_by_file(tiny_model: Path, tmp_path: Path) -> None:
    records = [{"text": "Kanun yürürlüğe girdi.", "domain": "law"}, {"text": "Deniz sakindi."}]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (tmp_path / "mixed.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "tale.txt").write_text("Bir varmış bir yokmuş.\n", encoding="utf-8")
    texts = (str(tmp_path / "mixed.jsonl"), str(tmp_path / "tale.txt"))
    figures = evaluate(EvaluateConfig(model=tiny_model, text=texts))
    assert set(figures["bits_per_byte_by_source"]) == {"law", "mixed", "tale"}


def test_priming_teaches_the_compressor(sample_corpus: Path) -> None:
    train = list(read_texts(sample_corpus, "train"))
    heldout = list(read_texts(sample_corpus, "heldout"))
    size = sum(len(text.encode()) for text in train)
    fresh = primed_bits_per_byte([], heldout, train_bytes=size)
    primed = primed_bits_per_byte(train, heldout, train_bytes=size)
    repeated = primed_bits_per_byte(heldout, heldout, train_bytes=size)
    assert repeated["bits_per_byte"] < primed["bits_per_byte"] < fresh["bits_per_byte"] - 0.3


def test_what_cannot_be_measured_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no text to measure"):
        evaluate(EvaluateConfig(model=tiny_model))
    with pytest.raises(InputError, match="no such file"):
        evaluate(EvaluateConfig(model=tiny_model, text=(str(tmp_path / "nowhere.txt"),)))
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no text"):
        evaluate(EvaluateConfig(model=tiny_model, text=(str(empty),)))
    with pytest.raises(InputError, match=r"no config\.json"):
        evaluate(EvaluateConfig(model=tmp_path, text=(str(empty),)))


def test_a_tokenizer_larger_than_the_model_is_refused(
    tiny_model: Path, sample_corpus: Path, tmp_path: Path
) -> None:
    config = TokenizerConfig(corpus=sample_corpus, vocab_size=2048, out=tmp_path / "larger")
    larger = train_tokenizer(config).path
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(tiny_model / name, mixed / name)
    copy_tokenizer(larger, mixed)
    with pytest.raises(InputError, match="the model has 1024 rows, the tokenizer 2048"):
        evaluate(EvaluateConfig(model=mixed, corpus=sample_corpus))
