"""Preference pairs: encoded, and learned."""

from __future__ import annotations

from pathlib import Path

import pytest

from dilmac.core import InputError
from dilmac.tokenizer import IM_END, Message, Tokenizer
from dilmac.training import Preference, read_data
from dilmac.training.data.split import Split
from dilmac.training.tune.pairs import encode_pairs
from tunings import tune


def test_rows_are_a_prompt_and_two_answers_with_their_ends(
    pairs: Path, sample_tokenizer: Path
) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    read = read_data([pairs], Preference).examples
    train, validation = encode_pairs(Split(read, read[:2]), tokenizer, 128)
    assert train.num_examples == len(read) == 32 and validation.num_examples == 2
    end = tokenizer.control_id(IM_END)
    for pair, row in zip(read, train.rows, strict=True):
        assert row["chosen_ids"] == [*tokenizer.encode(pair.chosen.content), end]
        assert row["rejected_ids"] == [*tokenizer.encode(pair.rejected.content), end]
        assert tokenizer.decode(row["prompt_ids"]).endswith("assistant\n")
    longest = [
        len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for row in train.rows
    ]
    short, _ = encode_pairs(Split(read), tokenizer, min(longest))
    assert short.num_examples == longest.count(min(longest))
    assert short.num_examples + len(short.too_long) == 32
    with pytest.raises(InputError, match="no example fits"):
        encode_pairs(Split(read), tokenizer, 8)


def test_only_the_last_answer_of_a_conversation_is_compared(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    turns = (Message("user", "Selam."), Message("assistant", "Merhaba!"), Message("user", "Peki?"))
    chosen, rejected = Message("assistant", "Peki."), Message("assistant", "Hayır.")
    pair = Preference(where="a:1", prompt=turns, chosen=chosen, rejected=rejected)
    row = encode_pairs(Split([pair]), tokenizer, 128)[0].rows[0]
    end = tokenizer.control_id(IM_END)
    assert row["chosen_ids"] == [*tokenizer.encode("Peki."), end]
    assert row["rejected_ids"] == [*tokenizer.encode("Hayır."), end]
    assert "Merhaba!" in tokenizer.decode(row["prompt_ids"])


@pytest.mark.parametrize("method", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_the_better_answer_is_preferred_more(
    tiny_chat: Path, pairs: Path, tmp_path: Path, method: str
) -> None:
    made = tune(
        tiny_chat, pairs, tmp_path / "out", objective="dpo", method=method, learning_rate=1e-3
    )
    figures = made.figures
    assert figures["validation_loss_before"] == pytest.approx(0.6931, abs=1e-3)  # ln 2
    assert figures["validation_loss"] < 0.6
    assert 0.5 < figures["validation_preferred"] <= 1
    adapter = made.path / "adapter"
    assert adapter.is_dir() == (method == "lora")
    assert not (adapter / "ref").exists()
