"""Damaged files are refused with a reason; nothing is allocated for what a header says."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import change_json

from dilmac.core import ConfigError, InputError
from dilmac.export import DoctorConfig, examine_model
from dilmac.export.doctor.gguf_file import GgufFile

HEADER = b"GGUF" + struct.pack("<I", 3)
ONE_KEY = HEADER + struct.pack("<QQ", 0, 1)


def examine(path: Path) -> dict[str, object]:
    return examine_model(DoctorConfig(model=path))


def key(name: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"GGML" + bytes(40), "no magic number"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (HEADER + struct.pack("<QQ", 0, 2**63), "keys in 24 bytes"),
        (HEADER + struct.pack("<QQ", 2**62, 0), "keys in 24 bytes"),
        (HEADER + struct.pack("<QQQ", 0, 1, 2**40) + bytes(20), "a name of"),
        (ONE_KEY + key(b"a", 9, struct.pack("<IQ", 0, 2**60)), "values in a"),
        (ONE_KEY + key(b"a", 77, bytes(9)), "77"),
        (HEADER + struct.pack("<QQ", 0, 2) + 2 * key(b"a", 4, bytes(4)), "the key a twice"),
        (ONE_KEY + key(b"general.alignment", 4, bytes(4)), "an alignment of 0"),
        (ONE_KEY + key(b"a", 9, 9 * struct.pack("<IQ", 9, 1)), "an array of type 9"),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"no readable GGUF .*{reason}"):
        examine(path)


def test_a_gguf_that_is_cut_off_is_refused(sound: dict[str, Path], tmp_path: Path) -> None:
    data = (sound["gguf-f16"] / "model.gguf").read_bytes()
    for part in (0.001, 0.05, 0.5, 0.999):
        path = tmp_path / "model.gguf"
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(InputError, match="no readable GGUF"):
            examine(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_of_a_header_give_a_reason_or_a_reading(
    sound: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray((sound["gguf-f32"] / "model.gguf").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 2500))  # every key but the long lists
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "flipped.gguf"
    path.write_bytes(whole)
    try:
        assert GgufFile(path).header.values is not None
    except InputError as error:
        assert "no readable GGUF" in str(error)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", "{", "no JSON"),
        ("generation_config.json", "[1]", "no JSON object"),
        ("tokenizer.json", "{}x", "no JSON"),
        ("tokenizer.json", '{"version": "1.0"}', "it has no model"),
        ("tokenizer.json", '{"model": {"type": "BPE"}}', "no readable tokenizer"),
        ("tokenizer.model", "text, no model", "no SentencePiece model"),
        ("chat_template.jinja", b"\xff\xfe", "no UTF-8"),
        ("model.safetensors", b"\x10" + bytes(20), "no readable safetensors"),
    ],
)
def test_a_damaged_file_of_a_folder_is_named(
    copied: Callable[[str], Path], name: str, content: str | bytes, reason: str
) -> None:
    folder = copied("llama")
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    with pytest.raises(InputError, match=reason):
        examine(folder)


def test_a_shard_that_is_missing_is_named(copied: Callable[[str], Path]) -> None:
    folder = copied("llama")
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(InputError, match=r"model-00002-of-00002\.safetensors is missing"):
        examine(folder)


def test_what_is_no_model_is_refused(sound: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder or file"):
        examine(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no model"):
        examine(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        examine_model(DoctorConfig(model=sound["llama"], source=tmp_path / "nothing"))


def test_a_value_of_a_foreign_type_is_said_to_be_so(copied: Callable[[str], Path]) -> None:
    folder = copied("llama")
    change_json(folder / "generation_config.json", suppress_tokens=[[1]])
    with pytest.raises(InputError, match=r"the rule .* cannot read it"):
        examine(folder)


def test_a_copy_is_never_made_in_the_model(copied: Callable[[str], Path]) -> None:
    folder = copied("llama")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="lies in the model"):
        examine_model(DoctorConfig(model=folder, fix=True, out=folder / "mended"))
    shutil.copytree(folder, folder.parent / "foreign")
    for settings_, reason in (({"fix": True}, "needs --out"), ({"out": folder}, "without --fix")):
        with pytest.raises(ConfigError, match=reason):
            DoctorConfig.from_mapping({"model": folder, **settings_}, where="doctor")
