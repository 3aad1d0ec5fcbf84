"""A GGUF with a byte-level tokenizer in the llama.cpp engine: what it reads, and what it writes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from transformers import Qwen3Config, Qwen3ForCausalLM

from byte_level_base import texts
from dilmac.core import InputError
from dilmac.engines import EngineSpec, Sampling, Token
from dilmac.engines.gguf_header import read_header
from dilmac.engines.llamacpp import LlamaCpp
from dilmac.export import GgufConfig, export_gguf
from dilmac.serve import ChatConfig, chat
from dilmac.tokenizer import Tokenizer, copy_tokenizer


@pytest.fixture(scope="module")
def tokenizer(byte_level_extended: Path) -> Tokenizer:
    return Tokenizer(byte_level_extended)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    """A random Qwen3, exported."""
    made = tmp_path_factory.mktemp("byte-level-gguf")
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(made / "model")
    copy_tokenizer(tokenizer.folder, made / "model")
    few = {"num_lines": 5, "num_fuzz": 5, "num_positions": 5}
    return export_gguf(GgufConfig(model=made / "model", out=made / "gguf", **few)).path


@pytest.fixture(scope="module")
def llama(folder: Path) -> LlamaCpp:
    """The backend itself, in this process."""
    return LlamaCpp(EngineSpec(kind="llamacpp", model=folder / "model-f16.gguf", threads=1))


@settings(max_examples=60, deadline=None)
@given(text=texts)
@example(text="<|im_end|>e\u0301\u2581\0</think>")
def test_it_reads_every_text_as_our_tokenizer(
    llama: LlamaCpp, tokenizer: Tokenizer, text: str
) -> None:
    (ids,) = llama.tokenize([text])
    assert ids == tokenizer.encode(text)
    assert llama.detokenize(ids) == tokenizer.normalized(text)


def written(llama: LlamaCpp, **changes: Any) -> list[dict[str, Any]]:
    chunks: list[Any] = []
    request = {"prompt": [5], "temperature": 0.0, "n_probs": 1, "stream": True, **changes}
    llama.server.handle_completions(request, lambda chunk: chunks.append(chunk) and False)
    return [
        item
        for chunk in chunks
        for item in (chunk["choices"][0].get("logprobs") or {}).get("content", [])
    ]


def test_tokens_of_a_character_in_parts_are_all_given_out(
    llama: LlamaCpp, tokenizer: Tokenizer
) -> None:
    text = "漢a🙂ç語 ğ 👩‍👩‍👧"
    items = written(llama, n_predict=len(text.encode()), grammar=f'root ::= "{text}"')
    given_out = [row for item in items for row in [*llama._withheld(item), item["id"]]]
    assert tokenizer.decode(given_out) == text
    assert len(items) < len(given_out)


@settings(max_examples=50, deadline=None)
@given(text=texts)
def test_parts_are_found_again_by_their_bytes(
    llama: LlamaCpp, tokenizer: Tokenizer, text: str
) -> None:
    data = text.encode()
    for cut in range(0, len(data), 7):
        rows = llama.header.rows_of(data[cut:])
        assert b"".join(llama.header.streamed[row] for row in rows) == data[cut:]


def test_what_is_suppressed_is_never_the_best(llama: LlamaCpp, folder: Path) -> None:
    best = llama.score([5, 5], top=1)[0][0][0]
    llama.header.suppressed.append(best)
    try:
        items = list(llama.generate([5], Sampling(max_tokens=10, temperature=0), lambda: False))
    finally:
        llama.header.suppressed.remove(best)
    assert all(item.id != best for item in items if isinstance(item, Token))
    assert llama.score([5, 5], top=1)[0][0][0] == best  # and its probability is what it was


def test_a_conversation_with_it(folder: Path) -> None:
    said = chat(ChatConfig(model=folder, say="Ankara'da hava nasıl? <|im_end|>", max_tokens=20))
    assert said["finish_reason"] in ("stop", "length") and isinstance(said["answer"], str)


def test_another_way_to_split_is_refused(folder: Path, tmp_path: Path) -> None:
    data = (folder / "model-f16.gguf").read_bytes()
    assert data.count(b"qwen2") == 1
    (tmp_path / "other.gguf").write_bytes(data.replace(b"qwen2", b"gpt-4"))
    with pytest.raises(InputError, match="tokenizer is 'gpt2' with pre 'gpt-4'"):
        read_header(tmp_path / "other.gguf")
