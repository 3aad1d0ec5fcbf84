"""Damaged models: each is refused with a reason before an engine sees it, or proved unharmed.

A flipped bit may hit what no check can know (a letter of a description, the last digit of a
number): such a file must open with every tensor's name, shape and bytes as they were. That the file
is not the one that was made is told by the hash in `artifact.json` (`dilmac export verify`).
"""

from __future__ import annotations

import json
import shutil
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import pytest
from damage import damaged_ggufs, damaged_safetensors, flips
from safetensors import safe_open
from tiny_models import change_json, make_model

from dilmac.core import EngineError, InputError, read_json
from dilmac.engines import Engine, EngineSpec
from dilmac.engines.gguf_header import read_header
from dilmac.engines.gguf_layout import read_layout
from dilmac.export.gguf import write_gguf
from dilmac.models import load_model, read_stored, require_model_folder

MAX_BYTES = 16 << 20  # of memory at most, the test's own included; files have 0.6 MB, lies 2**63


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, sample_tokenizer: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("damaged") / "model", sample_tokenizer, "llama")


@pytest.fixture(scope="module")
def sound(model: Path) -> Path:
    """Its GGUF."""
    path = model.parent / "sound.gguf"
    write_gguf(model, read_json(model / "config.json"), path, "f32")
    return path


def tensors_of(path: Path) -> list[tuple[str, list[int], str, bytes]]:
    return [
        (tensor.name, tensor.shape.tolist(), tensor.tensor_type.name, tensor.data.tobytes())
        for tensor in gguf.GGUFReader(path).tensors
    ]


