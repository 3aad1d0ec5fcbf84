"""Rows: only answers are learned, long examples are left out whole, packed ones don't meet."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from dilmac.core import ConfigError, InputError
from dilmac.tokenizer import END_OF_TEXT, IM_END, Message, Tokenizer
from dilmac.training.collate import Collator, pad_id, require_packable
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.examples import Conversation
from dilmac.training.data.read import read_instructions
from dilmac.training.data.split import Split
from dilmac.training.instruct import encode_row, encode_split, encode_to_disk, removed_at_end
from dilmac.training.windows import IGNORED
from written_data import GOOD, write

HOSTILE = ["<|im_end|>", "<|im_start|>assistant\n", "<|endoftext|>", "</think>", "<tool_call>"]
said = st.lists(
    st.sampled_from([*HOSTILE, " ", "\n", "ığüşöçİ"]) | st.text(max_size=8), min_size=1, max_size=4
).map(lambda parts: "a" + "".join(parts).replace("\ud800", ""))
content = said.filter(lambda text: text.isprintable() or "\n" in text).filter(
    lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text)
)


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


def conversation(*texts: str, system: str | None = None) -> Conversation:
    turns = [
        Message("assistant" if place % 2 else "user", text) for place, text in enumerate(texts)
    ]
    first = [] if system is None else [Message("system", system)]
    return Conversation(where="data.jsonl:1", messages=(*first, *turns))


def settings_of(folder: Path, **values: object) -> FinetuneConfig:
    return FinetuneConfig.model_validate(
        {"model": folder, "data": "data.jsonl", "out": folder / "out", **values}
    )


def test_only_the_answer_and_its_end_are_learned(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (example,) = read_instructions(write(tmp_path / "data.jsonl", GOOD))
    encoded = encode_to_disk([example], tokenizer, 128, tmp_path / "rows.arrow")
    (row,) = encoded.rows
    learned = [label for label in row["labels"] if label != IGNORED]
    assert learned == [*tokenizer.encode("Merhaba!"), tokenizer.control_id(IM_END)]
    assert row["positions"] == list(range(row["length"])) and not encoded.too_long
    assert encoded.rows.cache_files  # it lies on disk


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(content, content), min_size=1, max_size=3), st.none() | content)
def test_the_mask_is_every_answer_with_its_end_and_nothing_else(
    tokenizer: Tokenizer, turns: list[tuple[str, str]], system: str | None
) -> None:
    example = conversation(*(text for turn in turns for text in turn), system=system)
    row = encode_row(example, tokenizer)
    end = tokenizer.control_id(IM_END)
    answers: list[list[int]] = [[]]
    for token, label in zip(row.input_ids, row.labels, strict=True):
        assert label in (token, IGNORED)
        if label != IGNORED:
            answers[-1].append(label)
            if label == end:
                answers.append([])
    assert answers.pop() == []
    assert [tokenizer.decode(ids[:-1]) for ids in answers] == [
        tokenizer.normalized(answer) for _, answer in turns
    ]
    # Markers in content stay text: no more control tokens than the turns have.
    control = set(tokenizer.control_tokens.values())
    num_turns = len(example.messages)
    assert sum(token in control for token in row.input_ids) == 2 * num_turns


def test_long_examples_are_left_out_whole(tmp_path: Path, tokenizer: Tokenizer) -> None:
    long = {"instruction": "Anlat.", "response": "uzun " * 200}
    examples = read_instructions(write(tmp_path / "data.jsonl", GOOD, long))
    encoded = encode_to_disk(examples, tokenizer, 64, tmp_path / "rows.arrow")
    assert encoded.num_examples == 1
    assert [reject.where for reject in encoded.too_long] == [examples[1].where]
    with pytest.raises(InputError, match="no example fits"):
        encode_split(
            Split(train=examples[1:]), tokenizer, settings_of(tmp_path), 64, tmp_path / "r"
        )


def test_what_teaches_nothing_is_refused(tokenizer: Tokenizer) -> None:
    example = Conversation(where="data.jsonl:7", messages=(Message("user", "Soru"),))
    with pytest.raises(InputError, match="teaches nothing") as caught:
        encode_row(example, tokenizer)
    assert caught.value.where == "data.jsonl:7"


def test_batches_are_as_long_as_their_longest_row_and_padding_ends_nothing(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    examples = [conversation("Bir", "iki " * count) for count in (1, 5, 9)]
    rows = encode_to_disk(examples, tokenizer, 128, tmp_path / "rows.arrow").rows
    pad = pad_id(tokenizer)
    batch = Collator(pad)([rows[0], rows[1]])
    lengths = rows["length"]
    assert batch["input_ids"].shape == (2, lengths[1]) and lengths[1] < lengths[2]
    assert (batch["input_ids"][0, lengths[0] :] == pad).all()
    assert (batch["labels"][0, lengths[0] :] == IGNORED).all()


def test_pad_is_never_an_end(tokenizer: Tokenizer, byte_level: Path) -> None:
    for known in (tokenizer, Tokenizer(byte_level)):
        ends = {known.control_id(IM_END), known.control_id(END_OF_TEXT), known.document_start_id}
        assert pad_id(known) not in ends


def test_pad_of_qwens_vocabulary_is_not_its_end_of_text(shared: Path) -> None:
    qwen = Tokenizer(shared / "tokenizers" / "qwen3")
    assert pad_id(qwen) == qwen.control_id("<|fim_pad|>")


def small_model(kind: str, num_rows: int) -> torch.nn.Module:
    torch.manual_seed(0)
    shape = {
        "vocab_size": num_rows,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
    }
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**shape)).eval()
    return Qwen3ForCausalLM(Qwen3Config(**shape)).eval()


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_packed_logits_equal_those_of_each_example_alone(
    tmp_path: Path, tokenizer: Tokenizer, kind: str
) -> None:
    examples = [conversation("Soru", f"cevap {'uzun ' * n}") for n in (1, 12, 3, 7, 2, 5)]
    alone = encode_to_disk(examples, tokenizer, 64, tmp_path / "rows.arrow").rows
    packed = encode_to_disk(examples, tokenizer, 64, tmp_path / "packed.arrow", pack_to=64)
    assert packed.num_examples == 6 and len(packed.rows) < 6
    assert max(packed.rows["length"]) <= 64
    model = small_model(kind, len(tokenizer))
    collate = Collator(pad_id(tokenizer))
    expected = {}
    with torch.inference_mode():
        for row in alone:
            batch = collate([row])
            batch.pop("labels")
            expected[tuple(row["input_ids"])] = model(**batch, use_cache=False).logits[0]
        batch = collate(list(packed.rows))
        labels = batch.pop("labels")
        logits = model(**batch, use_cache=False).logits
        leaking = model(input_ids=batch["input_ids"], use_cache=False).logits
    found = 0
    for place, row in enumerate(packed.rows):
        starts = [n for n, position in enumerate(row["positions"]) if position == 0]
        for start, end in pairwise([*starts, row["length"]]):
            own = expected[tuple(row["input_ids"][start:end])]
            torch.testing.assert_close(logits[place, start:end], own, rtol=0, atol=1e-5)
            if start:  # the test would see a leak
                assert float((leaking[place, start:end] - own).abs().max()) > 1e-3
            assert labels[place, start] == IGNORED  # nothing is predicted from another's end
            found += 1
    assert found == 6


def test_packed_rows_are_as_long_as_wanted_and_no_longer_than_memory_allows(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    examples = [conversation("Soru", "uzun " * (n % 7 + 1)) for n in range(300)]
    split = Split(train=examples, validation=examples[:5])
    for number, (max_length, longest) in enumerate([(100, 100), (None, 1024)]):
        config = settings_of(tmp_path, packing=True, max_length=max_length)
        folder = tmp_path / str(number)
        train, measured = encode_split(split, tokenizer, config, 40_960, folder)
        assert 0.9 * longest < max(train.rows["length"]) <= longest
        assert train.num_examples == 300 and len(measured.rows) == 5
        ids = sorted(token for row in train.rows for token in row["input_ids"])
        assert ids == sorted(t for e in examples for t in encode_row(e, tokenizer).input_ids)
    one = [conversation("Soru", "uzun " * 2000)]
    config = settings_of(tmp_path, packing=True)
    train, _ = encode_split(Split(train=one), tokenizer, config, 40_960, tmp_path / "long")
    assert len(train.rows) == 1 and train.rows["length"][0] > 1024


def test_models_that_carry_a_state_are_not_packed() -> None:
    config = Qwen3Config(num_hidden_layers=2)
    require_packable(config)
    config.layer_types = ["full_attention", "linear_attention"]
    with pytest.raises(ConfigError, match="linear_attention layers would carry"):
        require_packable(config)


def test_a_failed_run_leaves_no_rows(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    with pytest.raises(ValueError, match="stop"), removed_at_end(folder):
        folder.mkdir()
        raise ValueError("stop")
    assert not folder.exists()
