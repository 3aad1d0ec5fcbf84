"""Ids as they come become text: whole characters, thoughts apart, nothing of a stop given out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dilmac.engines import PRESETS, Answer, Piece, Sampling, Token, with_preset
from dilmac.tokenizer import Tokenizer


@dataclass
class Said:
    """A completion and its engine, of which the ids are known."""

    tokenizer: Tokenizer
    ids: list[int]
    finish_reason: str | None = None
    num_decoded: list[int] = field(default_factory=list)
    is_cancelled: bool = False

    def __iter__(self) -> Iterator[Token]:
        for row in self.ids:
            yield Token(id=row, logprob=0.0)
        self.finish_reason = "length"

    def cancel(self) -> None:
        self.is_cancelled = True

    def detokenize(self, ids: list[int]) -> str:
        self.num_decoded.append(len(ids))
        return self.tokenizer.decode(ids)

    @cached_property
    def control_tokens(self) -> dict[str, int]:
        return self.tokenizer.control_tokens

    def answer(self, *stop: str) -> Answer:
        same: Any = self
        return Answer(same, same, stop)


@pytest.fixture(scope="module", params=["sample_tokenizer", "byte_level"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return Tokenizer(request.getfixturevalue(request.param))


TEXTS = st.text(st.sampled_from("abçğ ışü\n.🙂漢é€'<|>"), max_size=80)
SAME_FIXTURE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(text=TEXTS)
@SAME_FIXTURE
def test_pieces_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    said = Said(tokenizer, tokenizer.encode(text))
    answer = said.answer()
    pieces = list(answer)
    assert "".join(piece.text for piece in pieces) == tokenizer.decode(said.ids)
    assert all(piece.text and not piece.is_reasoning for piece in pieces)
    assert answer.num_tokens == len(said.ids) and answer.finish_reason == "length"


@given(text=TEXTS, stops=st.lists(st.text("abç \n🙂<|", min_size=1, max_size=4), max_size=4))
@SAME_FIXTURE
def test_a_stop_ends_the_text_before_itself(
    tokenizer: Tokenizer, text: str, stops: list[str]
) -> None:
    said = Said(tokenizer, tokenizer.encode(text))
    whole = tokenizer.decode(said.ids)
    # Of two that overlap the one that is whole first, as in a stream of single characters.
    found = [(whole.index(stop) + len(stop), whole.index(stop)) for stop in stops if stop in whole]
    end = min(found)[1] if found else len(whole)
    answer = said.answer(*stops)
    assert "".join(piece.text for piece in answer) == whole[:end]
    assert answer.finish_reason == ("stop" if found else "length")
    assert said.is_cancelled == bool(found)


def test_a_long_answer_is_not_decoded_again_and_again(tokenizer: Tokenizer) -> None:
    said = Said(tokenizer, tokenizer.encode("Bir gün deniz çok sakindi, 🙂 ve gemi gitti. " * 40))
    assert "".join(piece.text for piece in said.answer()) == tokenizer.decode(said.ids)
    assert len(said.ids) > 400 and max(said.num_decoded) < 64


def test_half_a_character_at_the_end_is_left_out(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("Gel 🙂")
    assert len(tokenizer.encode("🙂")) > 1
    assert [piece.text for piece in Said(tokenizer, ids[:-1]).answer()][-1].strip("\ufffd")
    assert "".join(p.text for p in Said(tokenizer, ids[:-1]).answer()) == "Gel "


def test_a_thought_stands_apart(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    start, end = (tokenizer.control_id(mark) for mark in ("<think>", "</think>"))
    encode = tokenizer.encode
    ids = [start, *encode("\nBir bakayım.\nEvet.\n"), end, *encode("\n\nDeniz\nmavi.")]
    pieces = list(Said(tokenizer, ids).answer("yok"))
    assert text_of(pieces, is_reasoning=True) == "Bir bakayım.\nEvet."
    assert text_of(pieces, is_reasoning=False) == "Deniz\nmavi."
    assert [piece.is_reasoning for piece in pieces] == sorted(
        (piece.is_reasoning for piece in pieces), reverse=True
    )
    # One that is never closed is no content; marks that are written as text are content.
    assert not text_of(list(Said(tokenizer, ids[:8]).answer()), is_reasoning=False)
    written = encode("<think>\nben\n</think>")
    assert text_of(list(Said(tokenizer, written).answer()), is_reasoning=False)


def text_of(pieces: list[Piece], *, is_reasoning: bool) -> str:
    return "".join(piece.text for piece in pieces if piece.is_reasoning == is_reasoning)


def test_presets_are_values_that_what_is_given_overrides() -> None:
    for name, values in PRESETS.items():
        assert Sampling(**with_preset(name, {})).model_dump().items() >= dict(values).items()
    assert with_preset("creative", {"temperature": 0.2})["temperature"] == 0.2
    assert with_preset(None, {"top_k": 3}) == {"top_k": 3}
    with pytest.raises(ValidationError):
        Sampling(**with_preset("deterministic", {"top_p": 2}))
