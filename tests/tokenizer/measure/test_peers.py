"""Tokenizers of every kind are opened, and encode as their own libraries do."""

import base64
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import regex
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from tokenizers import decoders, models, pre_tokenizers, trainers

from dilmac.core import ConfigError, DilmacError, InputError, bundled_prose, read_measured_texts
from dilmac.tokenizer import Tokenizer
from dilmac.tokenizer.canonical import token_bytes
from dilmac.tokenizer.measure.peers import open_peer
from dilmac.tokenizer.measure.tiktoken import SPLITS, read_tiktoken

texts = st.text(max_size=40) | st.text("aab bı'd\n 12ŞşİAB.😀\u0301\u2581\0", max_size=40)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, int]]:
    """A rank file, made from a small byte-level BPE."""
    fast = tokenizers.Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(
        [*read_measured_texts(bundled_prose()[:4]), "aaaa aaa abab ba"], trainer
    )
    tokens = [data for data in token_bytes(fast) if data is not None]
    path = tmp_path_factory.mktemp("ranks") / "small.tiktoken"
    lines = [f"{base64.b64encode(data).decode()} {rank}\n" for rank, data in enumerate(tokens)]
    path.write_text("".join(lines), encoding="ascii")
    return path, {data: rank for rank, data in enumerate(tokens)}


def by_definition(ranks: dict[bytes, int], split: str, text: str) -> list[int]:
    """tiktoken's algorithm: in each word join the pair of lowest rank, leftmost first."""
    ids: list[int] = []
    for match in regex.finditer(SPLITS[split], text):
        parts = [bytes([byte]) for byte in match[0].encode()]
        if match[0].encode() in ranks:
            parts = [match[0].encode()]
        while len(parts) > 1:
            joined = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
            place = joined.index(min(joined))
            if joined[place] == len(ranks):
                break
            parts[place : place + 2] = [parts[place] + parts[place + 1]]
        ids += [ranks[part] for part in parts]
    return ids


@pytest.mark.parametrize("split", ["gpt2", "cl100k", "o200k", "qwen"])
def test_a_rank_file_is_read_as_tiktoken_reads_it(
    ranks: tuple[Path, dict[bytes, int]], split: str
) -> None:
    path, rank_of = ranks
    peer = open_peer(str(path), split)
    assert len(peer) == 900 and peer.unknown_row is None

    @settings(max_examples=150, deadline=None)
    @given(texts)
    def equal(text: str) -> None:
        ids = peer.encode(text)
        assert ids == by_definition(rank_of, split, text) == peer.encode_many([text])[0]
        assert peer.decode(ids) == text

    equal()


@pytest.mark.slow
def test_qwen_is_the_same_from_its_ranks_and_from_its_folder(shared: Path, tmp_path: Path) -> None:
    folder = open_peer(str(shared / "tokenizers" / "qwen3"))
    path = tmp_path / "qwen.tiktoken"  # its name tells the split
    lines = [
        f"{base64.b64encode(token).decode()} {row}\n"
        for row, token in enumerate(folder.tokens)
        if isinstance(token, bytes)
    ]
    path.write_text("".join(lines), encoding="ascii")
    peer = open_peer(str(path))
    assert (len(peer), len(folder)) == (151_643, 151_669)
    found = list(read_measured_texts([shared / "corpus" / "tr-education-2.jsonl.zst"]))
    assert peer.encode_many(found) == folder.encode_many(found)


def test_a_control_string_is_text_in_every_kind(
    sample_tokenizer: Path, ranks: tuple[Path, dict[bytes, int]]
) -> None:
    names = [str(sample_tokenizer), str(sample_tokenizer / "tokenizer.model")]
    for peer in [*map(open_peer, names), open_peer(str(ranks[0]), "gpt2")]:
        ids = peer.encode("a<|im_end|>b")
        assert peer.decode(ids) == "a<|im_end|>b"
        assert "".join(map(peer.piece, ids)) == "a<|im_end|>b"


