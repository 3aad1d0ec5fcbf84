"""The model that ships in llama.cpp: written once into the cache, proved, and done without."""

import importlib.util
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from dilmac.core import EngineError, InputError, ParityError, open_artifact
from dilmac.models import DEFAULT_MODEL
from dilmac.serve import ChatConfig, ChatSession, chat
from dilmac.serve.chat.voice import EngineVoice
from dilmac.serve.first_use import NoGgufError, cache_folder, shipped_gguf
from standin import place_standin

MINI = Path(DEFAULT_MODEL)


@pytest.fixture
def shipped(tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return place_standin(tiny_chat, tmp_path, monkeypatch)


def test_the_first_use_writes_a_proved_gguf_and_the_second_finds_it(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = ChatConfig(model=MINI).engine_spec()
    assert spec.kind == "llamacpp" and spec.model.is_relative_to(tmp_path / "cache" / "dilmac")
    figures = open_artifact(spec.model.parent, "gguf").figures
    assert figures["parity"]["ids"]["different"] == 0
    assert f"first use of {DEFAULT_MODEL}" in capsys.readouterr().err
    written = spec.model.stat().st_mtime_ns
    assert ChatConfig(model=MINI).engine_spec().model == spec.model
    assert spec.model.stat().st_mtime_ns == written
    assert "first use" not in capsys.readouterr().err


def test_it_answers(shipped: Path) -> None:
    figures = chat(ChatConfig(model=MINI, say="Merhaba!", max_tokens=6))
    assert 0 < figures["tokens"] <= 6
    session = ChatSession(ChatConfig(model=MINI, engine="transformers", max_tokens=4))
    assert isinstance(session.voice, EngineVoice)
    spec = session.voice.engine.spec
    assert spec.kind == "transformers" and spec.model == shipped
    session.close()


def test_without_a_model_it_is_the_one_that_ships(shipped: Path) -> None:
    assert ChatConfig().model == MINI
    assert ChatConfig(engine="transformers").engine_spec().model == shipped


def test_another_digest_is_another_file(shipped: Path) -> None:
    first = shipped_gguf(shipped)
    manifest = json.loads((shipped / "artifact.json").read_text(encoding="utf-8"))
    manifest["digest"] = "0" * 64
    (shipped / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    second = shipped_gguf(shipped)
    assert second != first and "0" * 16 in second.parent.name
    assert second.read_bytes() == first.read_bytes()


def test_what_is_cut_off_is_written_again(shipped: Path) -> None:
    file = shipped_gguf(shipped)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert shipped_gguf(shipped) == file and file.read_bytes() == whole
    (file.parent / "artifact.json").write_text("{", encoding="utf-8")
    assert shipped_gguf(shipped) == file and file.read_bytes() == whole


def test_of_many_at_once_one_writes(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(3) as pool:
        files = set(pool.map(shipped_gguf, [shipped] * 3))
    assert len(files) == 1 and files.pop().is_file()
    assert capsys.readouterr().err.count("first use") == 1


def refused(say: str, capsys: pytest.CaptureFixture[str]) -> None:
    """transformers runs it, and says why; asked for by name, llama.cpp is not done without."""
    spec = ChatConfig(model=MINI).engine_spec()
    assert spec.kind == "transformers"
    said = " ".join(capsys.readouterr().err.split())
    assert f"{DEFAULT_MODEL} runs in transformers: " in said and say in said
    with pytest.raises(EngineError, match="leave --engine out"):
        ChatConfig(model=MINI, engine="llamacpp").engine_spec()


def test_without_xllamacpp_transformers_runs_it(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "xllamacpp" else find(name)
    )
    refused("pip install xllamacpp", capsys)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_without_a_writable_cache_transformers_runs_it(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    refused("its cache cannot be written", capsys)


def test_where_the_proof_fails_transformers_runs_it(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = ParityError("3 of 100 texts have other ids")
    with mock.patch("dilmac.export.gguf.prove", side_effect=fault):
        refused("3 of 100 texts have other ids", capsys)
    assert not list((cache_folder() / "gguf").glob("[!.]*"))


def test_a_failed_proof_is_remembered_until_versions_change(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = ParityError("3 of 100 texts have other ids")
    with mock.patch("dilmac.export.gguf.prove", side_effect=fault) as prove:
        for _ in range(3):
            with pytest.raises(NoGgufError, match="3 of 100 texts have other ids"):
                shipped_gguf(shipped)
        assert prove.call_count == 1
    (note,) = (cache_folder() / "gguf").glob(".*.failed.json")
    with pytest.raises(NoGgufError, match=f"tried again without (.|\n)*{note.name}"):
        shipped_gguf(shipped)
    known = json.loads(note.read_text(encoding="utf-8"))
    known["versions"]["xllamacpp"] = "0.0.1"
    note.write_text(json.dumps(known), encoding="utf-8")
    assert shipped_gguf(shipped).is_file()
    assert not note.exists()


def test_only_a_fault_of_the_cache_is_called_one(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with (
        mock.patch("dilmac.export.gguf.prove", side_effect=fault),
        pytest.raises(RuntimeError, match="mat1 and mat2"),
    ):
        shipped_gguf(shipped)
    monkeypatch.delenv("XDG_CACHE_HOME")
    with (
        mock.patch.object(Path, "expanduser", side_effect=RuntimeError("no home directory")),
        pytest.raises(NoGgufError, match=r"its cache has no place \(no home directory\)"),
    ):
        shipped_gguf(shipped)


def test_a_model_of_the_users_is_not_written_anywhere(tiny_chat: Path, shipped: Path) -> None:
    assert ChatConfig(model=tiny_chat).engine_spec().kind == "transformers"
    assert not cache_folder().exists()
    with pytest.raises(InputError, match="no such model"):
        ChatConfig(model=Path("nowhere")).engine_spec()


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "dilmac"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "relative/cache"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_folder() == tmp_path / "home" / ".cache" / "dilmac"
