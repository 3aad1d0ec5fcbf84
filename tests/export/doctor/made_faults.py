"""Faults made in sound models: how, in which kind, and what must be found."""

# ruff: noqa: E501 (a table: one fault a line)

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
from harm import (
    EMBEDDING,
    HEAD,
    Harm,
    both,
    cutting,
    filled,
    header,
    named,
    overwritten,
    proto,
    putting,
    quantized,
    removed,
    retyped,
    setting,
    settings,
    spec,
    swapped,
    tensors,
    typed,
    whole_header,
    written,
)  # fmt: skip
from tiny_models import change_json

CONFIG, GENERATION, NAMES = "config.json", "generation_config.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
MARKS = ("<|im_start|>", "<|im_end|>")
NORMAL, USER_DEFINED = 1, 4
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
LLAMA3 = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content }}<|eot_id|>{% endfor %}"
)
PLAIN_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OTHER_MODELFILE = 'FROM ./model.gguf\nTEMPLATE """[INST] {{ .Prompt }} [/INST]"""\n'


@dataclass(frozen=True)
class Fault:
    """`where` is a part of the place that must be named; `mends` says that `--fix` can."""

    kind: str
    harm: Harm
    rule: str
    where: str
    mends: bool = False
    is_note: bool = False


def _special(content: dict[str, Any], name: str, value: bool | None) -> None:
    """Set whether an added token is special; None takes it out."""
    if value is None:
        kept = [t for t in content["added_tokens"] if t["content"] != name]
        content["added_tokens"] = kept
    for token in content["added_tokens"]:
        if token["content"] == name:
            token["special"] = value


def plain(name: str, value: bool | None = False) -> Harm:
    return spec(lambda content: _special(content, name, value))


def _merges_back(content: dict[str, Any]) -> None:
    content["model"]["merges"] = content["model"]["merges"][::-1]


