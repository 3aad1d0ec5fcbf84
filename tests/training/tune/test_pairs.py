"""Preference pairs: read, encoded, and learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dilmac.core import InputError
from dilmac.tokenizer import IM_END, Tokenizer
from dilmac.training.tune.pairs import encode_pairs, read_pairs
from tunings import tune

GOOD = {"prompt": "Selam ver.", "chosen": "Merhaba!", "rejected": "Git."}


def test_rows_are_a_prompt_and_two_answers_with_their_ends(
    pairs: Path, sample_tokenizer: Path
) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    read = read_pairs(pairs)
    rows, too_long = encode_pairs(read, tokenizer, 128)
    assert len(rows) == len(read) == 32 and not too_long
    end = tokenizer.control_id(IM_END)
    for pair, row in zip(read, rows, strict=True):
        assert row.chosen_ids == [*tokenizer.encode(pair.messages[1].content), end]
        assert row.rejected_ids == [*tokenizer.encode(pair.rejected), end]
        assert tokenizer.decode(row.prompt_ids).endswith("assistant\n")
    rows, too_long = encode_pairs(read, tokenizer, 40)
    assert len(too_long) > 0 and len(rows) + len(too_long) == 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rejected": None}, "'rejected'"),
        ({"chosen": ""}, "'chosen' is empty"),
        ({"rejected": GOOD["chosen"]}, "are the same"),
        ({"prompt": 3}, "'prompt' is not text"),
    ],
)
def test_a_bad_pair_is_refused_by_its_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_pairs(path)
    assert f"{path}:2" in str(error.value)


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
