"""llama.cpp streams whole characters; every byte token of them is given out all the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.engines import Engine, EngineSpec, Sampling, Token
from dilmac.engines.llamacpp import LlamaCpp
from dilmac.tokenizer import Tokenizer
from dilmac.tokenizer.special import SPACE_MARK

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(
    "çğş ıİ\n\t\0" + SPACE_MARK, max_size=30
)


@pytest.fixture(scope="module")
def llama(tiny_gguf: Path) -> LlamaCpp:
    """The backend itself, in this process."""
    return LlamaCpp(
        EngineSpec(kind="llamacpp", model=tiny_gguf / "model-f16.gguf", exact=True, threads=1)
    )


@pytest.fixture(scope="module")
def tokenizer(sample_tokenizer: Path) -> Tokenizer:
    return Tokenizer(sample_tokenizer)


@pytest.fixture(scope="module", params=["transformers", "llamacpp"])
def engine(request: pytest.FixtureRequest, tiny_chat: Path, tiny_gguf: Path) -> Iterator[Engine]:
    model = tiny_chat if request.param == "transformers" else tiny_gguf / "model-f16.gguf"
    with Engine(EngineSpec(kind=request.param, model=model, threads=1)) as running:
        yield running


def forced(llama: LlamaCpp, answer: list[int]) -> list[int]:
    """Ids that come out when the server is made to write `answer`, one token after the other."""
    chunks: list[Any] = []
    for place, row in enumerate(answer):
        request = {
            "prompt": [1, *answer[:place]],
            "n_predict": 1,
            "temperature": 0.0,
            "n_probs": 1,
            "stream": True,
            "logit_bias": [[row, 1e6]],
        }
        llama.server.handle_completions(request, lambda chunk: chunks.append(chunk) is not None)
    return [
        row
        for chunk in chunks
        for item in (chunk["choices"][0].get("logprobs") or {}).get("content", [])
        for row in [*llama._withheld(item), item["id"]]
    ]


def test_a_forced_plain_answer_is_given_out_as_it_is(llama: LlamaCpp, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("Merhaba, çay var mı?")
    assert forced(llama, ids) == ids


def test_ids_of_a_character_in_bytes_are_all_given_out(
    llama: LlamaCpp, tokenizer: Tokenizer
) -> None:
    text = "漢a🙂ç語"
    request = {
        "prompt": [1],
        "n_predict": len(text.encode()),  # the model may choose bytes where there is a piece
        "temperature": 0.0,
        "n_probs": 1,
        "stream": True,
        "grammar": f'root ::= "{text}"',
    }
    chunks: list[Any] = []
    llama.server.handle_completions(request, lambda chunk: chunks.append(chunk) and False)
    items = [
        item
        for chunk in chunks
        for item in (chunk["choices"][0].get("logprobs") or {}).get("content", [])
    ]
    given_out = [row for item in items for row in [*llama._withheld(item), item["id"]]]
    assert tokenizer.decode(given_out) == text
    assert len(items) < len(given_out)


def test_stray_bytes_before_a_piece_are_given_out(llama: LlamaCpp, tokenizer: Tokenizer) -> None:
    stray = [llama.header.row_of[byte] for byte in (b"\xe2", b"\x96")]
    for piece in ("a", "ç", " ve"):
        (row,) = tokenizer.encode(piece)
        item = {"id": row, "bytes": [0xE2, 0x96, *piece.encode()]}
        assert llama._withheld(item) == stray
        assert llama._withheld({"id": row, "bytes": list(piece.encode())}) == []
    (letter,) = tokenizer.encode("a")  # held back behind a first byte, as if it belonged to it
    assert llama._withheld({"id": letter, "bytes": [0xF0, *b"aa"]})[1:] == [letter]
    control = {"id": tokenizer.control_id("<|im_end|>"), "bytes": []}
    assert llama._withheld(control) == []


def test_wild_answers_of_llamacpp_lose_no_token_inside(engine: Engine) -> None:
    """At temperature 5 most characters are broken; only an unfinished last one may be missing."""
    for seed in range(8):
        sampling = Sampling(max_tokens=60, temperature=5, top_k=0, top_p=1.0, seed=seed)
        completion = engine.generate([1, 300], sampling)
        tokens = list(completion)
        assert all(isinstance(token, Token) for token in tokens)
        if completion.finish_reason == "length":
            assert 57 <= len(tokens) <= 60


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_an_engine_reads_every_text_as_our_tokenizer(
    engine: Engine, tokenizer: Tokenizer, text: str
) -> None:
    ids = engine.tokenize([text])[0]
    assert ids == tokenizer.encode(text)
    assert engine.detokenize(ids) == text


def test_half_a_character_is_refused_before_the_door(engine: Engine) -> None:
    with pytest.raises(InputError, match="lone surrogate at character 1"):
        engine.tokenize(["tam", "ç\udcff"])
    assert engine.tokenize(["tam"]) != [[]]
