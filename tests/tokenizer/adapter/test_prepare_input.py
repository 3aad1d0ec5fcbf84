"""What a model is given: the ids it knows, whole characters, one rectangle."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
import torch
from adapter_parts import texts
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.tokenizer import Tokenizer, TokenizerAdapter
from dilmac.tokenizer.adapter import adapter as adapter_module


@pytest.fixture(scope="module")
def adapter(turkish: Tokenizer, qwen_like: Tokenizer) -> TokenizerAdapter:
    return TokenizerAdapter(turkish, qwen_like)


@pytest.fixture(scope="module")
def tokenizers(turkish: Tokenizer, qwen_like: Tokenizer) -> dict[str, Tokenizer]:
    return {"source": turkish, "target": qwen_like}


def test_each_model_gets_the_ids_of_its_own_tokenizer(
    adapter: TokenizerAdapter, turkish: Tokenizer, qwen_like: Tokenizer
) -> None:
    text = "Öğrencilerin %85'i online eğitim platformlarını kullanıyor."
    untouched = adapter.prepare_input_for_model(text, 512)
    transplanted = adapter.prepare_input_for_model(text, max_length=512, model="source")
    assert untouched["input_ids"].tolist() == [qwen_like.encode(text)]
    assert transplanted["input_ids"].tolist() == [turkish.encode(text)]
    assert untouched["attention_mask"].all() and untouched["input_ids"].dtype == torch.long


@settings(max_examples=200, deadline=None)
@given(
    batch=st.lists(texts.filter(bool), min_size=1, max_size=4),
    max_length=st.integers(4, 40),  # the longest character has four bytes
    pad_left=st.booleans(),
)
@pytest.mark.parametrize(("model", "pad"), [("source", "<|pad|>"), ("target", "<|endoftext|>")])
def test_a_batch_is_cut_at_whole_characters_and_padded(
    adapter: TokenizerAdapter, tokenizers: dict[str, Tokenizer], model: Any, pad: str, **drawn: Any
) -> None:
    batch, max_length, pad_left = drawn["batch"], drawn["max_length"], drawn["pad_left"]
    tokenizer = tokenizers[model]
    inputs = adapter.prepare_input_for_model(batch, max_length, model=model, pad_left=pad_left)
    shape = inputs["input_ids"].shape
    assert shape == inputs["attention_mask"].shape and shape[0] == len(batch)
    assert shape[1] == int(inputs["attention_mask"].sum(1).max()) <= max_length
    for text, ids, mask in zip(batch, *inputs.values(), strict=True):
        kept = ids[mask.bool()].tolist()
        whole = tokenizer.encode(normalize("NFC", text))
        assert kept == whole[: len(kept)] and len(kept) > 0
        assert normalize("NFC", text).startswith(tokenizer.decode(kept))
        assert len(kept) == len(whole) or len(kept) > max_length - 4
        assert ids[~mask.bool()].tolist() == [tokenizer.control_id(pad)] * (len(ids) - len(kept))
        assert mask.tolist() == sorted(mask.tolist(), reverse=not pad_left)


def test_the_bytes_of_a_cut_character_are_dropped(
    adapter: TokenizerAdapter, turkish: Tokenizer
) -> None:
    assert len(turkish.encode("a😀")) == 5
    for max_length, expected in ((4, "a"), (2, "a"), (5, "a😀")):
        ids = adapter.prepare_input_for_model("a😀", max_length, model="source")["input_ids"]
        assert turkish.decode(ids[0].tolist()) == expected


@pytest.mark.parametrize("max_length", [0, -1])
def test_a_length_that_holds_no_token_is_refused(
    adapter: TokenizerAdapter, max_length: int
) -> None:
    with pytest.raises(InputError, match=f"max_length: {max_length} tokens hold no text"):
        adapter.prepare_input_for_model("göl", max_length)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "text 0: empty"),
        (["göl", ""], "text 1: empty"),
        ([], "no text"),
        (["göl", None], "text 1: not a text but NoneType"),
        (b"g", "text 0: not a text but int"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_what_is_no_text_is_refused(adapter: TokenizerAdapter, text: object, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        adapter.prepare_input_for_model(text, 8)  # type: ignore[arg-type]


def test_a_first_character_longer_than_the_length_is_refused(adapter: TokenizerAdapter) -> None:
    with pytest.raises(InputError, match="text 1: nothing of it is left"):
        adapter.prepare_input_for_model(["a", "😀"], 3)


def test_an_unknown_side_is_refused(adapter: TokenizerAdapter) -> None:
    with pytest.raises(InputError, match="no side 'qwen'\n  mend: one of source, target"):
        adapter.prepare_input_for_model("göl", model="qwen")  # type: ignore[arg-type]


def test_without_a_token_to_pad_with_texts_come_one_by_one(
    byte_level: Path, turkish: Tokenizer, tmp_path: Path
) -> None:
    spec = json.loads((byte_level / "tokenizer.json").read_text(encoding="utf-8"))
    spec["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    adapter = TokenizerAdapter(turkish, tmp_path)
    assert adapter.prepare_input_for_model("göl")["input_ids"].shape[0] == 1
    with pytest.raises(InputError, match="no token to pad with"):
        adapter.prepare_input_for_model(["göl", "gölün kıyısı"])


def test_repeated_texts_are_remembered_up_to_a_bound(
    sample_tokenizer: Path, byte_level: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_module, "CACHED_TEXTS", 2)
    monkeypatch.setattr(adapter_module, "CACHED_CHARACTERS", 10)
    turkish = Tokenizer(sample_tokenizer)
    encoded: list[str] = []
    encode = turkish.encode
    monkeypatch.setattr(turkish, "encode", lambda text: encoded.append(text) or encode(text))
    adapter = TokenizerAdapter(turkish, byte_level)
    encoded.clear()
    for text in ("bir", "bir", "iki", "üç", "bir", "x" * 11, "x" * 11):
        adapter.prepare_input_for_model(text, model="source")
    assert encoded == ["bir", "iki", "üç", "bir", "x" * 11, "x" * 11]


def test_torch_is_loaded_only_for_tensors() -> None:
    code = "import sys, dilmac.tokenizer.adapter.adapter; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
