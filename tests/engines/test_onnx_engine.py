"""The ONNX engine beside transformers' on the same weights, and damaged files before it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.engines import EngineSpec, Sampling, Token, engine_for
from dilmac.engines.interface import READING
from dilmac.engines.transformers import Transformers
from dilmac.tokenizer import copy_tokenizer

onnx = pytest.importorskip("onnx", reason="needs the extra `onnx`")
pytest.importorskip("onnxruntime_genai", reason="needs the extra `onnx`")

WARM = Sampling(max_tokens=30, temperature=1.5, top_k=50, top_p=0.9)
GREEDY = Sampling(max_tokens=8, temperature=0)
PROMPT = [1, *range(300, 340)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, blank_model: Path) -> Path:
    from dilmac.export.onnx_graph import build_graph

    made = tmp_path_factory.mktemp("onnx") / "onnx"
    made.mkdir()
    build_graph(blank_model, made, "fp32")
    copy_tokenizer(blank_model, made)
    for name in ("config.json", "generation_config.json"):
        if (blank_model / name).is_file():
            shutil.copyfile(blank_model / name, made / name)
    return made


@pytest.fixture(scope="module")
def backend(folder: Path):
    from dilmac.engines.onnx import Onnx

    return Onnx(EngineSpec(kind="onnx", model=folder))


@pytest.fixture(scope="module")
def reference(blank_model: Path) -> Transformers:
    return Transformers(EngineSpec(kind="transformers", model=blank_model))


def test_it_answers_as_transformers_does(backend, reference: Transformers) -> None:
    assert backend.facts() == reference.facts()
    for sampling in (GREEDY, WARM, WARM.model_copy(update={"seed": 7})):
        mine, theirs = (list(one.generate(PROMPT, sampling, bool)) for one in (backend, reference))
        assert [getattr(item, "id", item) for item in mine] == [
            getattr(item, "id", item) for item in theirs
        ]
        for ours, expected in zip(mine[:-1], theirs[:-1], strict=True):
            assert ours.logprob == pytest.approx(expected.logprob, abs=1e-4)
    stop = next(item.id for item in backend.generate(PROMPT, GREEDY, bool))
    stopping = GREEDY.model_copy(update={"stop_ids": (stop,)})
    assert list(backend.generate(PROMPT, stopping, bool)) == ["stop"]


def test_rows_that_are_silenced_are_never_drawn(backend, folder: Path, tmp_path: Path) -> None:
    from dilmac.engines.onnx import Onnx

    first = next(item.id for item in backend.generate(PROMPT, GREEDY, bool))
    silent = Path(shutil.copytree(folder, tmp_path / "silent"))
    told = json.dumps({"suppress_tokens": [first]})
    (silent / "generation_config.json").write_text(told, encoding="utf-8")
    drawn = next(iter(Onnx(EngineSpec(kind="onnx", model=silent)).generate(PROMPT, GREEDY, bool)))
    assert drawn.id == backend.score([*PROMPT, 5], 2)[-1][1][0] != first


def test_given_tokens_are_scored_as_transformers_scores_them(
    backend, reference: Transformers
) -> None:
    rows = [(PROMPT, 1), (PROMPT[:9], 4)]
    for mine, theirs in zip(backend.logprobs(rows), reference.logprobs(rows), strict=True):
        assert [p for p, _ in mine] == pytest.approx([p for p, _ in theirs], abs=1e-4)
        assert [best for _, best in mine] == [best for _, best in theirs]
    for mine, theirs in zip(backend.score(PROMPT, 8), reference.score(PROMPT, 8), strict=True):
        assert [p for _, p in mine] == pytest.approx([p for _, p in theirs], abs=1e-4)


def test_a_prompt_is_read_in_parts_and_cancelled_between_them(
    backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(backend.generate(PROMPT, GREEDY, bool))
    monkeypatch.setattr(backend, "prompt_batch", 16)
    items = list(backend.generate(PROMPT, GREEDY, bool))
    assert items[:2] == [READING, READING]
    assert [item.id for item in items[2:-1]] == [item.id for item in whole[:-1]]
    for answers, expected in (([False, True], [READING, "cancelled"]), ([True], ["cancelled"])):
        asked = iter(answers)
        assert list(backend.generate(PROMPT, GREEDY, lambda it=asked: next(it))) == expected
    asked = iter([False, False, False, True])
    found = list(backend.generate(PROMPT, GREEDY, lambda: next(asked)))
    assert isinstance(found[2], Token) and found[3:] == ["cancelled"]


def test_room_that_is_not_yet_written_is_not_read(backend, monkeypatch: pytest.MonkeyPatch) -> None:
    from dilmac.engines.onnx_cache import Passage

    whole = list(backend.generate(PROMPT, GREEDY, bool))
    monkeypatch.setattr(np, "empty", lambda shape, kind: np.full(shape, np.nan, kind))
    monkeypatch.setattr(backend, "prompt_batch", 16)
    found = [item for item in backend.generate(PROMPT, GREEDY, bool) if item != READING]
    for ours, expected in zip(found[:-1], whole[:-1], strict=True):
        assert ours.id == expected.id
        assert ours.logprob == pytest.approx(expected.logprob, abs=1e-4)
    passage = Passage(backend.graph, 4)
    passage.read([1, 5, 6])
    with pytest.raises(ValueError, match="5 tokens in room for 4"):
        passage.read([7, 8])


def test_room_grows_with_the_text_and_nothing_is_lost(
    backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dilmac.engines import onnx_cache

    ids = [1, *range(300, 399)]
    whole = onnx_cache.Passage(backend.graph, len(ids)).read(ids).copy()
    monkeypatch.setattr(onnx_cache, "LEAST_ROOM", 4)
    passage = onnx_cache.Passage(backend.graph, len(ids))
    rooms = set()
    for place, row in enumerate(ids):
        found = passage.read([row])[0]
        np.testing.assert_allclose(found, whole[place], atol=1e-4)
        rooms.add(passage._mask.shape[1])
    assert rooms == {4, 10, 22, 46, 94, 100}


def test_it_loads_no_torch(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dilmac.engines import EngineSpec;"
        "from dilmac.engines.worker import load;"
        f"load(EngineSpec(kind='onnx', model=Path({str(folder)!r})));"
        "assert not {'torch', 'transformers'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_graph_that_copies_its_cache_is_refused(folder: Path, tmp_path: Path) -> None:
    from dilmac.engines.onnx import Onnx

    other = Path(shutil.copytree(folder, tmp_path / "other"))
    model = onnx.load_model(other / "model.onnx", load_external_data=False)
    for node in model.graph.node:
        node.output[:] = ["own" if name == "present.0.key" else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Identity", ["own"], ["present.0.key"]))
    (other / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"'past_key_values\.0\.key' is no cache"):
        Onnx(EngineSpec(kind="onnx", model=other))


@pytest.mark.parametrize("prompt", [[], [5] * 200, [1, 5000]])
def test_what_cannot_be_answered_is_refused(backend, prompt: list[int]) -> None:
    with pytest.raises(InputError, match=r"tokens in a context|outside the vocabulary"):
        list(backend.generate(prompt, GREEDY, bool))


def test_a_folder_with_a_graph_is_for_this_engine(folder: Path) -> None:
    assert engine_for(folder) == EngineSpec(kind="onnx", model=folder)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data"])
@pytest.mark.parametrize("left", [0.0, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(
    folder: Path, tmp_path: Path, name: str, left: float
) -> None:
    from dilmac.engines.onnx import Onnx

    damaged = Path(shutil.copytree(folder, tmp_path / "cut"))
    data = (folder / name).read_bytes()
    (damaged / name).write_bytes(data[: int(left * len(data))])
    with pytest.raises(InputError, match="cut off"):
        Onnx(EngineSpec(kind="onnx", model=damaged))


def test_missing_files_and_other_graphs_are_refused(folder: Path, tmp_path: Path) -> None:
    from dilmac.engines.onnx import Onnx

    def refused(fault: str, where: Path) -> None:
        with pytest.raises(InputError, match=fault):
            Onnx(EngineSpec(kind="onnx", model=where))

    refused(r"no model\.onnx", tmp_path)
    for name, fault in (("model.onnx.data", "is missing"), ("config.json", "is missing")):
        damaged = Path(shutil.copytree(folder, tmp_path / name))
        (damaged / name).unlink()
        refused(fault, damaged)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(folder / "config.json", other / "config.json")
    onnx.save(tiny_graph("weights.bin"), other / "model.onnx")
    (other / "weights.bin").write_bytes(bytes(16))
    refused("other inputs or outputs", other)
    damaged = Path(shutil.copytree(folder, tmp_path / "rows"))
    said = json.loads((damaged / "config.json").read_text(encoding="utf-8"))
    said["vocab_size"] += 1
    (damaged / "config.json").write_text(json.dumps(said), encoding="utf-8")
    refused(r"the graph has 1024 rows, config\.json 1025", damaged)


def tiny_graph(location: str, offset: int = 0, length: int = 16):
    """Adds four numbers, which lie in another file."""
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = onnx.numpy_helper.from_array(np.zeros(4, np.float32), "weights")
    weights.ClearField("raw_data")
    weights.data_location = kinds.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        weights.external_data.add(key=key, value=str(value))
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "weights"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", kinds.FLOAT, [4])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("location", "fault"),
    [
        ("../secret.bin", "outside the folder"),
        ("sub/../../secret.bin", "outside the folder"),
        ("link.bin", "outside the folder"),
        ("", "outside the folder"),
        ("a\0b", "outside the folder"),
        ("a" * 5000, "outside the folder"),
        ("absolute", "outside the folder"),
        ("*/_ORT_MEM_ADDR_/*", "is missing"),
        ("short.bin", "cut off"),
    ],
)
def test_data_is_read_from_the_folder_alone(tmp_path: Path, location: str, fault: str) -> None:
    from dilmac.engines.onnx_file import require_sound_onnx

    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    model = tmp_path / "model"
    model.mkdir()
    (model / "link.bin").symlink_to(secret)
    (model / "short.bin").write_bytes(bytes(8))
    onnx.save(tiny_graph(str(secret) if location == "absolute" else location), model / "model.onnx")
    with pytest.raises(InputError, match=fault):
        require_sound_onnx(model)


def test_data_of_a_tensor_in_a_subgraph_is_looked_at_too(tmp_path: Path) -> None:
    from dilmac.engines.onnx_file import require_sound_onnx

    inner = tiny_graph("../secret.bin").graph
    node = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    graph = onnx.helper.make_graph([node], "outer", [], [])
    (tmp_path / "model").mkdir()
    onnx.save(onnx.helper.make_model(graph), tmp_path / "model" / "model.onnx")
    with pytest.raises(InputError, match="outside the folder"):
        require_sound_onnx(tmp_path / "model")


@example(place=62, bit=7, cut=False)  # a file name that is no UTF-8
@given(place=st.integers(0, 400), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_damage_to_the_graph_is_more_than_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int, cut: bool
) -> None:
    from dilmac.engines.onnx_file import require_sound_onnx

    folder = tmp_path_factory.mktemp("flipped")
    data = bytearray(tiny_graph("weights.bin").SerializeToString())
    (folder / "weights.bin").write_bytes(bytes(16))
    place %= len(data)
    data[place] ^= 1 << bit
    (folder / "model.onnx").write_bytes(bytes(data[:place] if cut else data))
    try:
        assert require_sound_onnx(folder) == folder / "model.onnx"
    except InputError as error:
        assert error.found