def test_folder_and_files_of_one_tokenizer_are_one(sample_tokenizer: Path, tmp_path: Path) -> None:
    shutil.copyfile(sample_tokenizer / "tokenizer.model", tmp_path / "tokenizer.model")
    names = [
        sample_tokenizer,
        sample_tokenizer / "tokenizer.json",
        sample_tokenizer / "tokenizer.model",
        tmp_path,  # a folder with nothing but the SentencePiece model
    ]
    peers = [open_peer(str(name)) for name in names]
    text = "Öğrencilerimizden 漢 <unk>\n  "
    expected = SentencePieceProcessor(str(tmp_path / "tokenizer.model")).encode(text)
    for peer in peers:
        assert peer.encode(text) == expected == peer.encode_many([text])[0]
        assert peer.tokens == peers[0].tokens and peer.unknown_row == 0
    assert peers[0].encode("\u2581") == Tokenizer(sample_tokenizer).encode("\u2581")
    assert [peers[2].piece(row) for row in expected].count("⟨E6⟩") == 1


def test_a_folder_from_before_tokenizer_json_is_converted(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ev", "##ler", "##de"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    settings_of_bert = {"tokenizer_class": "BertTokenizer", "do_lower_case": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings_of_bert), encoding="utf-8")
    peer = open_peer(str(tmp_path))
    assert [peer.piece(row) for row in peer.encode("evlerde yok")] == [
        "ev",
        "##ler",
        "##de",
        "[UNK]",
    ]
    assert peer.unknown_row == 1


def test_a_file_that_cuts_texts_off_is_measured_whole(
    sample_tokenizer: Path, tmp_path: Path
) -> None:
    fast = tokenizers.Tokenizer.from_file(str(sample_tokenizer / "tokenizer.json"))
    fast.enable_truncation(max_length=5)
    fast.enable_padding(length=50)
    fast.save(str(tmp_path / "tokenizer.json"))
    text = "Bir göl kıyısında uzun bir gün."
    assert open_peer(str(tmp_path)).encode(text) == open_peer(str(sample_tokenizer)).encode(text)


def _line(token: bytes, rank: int) -> bytes:
    return base64.b64encode(token) + b" %d\n" % rank


BYTES = b"".join(_line(bytes([byte]), byte) for byte in range(256))


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("x.model", b"", "no SentencePiece model"),
        ("x.model", b"\xff\xff", "no SentencePiece model"),
        ("x.model", b"hello\n" * 20, "no SentencePiece model"),
        ("gpt2.tiktoken", BYTES + b"Hello\n", "gpt2.tiktoken:257: no token in base64"),
        ("gpt2.tiktoken", BYTES + _line(b"ab", 7), ":257: the token or its rank was there before"),
        ("gpt2.tiktoken", BYTES + _line(b"A", 300), ":257: the token or its rank was there before"),
        ("gpt2.tiktoken", BYTES + _line(b"ab", 10**12), "257 tokens, but a rank of 1000000000000"),
        ("gpt2.tiktoken", b"A 0\n" + BYTES, "gpt2.tiktoken:1: no token in base64"),
        ("gpt2.tiktoken", b"", "no token for the byte 0x00"),
        ("gpt2.tiktoken", BYTES.replace(_line(b"A", 65), b""), "no token for the byte 0x41"),
        ("tokenizer.json", b"{}", "no readable tokenizer"),
        ("mine.tiktoken", BYTES, "--tiktoken-split: no split pattern is known for mine.tiktoken"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, data: bytes, found: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DilmacError, match=found):
        open_peer(str(tmp_path / name))


@pytest.mark.parametrize("name", ["nowhere", "nobody/nothing", "a/b/c", "./x", ""])
def test_what_is_not_there_is_refused_without_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        open_peer(name)


def test_a_split_that_is_no_regular_expression_is_refused(
    ranks: tuple[Path, dict[bytes, int]],
) -> None:
    with pytest.raises(ConfigError, match="--tiktoken-split: no regular expression"):
        read_tiktoken(ranks[0], "(")
    assert read_tiktoken(ranks[0], r"\S+|\s+").encode("ab cd").ids
