"""A user's own SentencePiece model: the same ids over the text that it keeps, and a warning."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest
import sentencepiece
from adapter_parts import texts
from hypothesis import given, settings
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, normalizers

from dilmac.core import InputError
from dilmac.tokenizer import LossyTokenizerWarning, Tokenizer, TokenizerAdapter

MODELS = {
    "unigram": {},  # SentencePiece's defaults: nmt_nfkc, dummy prefix, collapsed spaces, unknown
    "bytes": {"byte_fallback": True, "model_type": "bpe"},
    "spaces": {"byte_fallback": True, "remove_extra_whitespaces": False},
    "no_prefix": {"byte_fallback": True, "add_dummy_prefix": False},
    "suffix": {"treat_whitespace_as_suffix": True},
    "folded": {"normalization_rule_name": "nfkc_cf", "byte_fallback": True},
    "own_symbols": {"user_defined_symbols": ["<BEGINNER>", "<|im_end|>"], "byte_fallback": True},
}


class Own:
    """A model, read by SentencePiece itself, and its adapter to a byte-level tokenizer."""

    def __init__(self, path: Path, target: Path):
        proto = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
        proto.trainer_spec.unk_surface = "\ufffd"
        self.piece = sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())
        with pytest.warns(LossyTokenizerWarning) as caught:
            self.adapter = TokenizerAdapter(path, target)
        self.warning = str(caught[0].message)
        self.num_warnings = len(caught)


@pytest.fixture(scope="module")
def opened(own_model: Callable[..., Path], byte_level: Path) -> dict[str, Own]:
    return {name: Own(own_model(name, **MODELS[name]), byte_level) for name in MODELS}


@settings(max_examples=150, deadline=None)
@given(text=texts)
@pytest.mark.parametrize("name", MODELS)
def test_ids_are_those_of_the_text_that_is_kept(
    opened: dict[str, Own], qwen_like: Tokenizer, name: str, text: str
) -> None:
    own = opened[name]
    ids = own.piece.encode(text)
    kept = own.piece.decode(ids)
    assert own.adapter.adapt_tokens(ids) == qwen_like.encode(kept)
    back = own.adapter.adapt_tokens(qwen_like.encode(text), reverse=True)
    assert back == own.piece.encode(normalize("NFC", text))


@settings(max_examples=100, deadline=None)
@given(text=texts)
@pytest.mark.parametrize("name", MODELS)
def test_what_both_keep_can_be_aligned(opened: dict[str, Own], name: str, text: str) -> None:
    own = opened[name]
    alignment = own.adapter.align(text)
    covered = alignment.chunks[-1].bytes[1] if alignment.chunks else 0
    assert covered == len(alignment.text.encode())
    assert own.adapter.normalize(alignment.text) == alignment.text
    assert own.adapter.adapt_tokens(alignment.source_ids) == alignment.target_ids


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("unigram", ["nmt_nfkc", "repeated spaces", "add_dummy_prefix", "without a piece"]),
        ("bytes", ["nmt_nfkc", "repeated spaces", "add_dummy_prefix"]),
        ("spaces", ["nmt_nfkc", "add_dummy_prefix"]),
        ("no_prefix", ["nmt_nfkc", "repeated spaces"]),
        ("folded", ["nfkc_cf", "repeated spaces", "add_dummy_prefix"]),
    ],
)
def test_one_warning_names_what_is_lost(
    opened: dict[str, Own], name: str, losses: list[str]
) -> None:
    own = opened[name]
    assert own.num_warnings == 1
    named = ["nmt_nfkc", "nfkc_cf", "repeated spaces", "add_dummy_prefix", "without a piece"]
    assert [loss for loss in named if loss in own.warning] == losses
    assert f"{name}.model" in own.warning and "U+2581" in own.warning


def test_a_lossless_pair_warns_of_nothing(sample_tokenizer: Path, byte_level: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TokenizerAdapter(sample_tokenizer, byte_level)


def test_our_own_model_file_loses_only_the_space_mark(
    sample_tokenizer: Path, byte_level: Path
) -> None:
    own = Own(sample_tokenizer / "tokenizer.model", byte_level)
    assert own.warning.endswith("tokenizer.model loses: U+2581 (▁), read as a space")


def test_control_tokens_by_role_and_unknown_characters(
    opened: dict[str, Own], qwen_like: Tokenizer
) -> None:
    own = opened["unigram"]
    start, end, unknown = own.piece.bos_id(), own.piece.eos_id(), own.piece.unk_id()
    end_of_text = qwen_like.control_id("<|endoftext|>")
    text_ids = own.piece.encode("göl")
    adapted = own.adapter.adapt_tokens([start, *text_ids, end])
    assert adapted == [end_of_text, *qwen_like.encode("göl"), end_of_text]
    assert own.adapter.adapt_tokens([end_of_text], reverse=True) == [end]
    assert own.adapter.adapt_tokens([unknown]) == qwen_like.encode("\ufffd")


def test_a_folder_with_the_model_alone_is_read(
    own_model: Callable[..., Path], byte_level: Path, tmp_path: Path, opened: dict[str, Own]
) -> None:
    shutil.copyfile(own_model("bytes"), tmp_path / "tokenizer.model")
    with pytest.warns(LossyTokenizerWarning):
        adapter = TokenizerAdapter(tmp_path, byte_level)
    ids = opened["bytes"].piece.encode("Bir göl.")
    assert adapter.adapt_tokens(ids) == opened["bytes"].adapter.adapt_tokens(ids)


def test_a_tokenizer_json_that_loses_text_is_refused(tmp_path: Path, byte_level: Path) -> None:
    fast = FastTokenizer(models.BPE(vocab={"a": 0, "▁": 1, "<0xE2>": 2}, merges=[]))
    fast.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    fast.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"do not give .* back\n  mend: .* SentencePiece"):
        TokenizerAdapter(tmp_path, byte_level)
