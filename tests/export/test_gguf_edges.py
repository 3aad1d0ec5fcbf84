"""GGUF of unusual models: what passes the proof, what is refused, and what is left on disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import xllamacpp
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import DilmacError, InputError, ParityError, open_artifact
from dilmac.export import GgufConfig, export_gguf
from dilmac.export.fuzz import fuzz_strings
from dilmac.export.parity import Agreement
from dilmac.export.tensors import interleaved, storage_of
from dilmac.tokenizer import copy_tokenizer

Make = Callable[..., Path]
FEW = {"num_lines": 20, "num_fuzz": 50, "num_positions": 40}
SHAPE = {
    "vocab_size": 1056,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "initializer_range": 0.1,
}


@pytest.fixture
def make(tmp_path: Path, sample_tokenizer: Path) -> Make:
    """A random Llama of a shape of its own, with the sample tokenizer beside it."""

    def made(max_shard_size: str = "1GB", **shape: Any) -> Path:
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**{**SHAPE, **shape}))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_()
        folder = tmp_path / "model"
        model.save_pretrained(folder, max_shard_size=max_shard_size)
        copy_tokenizer(sample_tokenizer, folder)
        return folder

    return made


def config_of(model: Path, **changes: Any) -> GgufConfig:
    return GgufConfig.model_validate(
        {"model": model, "out": model.parent / "out", **FEW, **changes}
    )


@pytest.mark.parametrize(
    "shape",
    [
        {"attention_bias": True, "mlp_bias": True},
        {"tie_word_embeddings": True, "head_dim": 16},
        {"num_key_value_heads": 1},
        {"max_shard_size": "100KB"},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    ],
    ids=["biases", "tied", "one-kv-head", "shards", "theta"],
)
def test_every_llama_shape_passes_in_f32(make: Make, shape: dict[str, Any]) -> None:
    figures = export_gguf(config_of(make(**shape), type="f32")).figures
    assert figures["parity"]["logprobs"]["largest_difference"] < 0.0005
    assert figures["parity"]["logprobs"]["same_best_percent"] == 100


def test_half_precision_weights_keep_their_values(make: Make) -> None:
    folder = make()
    LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    figures = export_gguf(config_of(folder, type="f32")).figures
    assert figures["parity"]["logprobs"]["largest_difference"] < 0.0005


def test_rows_beyond_the_tokenizer_are_named_and_unused(make: Make) -> None:
    made = export_gguf(config_of(make()))
    fields = gguf.GGUFReader(made.path / "model-f16.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == 1056 and tokens[1024:] == [f"[unused{r}]" for r in range(1024, 1056)]
    assert set(types[1024:]) == {gguf.TokenType.UNUSED}


def test_xllamacpp_opens_the_file_by_itself(tiny_gguf: Path) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(tiny_gguf / "model-f16.gguf")
    parameters.n_ctx, parameters.warmup, parameters.verbosity = 64, False, 0
    answer = xllamacpp.Server(parameters).handle_completions({"prompt": "Bir", "n_predict": 3})
    assert answer["usage"]["completion_tokens"] == 3


def test_the_same_command_again_does_nothing_and_repeats_its_bytes(make: Make) -> None:
    config = config_of(make())
    first = export_gguf(config)
    written = (first.path / "model-f16.gguf").stat().st_mtime_ns
    assert export_gguf(config).manifest == first.manifest
    assert (first.path / "model-f16.gguf").stat().st_mtime_ns == written
    assert export_gguf(config, force=True).manifest.digest == first.manifest.digest


def test_real_text_with_awkward_characters_passes(make: Make, tmp_path: Path) -> None:
    text = tmp_path / "odd.jsonl"
    lines = ["a \u2581 b \0 c", "<|im_end|>\u2581<s>", "\ufeff👩‍👩‍👧 e\u0301"]
    text.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines), encoding="utf-8")
    parity = export_gguf(config_of(make(), text=(str(text),))).figures["parity"]
    assert parity["ids"] == {"lines": 3, "fuzz_strings": 50, "different": 0, "lossy": 0}
    assert parity["logprobs"]["positions"] > 10


def test_no_text_for_the_proof_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text('{"text": "\\n"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no text for the parity proof"):
        export_gguf(config_of(make(), text=(str(tmp_path / "empty.jsonl"),)))
    assert not (tmp_path / "out").exists()


def test_a_failed_proof_leaves_no_artifact(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault put into the writer itself: rotary rows in transformers' order."""
    monkeypatch.setattr("dilmac.export.gguf.interleaved", lambda _target, tensor, _settings: tensor)
    with pytest.raises(ParityError, match="log-probabilities differ"):
        export_gguf(config_of(make(), type="f32"))
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    export_gguf(config_of(tmp_path / "model", type="f32"))
    assert open_artifact(tmp_path / "out", "gguf").figures["file"] == "model-f32.gguf"


