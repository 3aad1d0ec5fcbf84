"""Conversion: the model folder computes what the source computed, and nothing is passed over."""

import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from origins import LitGPT, MetaLlama, NanoGPT
from safetensors.torch import save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from dilmac.core import Artifact, ConfigError, InputError
from dilmac.models import load_model, preset_named
from dilmac.tokenizer import Tokenizer
from dilmac.training import ConvertConfig, convert_weights

ROWS = 1056  # more than the tokenizer's 1,024, as padded vocabularies have
Convert = Callable[..., Artifact]
IDS = torch.arange(3, 43).unsqueeze(0) * 7 % 1000


def llama(**changes: Any) -> LlamaConfig:
    shape = {
        "vocab_size": ROWS,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    }
    return LlamaConfig(**{**shape, **changes})


@pytest.fixture
def convert(tmp_path: Path, sample_tokenizer: Path) -> Convert:
    def run(state: Any, config: LlamaConfig | str | None, **settings: Any) -> Artifact:
        weights = tmp_path / "weights.pt"
        torch.save(state, weights)
        if isinstance(config, LlamaConfig):
            path = tmp_path / "config.json"
            values = {"architectures": ["LlamaForCausalLM"], **config.to_dict()}
            path.write_text(json.dumps(values), encoding="utf-8")
            config = str(path)
        given = {"weights": weights, "config": config, "tokenizer": sample_tokenizer}
        return convert_weights(
            ConvertConfig.model_validate({**given, "out": tmp_path / "hf", **settings}), force=True
        )

    return run


def same_logits(folder: Path, source: nn.Module) -> None:
    with torch.inference_mode():
        ours = load_model(folder).eval()(input_ids=IDS, use_cache=False).logits
        theirs = source(IDS)
    theirs = theirs if isinstance(theirs, torch.Tensor) else theirs.logits
    assert theirs.std() > 0.05  # no comparison of nothing with nothing
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def conversion(made: Artifact) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((made.path / "conversion.json").read_text("utf-8"))
    return report


@pytest.mark.parametrize("fused", ["attn", "qkv"])
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_litgpt_computes_the_same(convert: Convert, fused: str, groups: int) -> None:
    torch.manual_seed(0)
    source = LitGPT(ROWS, fused, groups=groups).eval()
    made = convert({"model": source.state_dict()}, llama(num_key_value_heads=groups))
    same_logits(made.path, source)
    report = conversion(made)
    assert report["layout"] == "litgpt" and report["nested_under"] == ["model"]
    assert made.figures["parameters"] == sum(p.numel() for p in source.parameters())


def test_metas_llama_computes_the_same(convert: Convert) -> None:
    torch.manual_seed(0)
    source = MetaLlama(ROWS).eval()
    made = convert(source.state_dict(), llama())
    same_logits(made.path, source)
    assert conversion(made)["left_out"] == {"freqs_cis": "computed from the shape"}


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpt_computes_the_same_with_its_own_shape(convert: Convert, bias: bool) -> None:
    torch.manual_seed(0)
    source = NanoGPT(ROWS, bias=bias).eval()
    state = {f"_orig_mod.{name}": tensor for name, tensor in source.state_dict().items()}
    made = convert({"model": state, "model_args": source.shape, "iter_num": 3}, None)
    same_logits(made.path, source)
    report = conversion(made)
    assert report["layout"] == "nanogpt" and report["wrappers"] == ["_orig_mod"]
    assert set(report["left_out"].values()) == {"computed from the shape"}
    assert bool(report["filled_with_zeros"]) is not bias
    assert "both are equal" in report["tied"]
    assert made.figures["tied"]
    assert made.figures["parameters"] == sum(p.numel() for p in source.parameters()) + sum(
        load_model(made.path).state_dict()[name].numel() for name in report["filled_with_zeros"]
    )


WRAPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "module": lambda state: {f"module.{name}": t for name, t in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": t for name, t in state.items()},
    "both": lambda state: {f"module._orig_mod.{name}": t for name, t in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.{n}": t for n, t in state.items()}},
    "nested": lambda state: {"model_state_dict": state, "epoch": 3, "best": 1.5},
    "twice": lambda state: {"model": {"state_dict": state}},
    "inner": lambda state: {n.removeprefix("model."): t for n, t in state.items()},
    "compiled-layers": lambda state: {
        n.replace("self_attn", "_orig_mod.self_attn"): t for n, t in state.items()
    },
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("tied", [True, False])
def test_wrapped_names_are_found(convert: Convert, wrap: str, tied: bool) -> None:
    torch.manual_seed(0)
    source = LlamaForCausalLM(llama(tie_word_embeddings=tied, initializer_range=0.2)).eval()
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    if tied:
        del state["lm_head.weight"]
    made = convert(WRAPS[wrap](state), llama(tie_word_embeddings=tied))
    same_logits(made.path, source)
    assert made.figures["missing"] == made.figures["unexpected"] == 0
    assert made.figures["parameters"] == source.num_parameters()
    assert bool(conversion(made)["tied"]) == tied


def test_a_preset_takes_its_rows_from_the_weights(convert: Convert) -> None:
    torch.manual_seed(0)
    preset = preset_named("tiny").model_copy(update={"initializer_range": 0.2})
    source = LlamaForCausalLM(preset.shape_config(ROWS))
    made = convert(source.state_dict(), "tiny")
    same_logits(made.path, source.eval())
    assert load_model(made.path).config.eos_token_id


def test_a_short_config_without_ids_or_newer_keys_will_do(
    convert: Convert, tmp_path: Path, sample_tokenizer: Path
) -> None:
    source = LlamaForCausalLM(llama(num_key_value_heads=4, tie_word_embeddings=True)).eval()
    path = tmp_path / "short.json"
    shape = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "vocab_size": ROWS,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
    }
    path.write_text(json.dumps(shape), encoding="utf-8")
    made = convert(source.state_dict(), str(path))
    same_logits(made.path, source)
    config = load_model(made.path).config
    assert Tokenizer(sample_tokenizer).document_start_id in config.eos_token_id
    assert config.bos_token_id is None and made.figures["dtype"] == "float32"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no config that transformers reads"),
        ("[]", "no config of a known architecture"),
        ('{"hidden_size": 64}', "names no model_type"),
        ('{"model_type": "lama"}', "no config that transformers reads"),
        ('{"model_type": "llama", "auto_map": {}}', "no config of a known architecture"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "no config that transformers reads"),
        ('{"model_type": "vit"}', "no causal language model of type vit"),
        ('{"model_type": "llama", "num_attention_heads": 0}', "(no config|no causal language)"),
    ],
)
def test_a_config_that_is_none_is_refused(
    convert: Convert, tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "c.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=fault):
        convert({"a": torch.ones(1)}, str(path))


def test_types_are_kept_and_mixed_ones_lose_nothing(convert: Convert, tmp_path: Path) -> None:
    source = LlamaForCausalLM(llama()).to(torch.bfloat16)
    assert convert(source.state_dict(), llama()).figures["dtype"] == "bfloat16"
    mixed = {n: t.float() if "norm" in n else t for n, t in source.state_dict().items()}
    assert convert(mixed, llama()).figures["dtype"] == "float32"


def test_safetensors_are_read(tmp_path: Path, convert: Convert) -> None:
    source = LlamaForCausalLM(llama(initializer_range=0.2)).eval()
    folder = tmp_path / "shards"
    folder.mkdir()
    names = sorted(source.state_dict())
    for number, part in enumerate((names[:5], names[5:])):
        tensors = {name: source.state_dict()[name].clone() for name in part}
        save_file(tensors, folder / f"model-{number}.safetensors")
    same_logits(convert({}, llama(), weights=folder).path, source)


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_fault_is_named_and_refused_unless_it_is_allowed(
    convert: Convert, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    state = dict(LlamaForCausalLM(llama()).state_dict())
    names = st.sampled_from(sorted(n for n in state if n != "model.embed_tokens.weight"))
    lost, cut = data.draw(st.sets(names, max_size=3)), data.draw(st.sets(names, max_size=3))
    more = data.draw(st.sets(st.sampled_from(["a.weight", "model.layers.9.x", "q"]), max_size=2))
    cut -= lost
    for name in lost:
        del state[name]
    for name in cut:
        state[name] = state[name][1:].clone()
    state |= {name: torch.ones(2) for name in more}
    faults = {"missing": lost, "unexpected": more, "mis_shaped": cut}
    present = [kind for kind, found in faults.items() if found]
    for kind in present:
        with pytest.raises(InputError, match="do not fit the config") as caught:
            convert(state, llama(), allow=tuple(set(faults) - {kind}))
        assert f"{len(faults[kind])} {kind.replace('_', '-')}" in caught.value.found
        said = "".join(capfd.readouterr().err.split())
        assert all(f"{kind}{name}" in said for name in faults[kind])
    made = convert(state, llama(), allow=",".join(faults))
    report = conversion(made)
    assert {kind: set(report[kind]) for kind in faults} == faults
    saved = load_model(made.path).state_dict()
    kept = set(state) - cut - more
    assert all(torch.equal(saved[name], state[name]) for name in kept)


def test_the_config_at_fault_is_named(convert: Convert) -> None:
    state = LlamaForCausalLM(llama()).state_dict()
    with pytest.raises(InputError, match=r'set "vocab_size": 1056 in the config \(it says 1088\)'):
        convert(state, llama(vocab_size=1088))
    del state["lm_head.weight"]
    with pytest.raises(InputError, match='"tie_word_embeddings": true'):
        convert(state, llama())
    with pytest.raises(InputError, match=r"ties lm_head\.weight .* but the weights' two differ"):
        convert(LlamaForCausalLM(llama()).state_dict(), llama(tie_word_embeddings=True))
    with pytest.raises(InputError, match="the model has 512 rows, the tokenizer 1024"):
        convert(state, llama(vocab_size=512))
    with pytest.raises(InputError, match="weights are a gpt2 in the layout of nanogpt"):
        convert(NanoGPT(ROWS, bias=True).state_dict(), llama())
    with pytest.raises(InputError, match="do not tell their shape"):
        convert(NanoGPT(ROWS, bias=True).state_dict(), None)


class Evil:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("form", ["torch", "old", "pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(
    convert: Convert, tmp_path: Path, form: str
) -> None:
    path, marker = tmp_path / "evil.pt", tmp_path / "ran"
    state = {"model.norm.weight": torch.ones(4), "x": Evil(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"x": Evil(marker)}, protocol=2))
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(InputError, match="code is not run") as caught:
        convert({}, llama(), weights=path)
    assert "mkdir" in caught.value.found and "state_dict()" in str(caught.value.mend)
    assert not marker.exists() and not (tmp_path / "hf").exists()


def test_a_whole_pickled_model_is_refused(convert: Convert) -> None:
    with pytest.raises(InputError, match="code is not run"):
        convert(nn.Linear(2, 2), llama())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no readable weights"),
        (b"not a pickle", "(no readable weights|code is not run)"),
        (b"PK\x03\x04 cut", "no readable weights"),
    ],
)
def test_damaged_files_are_refused(
    convert: Convert, tmp_path: Path, content: bytes, fault: str
) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=fault):
        convert({}, llama(), weights=path)


@pytest.mark.parametrize("state", [{}, {"epoch": 3}, [torch.ones(2)], {"model": {"lr": 0.1}}])
def test_what_holds_no_state_dict_is_refused(convert: Convert, state: Any) -> None:
    with pytest.raises(InputError, match="holds no state dict"):
        convert(state, llama())


def test_quantized_and_broken_weights_are_refused(convert: Convert) -> None:
    state = LlamaForCausalLM(llama()).state_dict()
    with pytest.raises(InputError, match=r"holds torch\.int8"):
        convert({**state, "model.norm.weight": torch.ones(64, dtype=torch.int8)}, llama())
    with pytest.raises(Exception, match=r"model\.norm\.weight holds NaN"):
        convert({**state, "model.norm.weight": torch.full((64,), torch.nan)}, llama())


def test_settings_that_cannot_be_are_refused(convert: Convert) -> None:
    with pytest.raises(InputError, match=r"no such config\.json, and no preset"):
        convert({}, "nowhere")
    values = {"weights": "w", "tokenizer": "t", "out": "o"}
    with pytest.raises(ConfigError, match="no such fault as 'all'"):
        ConvertConfig.from_mapping({**values, "allow": ["missing,all"]}, where="test")
