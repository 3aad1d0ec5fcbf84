"""The tokenizers that ship: whole, in step with the house, and as good as their cards say."""

import json
import re
from pathlib import Path

import pytest
import sentencepiece
from transformers import AutoTokenizer

from dilmac.core import ConfigError, bundled_prose, open_artifact, read_measured_texts
from dilmac.tokenizer import (
    CHAT_TEMPLATE,
    SPACE_MARK,
    CompareConfig,
    PieceType,
    Tokenizer,
    compare_tokenizers,
    load,
    pretrained_names,
    pretrained_path,
    read_pieces,
)
from dilmac.tokenizer.special import CONTROL_TOKENS, REQUIRED_CHARACTERS
from dilmac.tokenizer.superwords import crosses_words

NAMES = ("tr32k", "tr64k")


def test_two_tokenizers_ship() -> None:
    assert tuple(pretrained_names()) == NAMES
    with pytest.raises(ConfigError, match="no tokenizer 'tr8k'"):
        pretrained_path("tr8k")


@pytest.mark.parametrize(("name", "rows"), [("tr32k", 32_000), ("tr64k", 64_000)])
def test_its_folder_is_whole(name: str, rows: int) -> None:
    folder = pretrained_path(name)
    artifact = open_artifact(folder, "tokenizer")
    assert artifact.figures["vocab_size"] == len(load(name)) == rows
    assert len(AutoTokenizer.from_pretrained(folder)) == rows
    assert (folder / "chat_template.jinja").read_text(encoding="utf-8") == CHAT_TEMPLATE
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert artifact.manifest.digest[:16] in card
    assert f"{artifact.figures['pieces_across_words']:,} pieces that cross a space" in card


@pytest.mark.parametrize("name", NAMES)
def test_every_runtime_gives_the_same_ids_and_the_text_comes_back(name: str) -> None:
    tokenizer = load(name)
    piece = sentencepiece.SentencePieceProcessor(
        model_file=str(pretrained_path(name) / "tokenizer.model")
    )
    texts = list(read_measured_texts(bundled_prose()))
    bulk = list(tokenizer.encode_stream(texts))
    for text, ids in zip(texts, bulk, strict=True):
        assert ids == tokenizer.encode(text) == piece.encode(text)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", NAMES)
def test_its_pieces_keep_the_rules(name: str) -> None:
    pieces = read_pieces(pretrained_path(name) / "tokenizer.model")
    texts = [piece.text for piece in pieces if piece.type == PieceType.NORMAL]
    assert [piece.text for piece in pieces[:9]] == list(CONTROL_TOKENS)
    assert set(REQUIRED_CHARACTERS) <= set(texts)
    assert sum(map(crosses_words, texts)) > len(pieces) / 10
    for text in texts:
        assert len(text) == 1 or not any(character.isdigit() for character in text), text
        assert "\n" not in text.rstrip("\n"), text
        assert not re.search(rf"[.!?…]{SPACE_MARK}", text), text
        assert not (text.endswith(SPACE_MARK) and text.strip(SPACE_MARK)), text


@pytest.mark.parametrize(("name", "percent"), [("tr32k", 33), ("tr64k", 38)])
def test_it_saves_what_its_card_says_on_text_written_for_the_project(
    name: str, percent: int, shared: Path
) -> None:
    config = CompareConfig(
        inputs=tuple(map(str, bundled_prose())),
        tokenizer=(str(shared / "tokenizers" / "qwen3"), str(pretrained_path(name))),
    )
    ours = compare_tokenizers(config)["tokenizers"][1]
    assert ours["saved_percent"] > percent and ours["round_trip_percent"] == 100.0


def test_control_strings_are_content(name: str = "tr32k") -> None:
    tokenizer = load(name)
    for token in CONTROL_TOKENS[1:]:
        ids = tokenizer.encode(f"bir {token} iki")
        assert tokenizer.control_id(token) not in ids
        assert tokenizer.decode(ids) == f"bir {token} iki"
    settings = json.loads((pretrained_path(name) / "tokenizer_config.json").read_text("utf-8"))
    assert settings["eos_token"] == "<|im_end|>" and settings["add_prefix_space"] is False
    assert Tokenizer(pretrained_path(name)).document_start_id == 1