@pytest.mark.parametrize("value", [float("nan"), 1e6], ids=["nan", "too-large-for-f16"])
def test_logits_that_are_not_finite_fail_the_proof(
    make: Make, tmp_path: Path, value: float
) -> None:
    folder = make()
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0] = value
    model.save_pretrained(folder)
    with pytest.raises(DilmacError, match="not finite"):
        export_gguf(config_of(folder))
    assert not (tmp_path / "out").exists()


def test_large_weights_are_measured_against_their_own_rounding(make: Make, tmp_path: Path) -> None:
    """Large logits: f16 moves them by more than the bound, in every runtime."""
    folder = make()
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_output_embeddings().weight *= 24
    model.save_pretrained(folder)
    scores = export_gguf(config_of(folder)).figures["parity"]["logprobs"]
    assert 0.05 < scores["largest_difference"] <= scores["bound"] <= 0.5
    assert scores["bound"] == pytest.approx(2 * scores["rounding_alone"], rel=1e-3)


def test_an_error_that_rounding_does_not_explain_fails(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file gets other weights than the model: the proof must not excuse that."""
    folder = make()
    monkeypatch.setattr("dilmac.export.gguf.interleaved", lambda _, tensor, __: tensor)
    with pytest.raises(ParityError, match="log-probabilities differ"):
        export_gguf(config_of(folder))
    assert not (tmp_path / "out").exists()


def test_a_difference_that_is_no_number_counts_as_the_largest() -> None:
    agreement = Agreement(bound=0.05)
    agreement.add(torch.tensor([-1.0, float("nan")]), [(0, -1.0), (1, -2.0)])
    assert agreement.largest == float("inf")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "dynamic", "factor": 2}}, "'dynamic'"),
        ({"architectures": None}, r"\(none\) cannot be written"),
        ({"vocab_size": 1000}, "the model has 1000 rows, the tokenizer 1024"),
    ],
    ids=["activation", "old-rope", "no-architecture", "small-vocabulary"],
)
def test_a_config_that_llamacpp_would_misread_is_refused(
    make: Make, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    folder = make()
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**settings, **changes}), encoding="utf-8")
    with pytest.raises(InputError, match=fault):
        export_gguf(config_of(folder))
    assert not (tmp_path / "out").exists()


def test_a_tensor_without_a_place_is_named(make: Make) -> None:
    from safetensors.torch import load_file, save_file

    folder = make()
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "model.extra.weight": torch.zeros(2)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"'model\.extra\.weight' has no place"):
        export_gguf(config_of(folder))


def test_a_model_folder_that_is_an_export_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        export_gguf(GgufConfig(model=tiny_gguf, out=tmp_path / "out"))


def test_only_what_q8_0_can_cut_is_stored_as_q8_0() -> None:
    kinds = [storage_of(shape, "q8_0").name for shape in ((64,), (8, 64), (8, 48))]
    assert kinds == ["F32", "Q8_0", "F16"]


@given(heads=st.integers(1, 4), half=st.integers(1, 4), columns=st.integers(1, 3))
def test_interleaving_moves_rows_within_their_head(heads: int, half: int, columns: int) -> None:
    rows = heads * 2 * half
    tensor = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    settings = {"num_attention_heads": heads}
    moved = interleaved("blk.0.attn_q.weight", tensor, settings)
    bias = interleaved("blk.0.attn_q.bias", tensor[:, 0].copy(), settings)
    for head in range(heads):
        ours = tensor[head * 2 * half : (head + 1) * 2 * half]
        theirs = moved[head * 2 * half : (head + 1) * 2 * half]
        assert (theirs[0::2] == ours[:half]).all() and (theirs[1::2] == ours[half:]).all()
    assert (bias == moved[:, 0]).all()


def test_fuzz_strings_repeat_and_hold_what_breaks_tokenizers() -> None:
    strings = fuzz_strings(2000, seed=42)
    assert strings == fuzz_strings(2000, seed=42) != fuzz_strings(2000, seed=43)
    whole = "".join(strings)
    for part in ("<|im_start|>", "<0x41>", "漢", "\u0307", "🇹🇷", "\ufeff", "     ", "ğ"):
        assert part in whole
    assert all(text.encode() for text in strings)


def test_a_copied_export_still_opens(tiny_gguf: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_gguf, tmp_path / "şey deneme")
    assert open_artifact(tmp_path / "şey deneme", "gguf").figures["num_bytes"] > 0
