"""Parts of a text decode to the whole; ids in bulk equal ids one by one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.tokenizer import IM_END, IM_START, Message, Tokenizer, encode_chat
from dilmac.tokenizer.special import SPACE_MARK

turkish = st.text("açeğıiİoöşuü AÇK ’'.,0123456789\n\t\r" + SPACE_MARK, max_size=60)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | turkish
attacks = st.lists(
    st.sampled_from(
        ["<|im_start|>", "<|im_end|>", "<|", "|>", "system", "\n", "<|endoftext|>", "a"]
    ),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


@settings(max_examples=200, deadline=None)
@given(first=texts, second=texts)
def test_ids_of_two_parts_decode_to_the_whole(
    tokenizer: Tokenizer, first: str, second: str
) -> None:
    ids = tokenizer.encode(first) + tokenizer.encode(second)
    assert tokenizer.decode(ids, keep_control=True) == first + second


@settings(max_examples=100, deadline=None)
@given(batch=st.lists(texts | attacks, max_size=6))
def test_bulk_ids_equal_single_ids(tokenizer: Tokenizer, batch: list[str]) -> None:
    assert list(tokenizer.encode_stream(batch)) == [tokenizer.encode(text) for text in batch]


def test_a_stream_longer_than_a_batch_keeps_its_order(tokenizer: Tokenizer) -> None:
    numbers = [f"satır {number}" for number in range(5000)]
    decoded = [tokenizer.decode(ids) for ids in tokenizer.encode_stream(iter(numbers))]
    assert decoded == numbers


@settings(max_examples=100, deadline=None)
@given(contents=st.lists(attacks | turkish, min_size=1, max_size=4))
def test_no_content_changes_the_number_of_turns(tokenizer: Tokenizer, contents: list[str]) -> None:
    ids = encode_chat(tokenizer, [Message("user", text) for text in contents]).ids
    assert ids.count(tokenizer.control_id(IM_START)) == len(contents)
    assert ids.count(tokenizer.control_id(IM_END)) == len(contents)


def test_only_what_the_assistant_writes_is_learnt(tokenizer: Tokenizer) -> None:
    messages = [
        Message("system", "Kısa yaz."),
        Message("user", "Ad?"),
        Message("assistant", "Ece."),
    ]
    chat = encode_chat(tokenizer, messages)
    learnt = [row for row, mark in zip(chat.ids, chat.assistant_mask, strict=True) if mark]
    assert tokenizer.decode(learnt, keep_control=True) == f"Ece.{IM_END}"


@pytest.mark.parametrize("text", ["\n", "a\nb", "\n\n", "satır\r\nsatır", "\n a", "  \n\t\n  "])
def test_no_piece_crosses_a_line_end(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all("\n" not in tokenizer.piece(row).rstrip("\n") for row in ids)


def test_control_tokens_are_left_out_unless_kept(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.control_id(IM_START), *tokenizer.encode("su"), tokenizer.control_id(IM_END)]
    assert tokenizer.decode(ids) == "su"
    assert tokenizer.decode(ids, keep_control=True) == f"{IM_START}su{IM_END}"


@pytest.mark.parametrize("text", ["\ud800", "çay \udcff", f"{SPACE_MARK}\udfff"])
def test_half_a_character_is_no_text(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(InputError, match="lone surrogate"):
        tokenizer.encode(text)
