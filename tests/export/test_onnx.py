"""`export onnx`: what it writes computes what transformers computes, and opens without dilmaç."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import flips
from tiny_models import FEW, change_json, make_model
from transformers import AutoModelForCausalLM

from dilmac import cli
from dilmac.core import InputError, MissingDependencyError, ParityError
from dilmac.engines import EngineSpec
from dilmac.export import OnnxConfig, VerifyConfig, export_onnx, verify_export
from dilmac.export.onnx import require_buildable
from dilmac.export.onnx_graph import build_graph
from dilmac.models import require_model_folder
from dilmac.tokenizer import TOKENIZER_FILES, copy_tokenizer

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
genai = pytest.importorskip("onnxruntime_genai", reason="needs the extra `onnx`")

PROMPT = [1, 300, 301, 302, 303]
SOUND = {"fp32": 0.001, "int8": 0.5, "int4": 5.0}  # of random weights [nats]


def config_for(model: Path, out: Path, **changes: Any) -> OnnxConfig:
    return OnnxConfig.model_validate({"model": model, "out": out, **FEW, **changes})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, sample_tokenizer: Path) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "model"
    return make_model(folder, sample_tokenizer, "llama", tied=True, num_spare_rows=6)


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    return export_onnx(config_for(model, model.parent / "fp32")).path


def greedy_of_transformers(model: Path, num: int) -> list[int]:
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    prompt = torch.tensor([PROMPT])
    ids = loaded.generate(prompt, max_new_tokens=num, min_new_tokens=num, do_sample=False)
    return [int(row) for row in ids[0, len(PROMPT) :]]


def greedy_of_onnxruntime(folder: Path, num: int) -> list[int]:
    """As docs/export-onnx.md says it: the cache goes in and out, one token at a time."""
    import numpy as np

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    outputs = [one.name for one in session.get_outputs()]
    cache = {
        one.name: np.zeros((1, one.shape[1], 0, 32), np.float32)
        for one in session.get_inputs()
        if one.name.startswith("past_key_values.")
    }
    ids, found = [*PROMPT], []
    for num_read in range(len(PROMPT), len(PROMPT) + num):
        feed = {
            "input_ids": np.array([ids]),
            "attention_mask": np.ones((1, num_read), np.int64),
            **cache,
        }
        answer = dict(zip(outputs, session.run(outputs, feed), strict=True))
        cache = {name: answer[name.replace("past_key_values", "present")] for name in cache}
        ids = [int(answer["logits"][0, -1].argmax())]
        found += ids
    return found


def greedy_of_genai(folder: Path, num: int) -> list[int]:
    loaded = genai.Model(str(folder))
    params = genai.GeneratorParams(loaded)
    length = len(PROMPT) + num
    params.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = genai.Generator(loaded, params)
    generator.append_tokens(PROMPT)
    while not generator.is_done():
        generator.generate_next_token()
    return [int(row) for row in generator.get_sequence(0)][len(PROMPT) :]


def test_an_export_is_proved_and_whole(exported: Path, model: Path) -> None:
    manifest = json.loads((exported / "artifact.json").read_text(encoding="utf-8"))
    figures = manifest["figures"]
    assert figures["parity"]["logprobs"]["largest_difference"] < 1e-4
    assert figures["parity"]["ids"]["different"] == 0
    assert abs(figures["parity"]["loss"]["loss_percent"]) < 0.01
    assert "warning" not in figures["parity"]["loss"]
    assert 32 < figures["bits_per_weight"] < 80  # the graph is much of so small a model
    for name in ("tokenizer.json", "config.json", "tokenizer_config.json"):
        assert (exported / name).read_bytes() == (model / name).read_bytes()
    again = export_onnx(config_for(model, exported))
    assert again.manifest.run == manifest["run"]  # complete, so nothing was done


def test_the_graph_repeats_and_names_no_repository(exported: Path) -> None:
    import onnx

    graph = onnx.load(exported / "model.onnx", load_external_data=False)
    assert graph.producer_version == importlib.metadata.version("onnxruntime-genai")


def test_it_opens_without_dilmac_and_says_the_same(exported: Path, model: Path) -> None:
    expected = greedy_of_transformers(model, 24)
    assert greedy_of_onnxruntime(exported, 24) == expected
    assert greedy_of_genai(exported, 24) == expected


def built(model: Path, folder: Path, storage: str) -> Path:
    """The export without its proof."""
    folder.mkdir()
    build_graph(model, folder, storage)
    copy_tokenizer(model, folder)
    shutil.copyfile(model / "config.json", folder / "config.json")
    return folder


def difference(folder: Path, model: Path) -> float:
    """The largest one of a log-probability over a whole context [nats]."""
    from dilmac.engines.onnx import Onnx

    ids = [1, *range(300, 555)]
    source = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with torch.inference_mode():
        expected = source(torch.tensor([ids])).logits[0].log_softmax(-1)
    found = Onnx(EngineSpec(kind="onnx", model=folder)).score(ids, top=source.config.vocab_size)
    return max(
        abs(logprob - float(row[token]))
        for row, best in zip(expected, found, strict=False)
        for token, logprob in best
    )


def test_tied_int8_keeps_one_table_and_asks_no_hub(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    with monkeypatch.context() as offline:
        offline.setattr(socket.socket, "connect", refuse)
        offline.setattr(socket, "getaddrinfo", refuse)
        folders = {name: built(model, tmp_path / name, name) for name in ("int8", "int4")}
    sizes = {name: (folder / "model.onnx.data").stat().st_size for name, folder in folders.items()}
    table = 4 * json.loads((model / "config.json").read_text(encoding="utf-8"))["vocab_size"] * 64
    assert sizes["int4"] < sizes["int8"] < sizes["int4"] + table
    assert greedy_of_genai(folders["int8"], 8) == greedy_of_onnxruntime(folders["int8"], 8)
    for storage, folder in folders.items():
        assert 0 < difference(folder, model) < SOUND[storage]


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_scaled_positions_are_those_of_transformers(
    sample_tokenizer: Path, tmp_path: Path, rope: dict[str, Any]
) -> None:
    model = make_model(tmp_path / "model", sample_tokenizer, "qwen3")
    change_json(model / "config.json", rope_parameters={**rope, "rope_theta": 10000.0})
    require_buildable(model, require_model_folder(model))
    assert difference(built(model, tmp_path / "fp32", "fp32"), model) < 1e-4


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "config.json"])
def test_verify_finds_a_flipped_bit(exported: Path, model: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "export"))
    data = (folder / name).read_bytes()
    for _, new in flips(data, len(data), 1, seed=5):
        (folder / name).write_bytes(new)
        with pytest.raises(ParityError, match="other bytes than artifact"):
            verify_export(VerifyConfig(folder=folder, model=model))


@pytest.mark.parametrize(
    ("kind", "changes", "fault"),
    [
        ("qwen3_moe", {}, "Qwen3MoeForCausalLM cannot be written as ONNX"),
        ("mistral", {"sliding_window": 64}, "sliding_window 64"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window True"),
        (
            "llama",
            {"rope_parameters": {"rope_type": "dynamic", "factor": 2}},
            "rope type 'dynamic'",
        ),
    ],
)
def test_what_would_compute_something_else_is_refused(
    sample_tokenizer: Path, tmp_path: Path, kind: str, changes: dict[str, Any], fault: str
) -> None:
    folder = make_model(tmp_path / "model", sample_tokenizer, kind)
    change_json(folder / "config.json", **changes)
    with pytest.raises(InputError, match=fault):
        export_onnx(config_for(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_model_without_its_tokenizer_is_refused(model: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(model, tmp_path / "bare"))
    for name in TOKENIZER_FILES:
        (bare / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="tokenizer"):
        export_onnx(config_for(bare, tmp_path / "out"))


def test_a_missing_builder_is_said_with_its_mend(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime_genai", "onnxruntime_genai.models"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(MissingDependencyError) as caught:
        export_onnx(config_for(model, tmp_path / "out"))
    assert caught.value.mend == "pip install 'dilmac[onnx]'"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tied", "storage"),
    [("qwen3", False, "fp32"), ("qwen2", True, "fp32"), ("qwen3", True, "int4")],
)
def test_other_shapes_are_proved_and_verified_too(
    sample_tokenizer: Path, tmp_path: Path, kind: str, tied: bool, storage: str
) -> None:
    folder = make_model(tmp_path / "model", sample_tokenizer, kind, tied=tied)
    cli_args = ["--type", storage, "--num-lines", "20", "--num-fuzz", "40", "--num-positions", "60"]
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["export", "onnx", "--model", str(folder), "--out", str(tmp_path / "x"), *cli_args]
        )
    assert ended.value.code == 0
    figures = verify_export(VerifyConfig(folder=tmp_path / "x", model=folder))
    assert figures["same_source"] and figures["same_figures"]
    found = figures["parity"]["logprobs"]
    assert found["largest_difference"] < SOUND[storage]
    assert found["bound"] == (0.001 if storage == "fp32" else None)
