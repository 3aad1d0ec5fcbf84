"""Models of a hub: told from folders by their names, read from its cache, clear where it is not."""

import sys
from pathlib import Path

import pytest

from dilmac.core import InputError, MissingDependencyError
from dilmac.models import model_folder
from dilmac.models.hub import is_hub_name


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "qwen3-0.6b", "modelscope:Qwen/Qwen3-0.6B"])
def test_a_name_of_a_hub_is_told_from_a_folder(name: str) -> None:
    assert is_hub_name(name)


@pytest.mark.parametrize("name", ["dilmac-maxi", "./runs/chat", "/runs/chat", "a/b/c", ""])
def test_what_no_hub_can_have_is_never_asked_for(name: str) -> None:
    assert not is_hub_name(name)


def test_a_model_in_the_hub_s_cache_is_found_by_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache as huggingface_hub lays it out."""
    commit = "0" * 40
    repository = tmp_path / "models--Qwen--Qwen3-0.6B"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}", encoding="utf-8")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert model_folder("Qwen/Qwen3-0.6B") == model_folder("qwen3-0.6b") == snapshot


def test_a_hub_that_cannot_be_reached_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError) as caught:
        model_folder("qwen3-0.6b")
    assert "hf download Qwen/Qwen3-0.6B" in str(caught.value)
    assert "--model qwen3-0.6b" in str(caught.value)


def test_modelscope_without_its_package_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingDependencyError, match=r"dilmac\[modelscope\]"):
        model_folder("modelscope:Qwen/Qwen3-0.6B")
