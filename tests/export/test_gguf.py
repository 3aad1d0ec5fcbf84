"""GGUF: what is written, that the proof holds, and that the proof can fail."""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import InputError, ParityError, open_artifact
from dilmac.export import GgufConfig, export_gguf
from dilmac.export.parity import prove
from dilmac.models import RopeType, save_model, with_longer_context
from dilmac.tokenizer import copy_tokenizer
from dilmac.tokenizer.special import CONTROL_TOKENS

FEW = {"num_lines": 50, "num_fuzz": 100, "num_positions": 150}


@pytest.fixture
def untied(tmp_path: Path, sample_tokenizer: Path) -> Path:
    """A random untied Llama with grouped-query attention and more rows than its tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1056,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=64,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0},
        tie_word_embeddings=False,
    )
    folder = tmp_path / "untied"
    folder.mkdir()
    save_model(LlamaForCausalLM(config), folder)
    copy_tokenizer(sample_tokenizer, folder)
    return folder


def test_metadata_leaves_nothing_to_a_default(tiny_gguf: Path) -> None:
    fields = gguf.GGUFReader(tiny_gguf / "model-f16.gguf").fields
    value = {name: field.contents() for name, field in fields.items()}
    assert value["tokenizer.ggml.model"] == "llama" and value["tokenizer.ggml.pre"] == "default"
    assert value["tokenizer.ggml.add_space_prefix"] is False
    assert value["tokenizer.ggml.add_bos_token"] is False
    tokens, types = value["tokenizer.ggml.tokens"], value["tokenizer.ggml.token_type"]
    assert tokens[value["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert tokens[value["tokenizer.ggml.padding_token_id"]] == "<|pad|>"
    for row, token in enumerate(tokens):
        assert (types[row] == gguf.TokenType.CONTROL) == (token in CONTROL_TOKENS[1:]), token
    assert "<|im_start|>" in value["tokenizer.chat_template"]


def test_the_proof_is_in_the_artifact(tiny_gguf: Path) -> None:
    parity = open_artifact(tiny_gguf, "gguf").figures["parity"]
    assert parity["ids"] == {"lines": 100, "fuzz_strings": 200, "different": 0, "lossy": 0}
    assert parity["logprobs"]["positions"] == 200
    assert parity["logprobs"]["largest_difference"] <= parity["logprobs"]["bound"]
    assert parity["logprobs"]["same_best_percent"] > 99
    assert json.loads((tiny_gguf / "parity.json").read_text(encoding="utf-8")) == parity


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_untied_grouped_and_padded_models_pass(untied: Path, tmp_path: Path, kind: str) -> None:
    config = GgufConfig.model_validate(
        {"model": untied, "out": tmp_path / "g", "type": kind, **FEW}
    )
    made = export_gguf(config)
    path = made.path / f"model-{kind}.gguf"
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert tensors["output.weight"].tensor_type.name.lower() == kind
    assert tensors["output_norm.weight"].tensor_type.name == "F32"
    assert made.figures["parity"]["ids"]["different"] == 0
    logprobs = made.figures["parity"]["logprobs"]
    assert logprobs["largest_difference"] < {"f32": 0.001, "f16": 0.05, "q8_0": 0.5}[kind]


def test_a_wrong_tensor_fails_the_proof(untied: Path, tmp_path: Path) -> None:
    config = GgufConfig.model_validate({"model": untied, "out": tmp_path / "g", **FEW})
    path = export_gguf(config).path / "model-f16.gguf"
    reader = gguf.GGUFReader(path, "r+")
    head = next(tensor for tensor in reader.tensors if tensor.name == "output.weight")
    head.data[:] = head.data[::-1].copy()
    reader.data.flush()
    with pytest.raises(ParityError, match="log-probabilities differ"):
        prove(config, path)


def test_wrong_scores_fail_the_proof(untied: Path, tmp_path: Path) -> None:
    config = GgufConfig.model_validate({"model": untied, "out": tmp_path / "g", **FEW})
    path = export_gguf(config).path / "model-f16.gguf"
    reader = gguf.GGUFReader(path, "r+")
    field = reader.fields["tokenizer.ggml.scores"]
    for place in field.data:
        field.parts[place][:] = np.float32(0)
    reader.data.flush()
    with pytest.raises(ParityError, match=r"llama\.cpp reads"):
        prove(config, path)


def test_what_cannot_be_written_is_refused(untied: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(untied, other)
    settings = json.loads((other / "config.json").read_text(encoding="utf-8"))
    changed = {**settings, "architectures": ["GPT2LMHeadModel"]}
    (other / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    with pytest.raises(InputError, match="GPT2LMHeadModel cannot be written"):
        export_gguf(GgufConfig(model=other, out=tmp_path / "g"))
    rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2}
    for changed, fault in (
        (rope, "rope type 'dynamic'"),
        ({**rope, "rope_type": "yarn", "beta_fast": 16}, "rope parameter 'beta_fast'"),
    ):
        scaled = {**settings, "rope_parameters": changed}
        (other / "config.json").write_text(json.dumps(scaled), encoding="utf-8")
        with pytest.raises(InputError, match=fault):
            export_gguf(GgufConfig(model=other, out=tmp_path / "g"))
    (untied / "tokenizer.model").unlink()
    with pytest.raises(InputError, match=r"no tokenizer\.model"):
        export_gguf(GgufConfig(model=untied, out=tmp_path / "g"))
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_a_stretched_context_is_read_alike(untied: Path, tmp_path: Path, kind: RopeType) -> None:
    path = untied / "config.json"
    plain = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(with_longer_context(plain, 256, kind)), encoding="utf-8")
    config = GgufConfig.model_validate(
        {"model": untied, "out": tmp_path / "g", "type": "f32", **FEW, "num_positions": 300}
    )
    made = export_gguf(config)  # rows of 256 tokens, trained were 64
    assert made.figures["parity"]["logprobs"]["largest_difference"] < 0.001
    file = made.path / "model-f32.gguf"
    fields = gguf.GGUFReader(file).fields
    value = {name: field.contents() for name, field in fields.items()}
    assert value["llama.rope.scaling.type"] == kind
    assert value["llama.rope.scaling.factor"] == 4.0
    assert value["llama.rope.scaling.original_context_length"] == 64
    assert value["llama.context_length"] == 256
    # The proof sees the scaling: the same file beside the unscaled model fails.
    path.write_text(json.dumps(plain | {"max_position_embeddings": 256}), encoding="utf-8")
    with pytest.raises(ParityError, match="log-probabilities differ"):
        prove(config, file)
