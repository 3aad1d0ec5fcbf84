"""A tokenizer in Qwen's manner, and any byte-level one as a GGUF that llama.cpp opens."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
import xllamacpp
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers

from dilmac.core import bundled_prose, read_measured_texts

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ADDED = (*SPECIAL, "<tool_call>", "<think>", "</think>")
NUM_NEW = 300  # rows of the extended one
ROWS_KEPT = 330  # of the pruned one's old rows

words = st.text("abcçdefgğhıijklmnoöprsştuüvyzÇĞİÖŞÜ 0123456789.,'’\n\t\u2581", max_size=80)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
controls = st.lists(st.sampled_from([*ADDED, "a", " ", "\0", "\n", "ev", "👩‍👩‍👧"])).map("".join)
texts = words | anything | controls


def make_base(folder: Path, num_rows: int) -> Path:
    """A byte-level BPE of `num_rows`, learnt on a part of the bundled prose, and added tokens."""
    fast = tokenizers.Tokenizer(models.BPE())
    fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_rows,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator(read_measured_texts(bundled_prose()[:3]), trainer)
    fast.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIAL])
    fast.add_tokens([AddedToken(name, normalized=False) for name in ADDED[len(SPECIAL) :]])
    folder.mkdir()
    fast.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "added_tokens_decoder": {
            str(fast.token_to_id(name)): {"content": name, "special": name in SPECIAL}
            for name in ADDED
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


class LlamaTokenizer:
    """llama.cpp's reading of a byte-level tokenizer folder, with `pre=qwen2`."""

    def __init__(self, folder: Path, path: Path):
        write_gguf(folder, path)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.warmup, parameters.verbosity = 64, False, 0
        self.server = xllamacpp.Server(parameters)

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": parse_special}
        request = urllib.request.Request(  # noqa: S310 (our own loopback address)
            self.server.listening_address + "/tokenize",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            ids: list[int] = json.load(response)["tokens"]
        return ids


def write_gguf(folder: Path, path: Path) -> None:
    """The vocabulary with the smallest Llama around it: llama.cpp's server opens no less."""
    spec = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    added = {token["content"] for token in spec["added_tokens"]}
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if name in added else normal for name in names])
    writer.add_token_merges([" ".join(pair) for pair in spec["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|im_end|>"])
    writer.add_add_bos_token(False)
    size = 32
    writer.add_context_length(64)
    writer.add_embedding_length(size)
    writer.add_block_count(1)
    writer.add_feed_forward_length(size)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-6)
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(names), size), "output_norm": (size,)}
    shapes |= {f"blk.0.{name}_norm": (size,) for name in ("attn", "ffn")}
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    shapes |= {f"blk.0.{name}": (size, size) for name in matrices}
    for name, shape in shapes.items():
        kind: Any = np.float32 if len(shape) == 1 else np.float16
        writer.add_tensor(f"{name}.weight", np.ones(shape, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
