"""The catalogue: every fact has a source, every name is found, and what runs where is real."""

from __future__ import annotations

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from dilmac.core import ConfigError
from dilmac.models import ListConfig, catalogue, find_entry, hub_name, list_models, print_models
from dilmac.models.catalogue.show import RUNTIMES
from dilmac.models.catalogue.sizes import gib, parse_bytes, parse_context

KNOWN = catalogue()


def test_every_fact_has_a_source_and_every_key_a_meaning() -> None:
    for name, entry in KNOWN.models.items():
        assert entry.name == name and set(entry.sources) <= set(KNOWN.sources)
        assert entry.license in KNOWN.licenses
        assert entry.architecture is None or entry.architecture in KNOWN.architectures
        assert entry.unconfirmed == () or "secondary" in entry.sources or "config" in entry.sources
        assert all(hasattr(entry, fact) for fact in entry.unconfirmed)
        assert not (entry.longest_context and entry.longest_context <= (entry.context or 0))
    said = [*KNOWN.architectures.values(), *(family.places for family in KNOWN.families.values())]
    for runtimes in said:
        assert set(runtimes) <= set(RUNTIMES)
        assert all(support.source in KNOWN.sources for support in runtimes.values())


def test_transformers_and_llama_cpp_have_the_architectures_that_are_said_to_run() -> None:
    in_gguf = set(gguf.MODEL_ARCH_NAMES.values())
    for name, runtimes in KNOWN.architectures.items():
        assert runtimes["transformers"].runs == (name in CONFIG_MAPPING)
        note = runtimes["llama.cpp"].note
        if note.startswith("architecture "):
            assert note.removeprefix("architecture ").split(";")[0] in in_gguf


def test_the_family_is_whole() -> None:
    assert {entry.family for entry in KNOWN.models.values()} == set(KNOWN.families)
    assert {task for entry in KNOWN.models.values() for task in entry.tasks} == {
        "text",
        "code",
        "math",
        "vision",
        "audio",
    }
    by_license = {entry.license for entry in KNOWN.models.values()}
    assert by_license == set(KNOWN.licenses)
    research = KNOWN.models["Qwen2.5-3B"]
    assert KNOWN.licenses[research.license].commercial is False
    assert "100 million" in KNOWN.licenses[KNOWN.models["Qwen2.5-72B"].license].terms


@given(entry=st.sampled_from(list(KNOWN.models.values())), is_upper=st.booleans())
def test_a_model_is_found_by_any_of_its_names(entry, is_upper) -> None:  # type: ignore[no-untyped-def]
    for name in filter(None, (entry.name, entry.chat, entry.base)):
        assert find_entry(name.upper() if is_upper else name.lower()) is entry


def test_names_stand_for_those_of_the_hub() -> None:
    assert hub_name("qwen3-0.6b") == "Qwen/Qwen3-0.6B"
    assert hub_name("qwen3-0.6b-base") == "Qwen/Qwen3-0.6B-Base"
    assert hub_name("qwen2.5-7b") == "Qwen/Qwen2.5-7B"
    assert hub_name("QWEN2.5-7B-Instruct") == "Qwen/Qwen2.5-7B-Instruct"
    for name in ("someone/qwen3-0.6b", "meta-llama/Llama-3.1-8B", "folder/model", ""):
        assert hub_name(name) == name
    for entry in KNOWN.models.values():
        assert entry.hub is None or hub_name(entry.hub) == entry.hub


def test_the_list_is_by_task_license_and_family(capsys: pytest.CaptureFixture[str]) -> None:
    everything = list_models(ListConfig())["models"]
    assert set(everything) == set(KNOWN.models)
    some = list_models(ListConfig(task="code", license="Apache-2.0", family="qwen2.5-coder"))
    assert "Qwen2.5-Coder-7B" in some["models"] and "Qwen2.5-Coder-3B" not in some["models"]
    row = some["models"]["Qwen2.5-Coder-7B"]
    assert (row["parameters"], row["context"]) == (7_615_616_512, 32_768)
    print_models({"models": everything})
    shown = capsys.readouterr().out
    for expected in ("Qwen3-0.6B", "0.88 GiB", "Qwen-7B †", "~7B", "32k (128k)", "apache-2.0 ?"):
        assert expected in shown


@pytest.mark.parametrize(
    ("config", "mend"),
    [
        (ListConfig(family="qwen25-coder"), "did you mean qwen2.5-coder"),
        (ListConfig(license="apache"), "did you mean apache-2.0"),
        (ListConfig(license="MIT"), "one of apache-2.0, qwen-research, qwen, unknown"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(config: ListConfig, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        list_models(config)


@given(st.integers(1, 1 << 45))
def test_a_size_is_read_as_it_is_written(number: int) -> None:
    assert parse_bytes(str(number)) == parse_bytes(f"{number} B") == number
    assert gib(number).split()[1] in ("MiB", "GiB")


def test_sizes_and_contexts_as_people_write_them() -> None:
    assert parse_bytes("8GB") == parse_bytes("8 gb") == 8 * 10**9
    assert parse_bytes("7.5GiB") == 15 << 29 and parse_bytes("900MB") == 9 * 10**8
    assert parse_context("8k") == parse_context("8192") == 8192
    assert parse_context("1M") == 1 << 20 and parse_context("0.5k") == 512
    for wrong in ("", "GB", "8XB", "-1GB", "0", "8,5GB", "0.0001"):
        with pytest.raises(ConfigError, match=r"--memory: no size(.|\n)*mend: write 8GB"):
            parse_bytes(wrong)
    for wrong in ("", "k", "0", "8q", "1.5", "0.0001k"):
        with pytest.raises(ConfigError, match=r"--context: no number of tokens"):
            parse_context(wrong)
