"""LoRA adapters as GGUF: proved over their base in llama.cpp, and refused where they are more."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from peft import LoraConfig, get_peft_model

from dilmac.core import ConfigError, DilmacError, InputError
from dilmac.engines import Engine, EngineSpec
from dilmac.export import AdapterConfig, export_adapter, verify_export
from dilmac.export.adapter import SETTINGS, WEIGHTS, read_lora
from dilmac.export.config import VerifyConfig
from dilmac.export.gguf import write_gguf
from dilmac.models import load_model, require_model_folder
from dilmac.serve import ChatConfig, chat
from export.tiny_models import FEW, change_json, make_model

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_adapter(model: Path, folder: Path, **settings: Any) -> Path:
    """An adapter whose every matrix counts."""
    torch.manual_seed(1)
    wanted = {"r": 4, "lora_alpha": 8, "target_modules": ALL} | settings
    adapted = get_peft_model(load_model(model), LoraConfig(**wanted))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder


@pytest.fixture(params=["llama", "qwen3"])
def base(request: pytest.FixtureRequest, tmp_path: Path, sample_tokenizer: Path) -> Path:
    return make_model(tmp_path / "base", sample_tokenizer, request.param)


@pytest.fixture
def llama(tmp_path: Path, sample_tokenizer: Path) -> Path:
    return make_model(tmp_path / "base", sample_tokenizer, "llama")


def config_of(base: Path, adapter: Path, **changes: Any) -> AdapterConfig:
    given = {"model": base, "adapter": adapter, "out": base.parent / "out", "type": "f32", **FEW}
    return AdapterConfig.model_validate(given | changes)


def test_base_and_adapter_in_llamacpp_are_what_peft_computes(base: Path) -> None:
    adapter = make_adapter(base, base.parent / "adapter")
    config = config_of(base, adapter)
    artifact = export_adapter(config)
    figures = artifact.figures
    assert figures["matrices"] == 2 * len(ALL)  # two layers
    assert figures["parity"]["logprobs"]["largest_difference"] < 0.001
    assert figures["parity"]["logits_changed_by"] > 0.1  # so the proof says something
    assert [path.name for path in artifact.path.glob("*.gguf")] == ["adapter-f32.gguf"]
    again = VerifyConfig(folder=artifact.path, model=base, adapter=adapter)
    assert verify_export(again)["same_figures"]
    with pytest.raises(InputError, match="--adapter: is missing"):
        verify_export(VerifyConfig(folder=artifact.path, model=base))


def test_one_talks_to_base_and_adapter(llama: Path, tmp_path: Path) -> None:
    adapter = make_adapter(llama, tmp_path / "adapter")
    exported = export_adapter(config_of(llama, adapter)).path
    write_gguf(llama, require_model_folder(llama), tmp_path / "base.gguf", "f32")
    said = {}
    for given in (None, exported, exported / "adapter-f32.gguf"):
        config = ChatConfig(
            model=tmp_path / "base.gguf", adapter=given, say="Merhaba!", temperature=0
        )
        said[given] = chat(config)["answer"]
    plain, *adapted = said.values()
    assert plain != adapted[0] == adapted[1]
    with pytest.raises(ConfigError, match="--adapter: transformers takes no adapter"):
        ChatConfig(model=llama, adapter=exported).engine_spec()
    with pytest.raises(InputError, match="no GGUF in it"):
        ChatConfig(model=tmp_path / "base.gguf", adapter=adapter).engine_spec()


@pytest.mark.parametrize("settings", [{"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}])
def test_other_scales_and_ranks_are_kept(llama: Path, settings: dict[str, Any]) -> None:
    adapter = make_adapter(llama, llama.parent / "adapter", **settings)
    scores = export_adapter(config_of(llama, adapter)).figures["parity"]["logprobs"]
    assert scores["largest_difference"] < 0.001


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"use_dora": True}, "this has DoRA"),
        ({"modules_to_save": ["embed_tokens"]}, "this has whole tables"),
        ({"trainable_token_indices": {"embed_tokens": [1]}}, "this has new rows"),
        ({"alpha_pattern": {"q_proj": 3}}, "this has an alpha of its own"),
        ({"bias": "all"}, "this has biases"),
        ({"peft_type": "IA3"}, "LoRA alone, this is IA3"),
        ({"r": "four"}, "rank 'four' and alpha 8"),
    ],
)
def test_what_llamacpp_does_not_add_is_refused(
    tmp_path: Path, settings: dict[str, Any], found: str
) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"not looked at")
    change_json(tmp_path / SETTINGS, peft_type="LORA", r=4, lora_alpha=8, **{"bias": "none"})
    change_json(tmp_path / SETTINGS, **settings)
    with pytest.raises(InputError, match=found):
        read_lora(tmp_path)


def test_no_adapter_is_said_with_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter_config\.json in it"):
        read_lora(tmp_path)


def test_an_adapter_that_changes_nothing_is_no_proof(llama: Path) -> None:
    folder = llama.parent / "adapter"
    get_peft_model(load_model(llama), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(
        str(folder)
    )
    with pytest.raises(DilmacError, match="changes nothing"):
        export_adapter(config_of(llama, folder))
    assert not (llama.parent / "out").exists()


def test_a_head_of_its_own_is_laid_over_too(llama: Path) -> None:
    adapter = make_adapter(llama, llama.parent / "adapter", target_modules=["lm_head", "q_proj"])
    figures = export_adapter(config_of(llama, adapter)).figures
    assert figures["parity"]["logprobs"]["largest_difference"] < 0.001


def test_another_models_adapter_is_refused(llama: Path, sample_tokenizer: Path) -> None:
    other = make_model(llama.parent / "other", sample_tokenizer, "llama", hidden_size=96)
    adapter = make_adapter(other, llama.parent / "adapter")
    with pytest.raises(InputError, match="does not fit the base"):
        export_adapter(config_of(llama, adapter))


def test_the_engine_refuses_what_is_no_adapter_of_its_model(
    llama: Path, sample_tokenizer: Path
) -> None:
    file = llama.parent / "base.gguf"
    write_gguf(llama, require_model_folder(llama), file, "f32")
    with pytest.raises(DilmacError, match="is no LoRA adapter"):
        Engine(EngineSpec(kind="llamacpp", model=file, adapter=file))
    foreign = llama.parent / "foreign.gguf"
    writer = gguf.GGUFWriter(foreign, "qwen3")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(DilmacError, match="is an adapter of qwen3, the model is llama"):
        Engine(EngineSpec(kind="llamacpp", model=file, adapter=foreign))