def _renamed_piece(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["vocab"]
    last = max(vocabulary, key=vocabulary.__getitem__)
    vocabulary["ş̈x"] = vocabulary.pop(last)
    content["model"]["merges"] = [m for m in content["model"]["merges"] if "".join(m) != last]


def _with_prefix(content: Any) -> None:
    content.normalizer_spec.add_dummy_prefix = True


def _nmt(content: Any) -> None:
    content.normalizer_spec.name = "nmt_nfkc"


def _collapsing(content: Any) -> None:
    content.normalizer_spec.remove_extra_whitespaces = True


def _unigram(content: Any) -> None:
    content.trainer_spec.model_type = content.trainer_spec.UNIGRAM


def _in_sequence(*steps: dict[str, Any]) -> Harm:
    return putting(normalizer={"type": "Sequence", "normalizers": [*steps]})


def _padded(**names: int) -> Harm:
    return settings(config=names, generation_config=names)


def _other_model(folder: Path) -> None:
    """A tokenizer.model beside a byte-level tokenizer.json."""
    from dilmac.tokenizer import pretrained_path

    source = pretrained_path("tr32k") / "tokenizer.model"
    (folder / "tokenizer.model").write_bytes(source.read_bytes())


def _decoder_plain(folder: Path) -> None:
    from dilmac.core import read_json

    listed = read_json(folder / NAMES)["added_tokens_decoder"]
    for token in listed.values():
        token["special"] = False
    change_json(folder / NAMES, added_tokens_decoder=listed)


def _cut_table(content: dict[str, torch.Tensor]) -> None:
    content[EMBEDDING] = content[EMBEDDING][:-50]
    content[HEAD] = content[HEAD][:-50]


def _own_head(content: dict[str, torch.Tensor]) -> None:
    content[HEAD] = content[EMBEDDING].flip(0)


def _no_head(content: dict[str, torch.Tensor]) -> None:
    del content[HEAD]


def _lost_tables(content: dict[str, torch.Tensor]) -> None:
    for name in [name for name in content if "embed" in name or "head" in name]:
        del content[name]


def _short_tables(content: dict[str, torch.Tensor]) -> None:
    for name in [name for name in content if "embed" in name]:
        content[name] = content[name][:-20]


def _noise(rows: torch.Tensor) -> torch.Tensor:
    return torch.randn(rows.shape, generator=torch.Generator().manual_seed(1)) * 0.02


def _as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")


PRE = {"pattern": {"Regex": r"\s+"}}
TWO_DIGITS = {"pattern": {"Regex": r"\p{N}{1,2}|\p{L}+|[^\s]"}}
SPACE_PREFIX = f"{NAMES}: add_prefix_space"
IN_GGUF = "tokenizer.ggml."

FAULTS: dict[str, Fault] = {
    # a space before every text
    "prefix-missing": Fault("llama", setting(NAMES, add_prefix_space=None), "prefix-space", SPACE_PREFIX, True),
    "prefix-true": Fault("llama-tied", setting(NAMES, add_prefix_space=True), "prefix-space", SPACE_PREFIX, True),
    "prefix-of-qwen": Fault("replaced", setting(NAMES, add_prefix_space=None), "prefix-space", SPACE_PREFIX, True),
    "prefix-in-model": Fault("llama", proto(_with_prefix), "prefix-space", "tokenizer.json: normalizer"),
    "prefix-in-json": Fault("llama", _in_sequence({"type": "Prepend", "prepend": "▁"}, REPLACE), "prefix-space", "tokenizer.json: normalizer"),
    "prefix-metaspace": Fault("llama", putting(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}), "prefix-space", "pre_tokenizer"),
    "gguf-prefix-missing": Fault("gguf-f32", header(add_space_prefix=None), "prefix-space", IN_GGUF + "add_space_prefix", True),
    "gguf-prefix-true": Fault("gguf-q8_0", header(add_space_prefix=True), "prefix-space", IN_GGUF + "add_space_prefix", True),
    "gguf-prefix-replaced": Fault("gguf-replaced", header(add_space_prefix=None), "prefix-space", IN_GGUF + "add_space_prefix", True),
    # text that is changed before it is cut
    "nmt-nfkc": Fault("llama", proto(_nmt), "normalizer", "normalizer_spec"),
    "spaces-collapsed": Fault("replaced", proto(_collapsing), "normalizer", "normalizer_spec"),
    "unigram": Fault("llama", proto(_unigram), "normalizer", "model_type"),
    "nfkc-in-json": Fault("llama", _in_sequence({"type": "NFKC"}, REPLACE), "normalizer", "tokenizer.json"),
    "lowercase": Fault("qwen3", putting(normalizer={"type": "Lowercase"}), "normalizer", "tokenizer.json"),
    "strip": Fault("grown", _in_sequence({"type": "NFC"}, {"type": "Strip", "strip_left": True, "strip_right": True}), "normalizer", "tokenizer.json"),
    "gguf-map": Fault("gguf-f16", header(precompiled_charsmap=[1, 2, 3]), "normalizer", "precompiled_charsmap"),
    "gguf-collapse": Fault("gguf-q8_0", header(remove_extra_whitespaces=True), "normalizer", "remove_extra_whitespaces"),
    # two tokenizers
    "pieces-swapped": Fault("llama", proto(swapped), "two-tokenizers", "tokenizer.model", True),
    "merges-back": Fault("llama", spec(_merges_back), "two-tokenizers", "tokenizer.model", True),
    "piece-renamed": Fault("llama-tied", spec(_renamed_piece), "two-tokenizers", "tokenizer.model", True),
    "foreign-model": Fault("qwen3", _other_model, "two-tokenizers", "tokenizer.model", True),
    "gguf-tokens": Fault("gguf-f16", header(tokens=lambda old: [*old[:-9], *old[-9:-7][::-1], *old[-7:]]), "two-tokenizers", IN_GGUF + "tokens"),
    "gguf-merges": Fault("gguf-qwen", header(merges=lambda old: old[::-1]), "two-tokenizers", IN_GGUF + "merges", True),
    "gguf-scores-zero": Fault("gguf-f32", header(scores=lambda old: [0.0] * len(old)), "two-tokenizers", IN_GGUF + "scores", True),
    "gguf-scores-missing": Fault("gguf-q8_0", header(scores=None), "two-tokenizers", IN_GGUF + "scores", True),
    # how byte-level tokenizers cut
    "cut-two-digits": Fault("qwen3", cutting((0, TWO_DIGITS)), "pre-tokenizer", "tokenizer.json"),
    "cut-at-spaces": Fault("qwen3-extended", cutting((0, PRE)), "pre-tokenizer", "tokenizer.json"),
    "cut-merged": Fault("qwen3", cutting((0, {"behavior": "MergedWithPrevious"})), "pre-tokenizer", "tokenizer.json"),
    "cut-with-space": Fault("grown", cutting((1, {"add_prefix_space": True})), "pre-tokenizer", "tokenizer.json"),
    "gguf-pre-default": Fault("gguf-qwen", header(pre="default"), "pre-tokenizer", IN_GGUF + "pre", True),
    "gguf-pre-missing": Fault("gguf-qwen", header(pre=None), "pre-tokenizer", IN_GGUF + "pre", True),
    "gguf-pre-llama": Fault("gguf-qwen", header(pre="llama-bpe"), "pre-tokenizer", IN_GGUF + "pre", True),
    "gguf-pre-own": Fault("gguf-qwen", both(header(pre="mine"), removed("tokenizer.json")), "pre-tokenizer", IN_GGUF + "pre"),
    # control tokens
    "marker-plain": Fault("llama", plain("<|im_start|>"), "control-tokens", "added_tokens", True),
    "marker-plain-qwen": Fault("qwen3", plain("<|im_end|>"), "control-tokens", "added_tokens", True),
    "marker-cut": Fault("llama-tied", plain("<|im_end|>", None), "control-tokens", "added_tokens", True),
    "piece-normal": Fault("llama", typed(NORMAL, *MARKS), "control-tokens", "tokenizer.model: pieces", True),
    "piece-user": Fault("replaced", typed(USER_DEFINED, "<|im_end|>"), "control-tokens", "tokenizer.model: pieces", True),
    "decoder-plain": Fault("qwen3-tied", _decoder_plain, "control-tokens", "added_tokens_decoder", True),
    "gguf-normal": Fault("gguf-f32", retyped(NORMAL, "<|im_start|>"), "control-tokens", IN_GGUF + "token_type", True),
    "gguf-user": Fault("gguf-qwen", retyped(USER_DEFINED, *MARKS), "control-tokens", IN_GGUF + "token_type", True),
    "gguf-no-types": Fault("gguf-q8_0", header(token_type=None), "control-tokens", IN_GGUF + "token_type"),
    # ends
    "eos-outside": Fault("llama", setting(CONFIG, eos_token_id=99_999), "ends", f"{CONFIG}: eos_token_id", True),
    "pad-below-zero": Fault("qwen3", setting(GENERATION, pad_token_id=-1), "ends", f"{GENERATION}: pad_token_id", True),
    "pad-in-spare-rows": Fault("qwen3", _padded(pad_token_id=609), "ends", "pad_token_id", True),
    "pad-named-as-eos": Fault("llama", setting(NAMES, pad_token="<|im_end|>"), "ends", "pad_token", True),
    "pad-id-of-eos": Fault("llama-tied", _padded(pad_token_id=4, eos_token_id=4), "ends", "pad_token_id", True),
    "eos-not-the-turns": Fault("llama", both(_padded(eos_token_id=1), setting(NAMES, eos_token="<|endoftext|>")), "ends", "eos_token_id", True),
    "eos-unknown": Fault("qwen3", setting(NAMES, eos_token="<|nowhere|>"), "ends", f"{NAMES}: eos_token"),
    "eos-nowhere": Fault("grown", _padded(eos_token_id=None), "ends", "eos_token_id", True),
    "gguf-eos-document": Fault("gguf-f32", both(header(eot_token_id=None), named("eos_token_id", "<|endoftext|>")), "ends", IN_GGUF + "eos_token_id", True),
    "gguf-eos-missing": Fault("gguf-qwen", header(eos_token_id=None, eot_token_id=None), "ends", IN_GGUF + "eos_token_id", True),
    "gguf-eos-outside": Fault("gguf-f16", header(eos_token_id=70_000), "ends", IN_GGUF + "eos_token_id", True),
    "gguf-pad-is-eos": Fault("gguf-q8_0", named("padding_token_id", "<|im_end|>"), "ends", IN_GGUF + "padding_token_id", True),
    "gguf-bos": Fault("gguf-f16", header(add_bos_token=None), "ends", IN_GGUF + "add_bos_token", True),
    # templates
    "template-missing": Fault("llama", removed(TEMPLATE), "chat-template", TEMPLATE, True),
    "template-unmarked": Fault("qwen3", written(TEMPLATE, PLAIN_CHATML), "chat-template", TEMPLATE, True, is_note=True),
    "template-with-tools": Fault("llama", written(TEMPLATE, PLAIN_CHATML + "{# tools #}"), "chat-template", TEMPLATE, is_note=True),
    "template-broken": Fault("qwen3", written(TEMPLATE, "{% for m in messages %}{{ m.content"), "chat-template", TEMPLATE),
    "template-foreign": Fault("llama", written(TEMPLATE, LLAMA3), "chat-template", TEMPLATE),
    "template-twice": Fault("llama-tied", setting(NAMES, chat_template=LLAMA3), "chat-template", NAMES, True),
    "modelfile-other": Fault("llama", written("Modelfile", OTHER_MODELFILE), "chat-template", "Modelfile"),
    "gguf-template-missing": Fault("gguf-f32", whole_header({"tokenizer.chat_template": None}), "chat-template", "tokenizer.chat_template", True),
    "gguf-template-other": Fault("gguf-qwen", whole_header({"tokenizer.chat_template": LLAMA3}), "chat-template", "tokenizer.chat_template", True),
    "gguf-modelfile": Fault("gguf-q8_0", both(written("Modelfile", OTHER_MODELFILE), removed(TEMPLATE)), "chat-template", "Modelfile"),
    # rows of vocabulary, config and tables
    "config-few-rows": Fault("llama", setting(CONFIG, vocab_size=1000), "vocabulary-size", "vocab_size", True),
    "config-many-rows": Fault("qwen3-tied", setting(CONFIG, vocab_size=4096), "vocabulary-size", "vocab_size", True),
    "tables-cut": Fault("llama", tensors(_cut_table), "vocabulary-size", "vocab_size"),
    "gguf-few-tokens": Fault("gguf-f32", header(tokens=lambda old: old[:-3], token_type=lambda old: old[:-3], scores=lambda old: old[:-3]), "vocabulary-size", IN_GGUF + "tokens", True),
    "gguf-size": Fault("gguf-qwen", whole_header({"qwen3.vocab_size": 32}), "vocabulary-size", "qwen3.vocab_size", True),
    # tables tied or not
    "tied-with-own-head": Fault("llama-tied", tensors(_own_head), "tied", "tie_word_embeddings", True),
    "flag-true": Fault("qwen3", setting(CONFIG, tie_word_embeddings=True), "tied", "tie_word_embeddings", True),
    "no-head": Fault("llama", tensors(_no_head), "tied", "tie_word_embeddings", True),
    # rows that were not trained
    "nan-row": Fault("llama", filled(float("nan"), slice(300, 301)), "rows", EMBEDDING),
    "infinite-row": Fault("qwen3", filled(float("inf"), slice(40, 42), HEAD), "rows", HEAD),
    "zero-rows": Fault("qwen3-tied", filled(0.0, slice(400, 420)), "rows", EMBEDDING),
    "zero-marker": Fault("llama", filled(0.0, slice(3, 4)), "rows", EMBEDDING),
    "long-rows": Fault("llama", filled(lambda rows: rows * 100, slice(500, 530)), "rows", EMBEDDING),
    "short-rows": Fault("grown", filled(lambda rows: rows / 100, slice(620, 640)), "rows", EMBEDDING),
    "equal-rows": Fault("llama-tied", filled(lambda rows: rows.mean(0), slice(900, 940)), "rows", EMBEDDING),
    "noise-rows": Fault("qwen3-extended", both(filled(_noise, slice(700, 760)), setting(CONFIG, initializer_range=0.02)), "rows", EMBEDDING),
    "gguf-nan": Fault("gguf-f32", overwritten(slice(300, 302), 0xFF), "rows", "token_embd.weight"),
    "gguf-zero": Fault("gguf-q8_0", overwritten(slice(300, 340), 0), "rows", "token_embd.weight"),
    "gguf-head-nan": Fault("gguf-qwen", overwritten(slice(9, 10), 0xFF, "output.weight"), "rows", "output.weight"),
    # adapters
    "adapter-no-rows": Fault("adapter", both(setting("adapter_config.json", modules_to_save=None), tensors(_lost_tables)), "adapter", "modules_to_save"),
    "adapter-lost-rows": Fault("adapter", tensors(_lost_tables), "adapter", "adapter_model.safetensors"),
    "adapter-few-rows": Fault("adapter", tensors(_short_tables), "adapter", "adapter_model.safetensors"),
    # generation
    "greedy-temperature": Fault("llama", setting(GENERATION, temperature=0.7, top_p=0.9), "generation", "do_sample", True),
    "eos-of-config-only": Fault("qwen3", setting(GENERATION, eos_token_id=600), "generation", "eos_token_id", True),
    "eos-suppressed": Fault("llama", setting(GENERATION, suppress_tokens=[4, 9]), "generation", "suppress_tokens", True),
    "suppressed-outside": Fault("grown", setting(GENERATION, suppress_tokens=[123_456]), "generation", "suppress_tokens", True),
    "longer-than-context": Fault("llama-tied", setting(GENERATION, max_length=100_000), "generation", "max_length", True),
    "temperature-zero": Fault("llama", setting(GENERATION, do_sample=True, temperature=0.0), "generation", "temperature", True),
    "top-p-two": Fault("qwen3", setting(GENERATION, do_sample=True, top_p=2.0), "generation", "top_p", True),
    "least-above-most": Fault("llama", setting(GENERATION, min_new_tokens=9, max_new_tokens=3), "generation", "min_new_tokens", True),
    # quantized
    "k-quant-fallback": Fault("gguf-f32", quantized("Q5_0", gguf.LlamaFileType.MOSTLY_Q4_K_M), "quantization", "general.file_type"),
    "file-type-lies": Fault("gguf-f16", whole_header({"general.file_type": 7}), "quantization", "general.file_type", True),
    "k-quants-to-come": Fault("llama", setting(CONFIG, note="unchanged"), "quantization", "safetensors", is_note=True),
    # what runs code
    "pickle-alone": Fault("llama", _as_pickle, "unsafe", "pytorch_model.bin"),
    "pickle-beside": Fault("qwen3", written("pytorch_model.bin", pickle.dumps([1])), "unsafe", "pytorch_model.bin", True),
    "optimizer": Fault("llama", written("optimizer.pt", pickle.dumps([1])), "unsafe", "optimizer.pt", True),
    "arguments": Fault("adapter", written("training_args.bin", pickle.dumps([1])), "unsafe", "training_args.bin", True),
    "auto-map": Fault("llama", setting(CONFIG, auto_map={"AutoModel": "m.M"}), "unsafe", f"{CONFIG}: auto_map", True),
    "auto-map-tokenizer": Fault("qwen3", setting(NAMES, auto_map={"AutoTokenizer": ["t.T", None]}), "unsafe", f"{NAMES}: auto_map", True),
    "code": Fault("replaced", written("modeling_mine.py", "print('hello')\n"), "unsafe", "modeling_mine.py", True),
}  # fmt: skip