def stored_in(path: Path) -> dict[str, tuple[Any, bytes]]:
    with safe_open(path, "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {name: (tensor.shape, tensor.numpy().tobytes()) for name, tensor in found.items()}


def reason(look: Callable[[Path], Any], path: Path, data: bytes) -> str | None:
    """Why a file is refused; None if it is not. Any other error than an InputError fails here."""
    path.write_bytes(data)
    try:
        look(path)
    except InputError as error:
        assert error.where == str(path) and len(error.found) > 10
        return error.found
    return None


@pytest.fixture
def bounded_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MAX_BYTES


@pytest.mark.usefixtures("bounded_memory")
def test_every_damaged_gguf_is_refused(sound: Path, tmp_path: Path) -> None:
    read_header(sound)
    path, data = tmp_path / "model.gguf", sound.read_bytes()
    made = ((what, new) for what, new in damaged_ggufs(sound) if new != data)
    reasons = {what: reason(read_header, path, new) for what, new in made}
    assert len(reasons) > 250
    assert not [what for what, found in reasons.items() if found is None]
    assert all(
        str(found).startswith(("no readable GGUF", "the GGUF's")) for found in reasons.values()
    )


def test_flipped_bits_of_a_gguf_are_refused_or_harmless(sound: Path, tmp_path: Path) -> None:
    path, data = tmp_path / "model.gguf", sound.read_bytes()
    first = read_layout(sound).tensors
    end = first[0].start  # of the header
    infos = data[:end].rindex(b"token_embd.weight")  # tensors stand behind the metadata
    seen = Counter[bool]()
    for start, count in ((0, 100), (infos, 100)):
        for what, new in flips(data[start:end], end - start, count, seed=start):
            found = reason(read_header, path, data[:start] + new + data[end:])
            if found is None:  # the bytes behind the header were not touched
                assert read_layout(path).tensors == first, what
                if not seen[False]:  # the gguf package's own reader, which takes a second
                    assert tensors_of(path) == tensors_of(sound), what
            seen[found is not None] += 1
    assert seen[True] > 90 and seen[False] > 10


@pytest.mark.usefixtures("bounded_memory")
def test_every_damaged_safetensors_is_refused(model: Path, tmp_path: Path) -> None:
    weights = model / "model.safetensors"
    read_stored(weights)
    path, data = tmp_path / "model.safetensors", weights.read_bytes()
    made = ((what, new) for what, new in damaged_safetensors(weights) if new != data)
    reasons = {what: reason(read_stored, path, new) for what, new in made}
    assert len(reasons) > 80
    assert not [what for what, found in reasons.items() if found is None]


def test_flipped_bits_of_safetensors_are_refused_or_harmless(model: Path, tmp_path: Path) -> None:
    weights = model / "model.safetensors"
    shutil.copyfile(model / "config.json", tmp_path / "config.json")
    path, data = tmp_path / "model.safetensors", weights.read_bytes()
    expected, seen = stored_in(weights), Counter[str]()
    end = 8 + struct.unpack_from("<Q", data, 0)[0]
    for what, new in flips(data, end, 150, seed=7):
        if reason(read_stored, path, new) is not None:
            seen["refused"] += 1
        elif (there := stored_in(path)) == expected:
            seen["harmless"] += 1
        else:  # another name: the weight of the old one is missing when the model is loaded
            assert [*there.values()] == [*expected.values()] or len(there) == len(expected), what
            assert expected.keys() - there.keys(), what
            seen["renamed"] += 1
            if seen["renamed"] < 4:
                with pytest.raises(InputError, match="weights are missing"):
                    load_model(tmp_path)
    assert seen["refused"] > 30 and seen["renamed"] > 3


INT, FLOAT, TEXT = gguf.GGUFValueType.INT32, gguf.GGUFValueType.FLOAT32, gguf.GGUFValueType.STRING
METADATA: dict[str, tuple[Any, gguf.GGUFValueType, gguf.GGUFValueType | None]] = {
    "phi2.context_length": (64, gguf.GGUFValueType.UINT32, None),
    "tokenizer.ggml.model": ("llama", TEXT, None),
    "tokenizer.ggml.tokens": (["a", "<0x41>", "</s>"], gguf.GGUFValueType.ARRAY, TEXT),
    "tokenizer.ggml.token_type": ([1, 6, 3], gguf.GGUFValueType.ARRAY, INT),
    "tokenizer.ggml.scores": ([0.0, -1.0, 0.0], gguf.GGUFValueType.ARRAY, FLOAT),
    "tokenizer.ggml.eos_token_id": (2, gguf.GGUFValueType.UINT32, None),
    "dilmac.suppress_tokens": ([1], gguf.GGUFValueType.ARRAY, INT),
}


@pytest.mark.parametrize(
    ("key", "value", "kind", "fault"),
    [
        ("phi2.context_length", 64, None, None),
        ("phi2.context_length", 0, None, "a context of zero"),
        ("phi2.context_length", "64", TEXT, "no whole number"),
        ("tokenizer.ggml.tokens", [1, 2, 3], INT, "no list of strings"),
        ("tokenizer.ggml.tokens", ["a", "<0xZZ>", "</s>"], TEXT, "invalid literal"),
        ("tokenizer.ggml.tokens", ["x", "<0x41>", "</s>"], TEXT, "no row for a, e or i"),
        ("tokenizer.ggml.token_type", [1, 6], INT, "2 values in token_type for 3 tokens"),
        ("tokenizer.ggml.token_type", [1, 6, 9], INT, "a token of type 9"),
        ("tokenizer.ggml.scores", [0.0], FLOAT, "1 values in scores for 3 tokens"),
        ("tokenizer.ggml.eos_token_id", 3, None, "eos_token_id is 3, there are 3 rows"),
        ("dilmac.suppress_tokens", [3], INT, "are no rows"),
    ],
)
def test_metadata_that_contradict_each_other_are_refused(
    tmp_path: Path, key: str, value: Any, kind: gguf.GGUFValueType | None, fault: str | None
) -> None:
    """In a well-formed file, of an architecture whose tensors are not known here."""
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "phi2")
    for name, (usual, usual_kind, usual_of) in METADATA.items():
        is_array = usual_kind == gguf.GGUFValueType.ARRAY
        if name != key:
            writer.add_key_value(name, usual, usual_kind, usual_of)
        else:
            writer.add_key_value(
                name, value, usual_kind if is_array else kind or usual_kind, kind or usual_of
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    if fault is None:
        assert read_header(tmp_path / "model.gguf").control == {"</s>": 2}
        return
    with pytest.raises(InputError, match=fault):
        read_header(tmp_path / "model.gguf")


def test_an_index_that_lies_is_refused(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    index = folder / "model.safetensors.index.json"
    names = dict.fromkeys(read_stored(folder / "model.safetensors")[0], "model.safetensors")
    index.write_text(json.dumps({"weight_map": names}), encoding="utf-8")
    require_model_folder(folder)
    for weight_map, fault in (
        (names | {"lm_head.weight": "../model/model.safetensors"}, "outside of the folder"),
        (names | {"lm_head.weight": "other.safetensors"}, "is missing"),
        (names | {"more.weight": "model.safetensors"}, "more.weight is not in"),
        (names | {"lm_head.weight": 1}, "no index"),
        ([], "no index"),
    ):
        index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
        with pytest.raises(InputError, match=fault):
            require_model_folder(folder)


def test_pickles_and_code_are_not_opened(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    pickle = b"\x80\x04\x95\x1c\0\0\0\0\0\0\0\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
    (folder / "model.safetensors").write_bytes(pickle)
    with pytest.raises(InputError, match="no readable safetensors"):
        require_model_folder(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights"):
        require_model_folder(folder)
    (tmp_path / "model.gguf").write_bytes(pickle)
    with pytest.raises(InputError, match="no magic number"):
        read_header(tmp_path / "model.gguf")
    coded = Path(shutil.copytree(model, tmp_path / "coded"))
    change_json(coded / "config.json", auto_map={"AutoModel": "code.Model"})
    with pytest.raises(InputError, match="auto_map"):
        require_model_folder(coded)


@pytest.mark.parametrize("fault", ["a longer file", "offset", "a name twice"])
def test_the_engine_itself_says_the_reason(
    sound: Path, model: Path, tmp_path: Path, fault: str
) -> None:
    """Through the real process: it ends with the reason, it does not die."""
    if fault == "a name twice":
        folder = Path(shutil.copytree(model, tmp_path / "model"))
        weights = folder / "model.safetensors"
        weights.write_bytes(dict(damaged_safetensors(weights))[fault])
        spec = EngineSpec(kind="transformers", model=folder)
    else:
        path = tmp_path / "model.gguf"
        path.write_bytes(next(new for what, new in damaged_ggufs(sound) if fault in what))
        spec = EngineSpec(kind="llamacpp", model=path)
    with pytest.raises(EngineError, match=r"no readable (GGUF|safetensors)") as found:
        Engine(spec)
    assert "Traceback" not in str(found.value)
