"""SentencePiece, Hugging Face and llama.cpp read every text alike: as content, and as template."""

from pathlib import Path

import pytest
import sentencepiece
from gguf_folder import write_as_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import real_lines, shards
from transformers import AutoTokenizer

from dilmac.core import InputError
from dilmac.engines import EngineSpec
from dilmac.engines.llamacpp import LlamaCpp
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.tokenizer.special import CONTROL_TOKENS, SPACE_MARK

NUM_LINES = 20_000
NUM_FUZZ = 5_000
PROMPT = (
    "<|im_start|>user\nSınav ne zaman?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


class Runtimes:
    """One tokenizer in the three libraries and in ours."""

    def __init__(self, folder: Path, gguf: Path):
        self.ours = Tokenizer(folder)
        self.piece = sentencepiece.SentencePieceProcessor(
            model_file=str(folder / "tokenizer.model")
        )
        self.auto = AutoTokenizer.from_pretrained(folder)
        self.llama = LlamaCpp(EngineSpec(kind="llamacpp", model=gguf))

    def require_equal(self, strings: list[str]) -> None:
        """The same ids for strings without U+2581 (the libraries read it as a space) and NUL
        (llama.cpp's server ends a string there)."""
        ours = list(self.ours.encode_stream(strings))
        assert self.piece.encode(strings) == ours
        assert self.auto(strings, split_special_tokens=True).input_ids == ours
        assert self.llama.tokenize(strings) == ours

    def template_ids(self, text: str) -> list[int]:
        """What llama.cpp makes of a text with its control tokens."""
        body = {"content": text, "add_special": False, "parse_special": True}
        ids: list[int] = self.llama._post("/tokenize", body)["tokens"]
        return ids


@pytest.fixture(scope="module", params=["plain", "crossing", "user", "superwords", "tr32k"])
def runtimes(
    request: pytest.FixtureRequest, kinds: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Runtimes:
    folder = kinds[request.param]
    return Runtimes(folder, write_as_gguf(folder, tmp_path_factory.mktemp(request.param)))


def test_three_runtimes_agree_on_prose_and_fuzz(runtimes: Runtimes, prose: list[str]) -> None:
    runtimes.require_equal([line for line in prose if line][:500] + fuzz_strings(500, seed=1))


@pytest.mark.parametrize("control", CONTROL_TOKENS)
def test_control_tokens_in_content_are_characters(runtimes: Runtimes, control: str) -> None:
    runtimes.require_equal([control, f"a{control}b", f"{control}\n{control}", f"<EXAM>{control} ."])
    assert runtimes.ours.control_id(control) not in runtimes.ours.encode(f"a{control}b")


def test_the_template_is_read_alike(runtimes: Runtimes) -> None:
    messages = [Message("user", "Sınav ne zaman?")]
    ours = encode_chat(runtimes.ours, messages, open_answer=True, enable_thinking=False).ids
    assert runtimes.ours.decode(ours, keep_control=True) == PROMPT
    assert runtimes.auto(PROMPT, add_special_tokens=False).input_ids == ours
    assert runtimes.template_ids(PROMPT) == ours


benign = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=f"<|>\0{SPACE_MARK}"), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(question=benign, answer=benign, reasoning=st.none() | benign)
def test_every_benign_conversation_is_read_alike(
    runtimes: Runtimes, question: str, answer: str, reasoning: str | None
) -> None:
    messages = [Message("user", question), Message("assistant", answer, reasoning)]
    ours = encode_chat(runtimes.ours, messages, open_answer=True).ids
    text = runtimes.ours.decode(ours, keep_control=True)
    assert runtimes.auto(text, add_special_tokens=False).input_ids == ours
    assert runtimes.template_ids(text) == ours


def test_a_unigram_vocabulary_cannot_be_a_gguf(kinds: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a unigram vocabulary"):
        write_as_gguf(kinds["unigram"], tmp_path)


@pytest.mark.slow
def test_three_runtimes_agree_on_real_text(runtimes: Runtimes, shared: Path) -> None:
    """20,000 lines of every domain, and 5,000 fuzz strings."""
    paths = shards(shared)
    share = -(-NUM_LINES // len(paths))
    lines = [line for path in paths for line in real_lines(path, share)]
    runtimes.require_equal(lines + fuzz_strings(NUM_FUZZ, seed=3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unigram", "unigram-user"])
def test_unigram_conversion_agrees_on_real_text(
    kinds: dict[str, Path], shared: Path, kind: str
) -> None:
    tokenizer = Tokenizer(kinds[kind])
    piece = sentencepiece.SentencePieceProcessor(model_file=str(kinds[kind] / "tokenizer.model"))
    for path in shards(shared):
        lines = real_lines(path, 1000)
        assert list(tokenizer.encode_stream(lines)) == piece.encode(lines), path.name
