"""`models suggest`: what it chooses fits, nothing better by its own rule does, and it says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import ConfigError
from dilmac.models import (
    SuggestConfig,
    catalogue,
    print_suggestion,
    running_bytes,
    suggest_model,
)

MODELS = catalogue().models


def choice(**asked: Any) -> tuple[str, str]:
    found = suggest_model(SuggestConfig(**asked))["choice"]
    return found["model"], found["format"]


def test_a_laptop_that_writes_code(capsys: pytest.CaptureFixture[str]) -> None:
    asked = SuggestConfig(memory="8GB", task="code", context="8k", device="cpu")
    figures = suggest_model(asked)
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["choice"]["model"], figures["choice"]["format"]) == (
        "Qwen2.5-Coder-7B",
        "q5_k_m",
    )
    print_suggestion(figures)
    shown = capsys.readouterr().out
    for expected in (
        "Qwen2.5-Coder-7B in q5_k_m",
        "hf download Qwen/Qwen2.5-Coder-7B-Instruct",
        "q5_k_m is the finest format that fits: q8_0 needs 9.06 GiB",
        "→ Qwen2.5-Coder-7B",
        "Qwen3-14B: needs 10.88 GiB even in q4_k_m: weights 8.38 GiB, KV cache 1.25 GiB",
    ):
        assert expected in shown


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"memory": "8GB"}, ("Qwen3-8B", "q4_k_m")),
        # Made for it, but trained with 4,096 tokens; a general model takes over beyond that.
        ({"memory": "8GB", "task": "math", "context": "4k"}, ("Qwen2.5-Math-7B", "q5_k_m")),
        ({"memory": "8GB", "task": "math", "context": "8k"}, ("Qwen3-8B", "q4_k_m")),
        # The trap: with 8k the 0.6B's cache alone is 896 MiB, and a model of 1.5B takes less.
        ({"memory": "1.7GB", "context": "8k"}, ("Qwen2.5-1.5B", "q4_k_m")),
        # About as large, but it reads a tenth of the weights; a GPU takes the dense one.
        ({"memory": "24GiB", "device": "cpu"}, ("Qwen3-30B-A3B-2507", "q5_k_m")),
        ({"memory": "24GiB", "device": "cuda"}, ("Qwen3-32B", "q4_k_m")),
        # Eight caches of Qwen3-4B are 9 GiB, those of Qwen2.5-3B 2.25 GiB.
        ({"memory": "8GB", "slots": 8}, ("Qwen2.5-3B", "q8_0")),
        ({"memory": "8GB", "task": "vision"}, ("Qwen3-VL-4B", "q8_0")),
    ],
)
def test_choices(asked: dict[str, Any], expected: tuple[str, str]) -> None:
    assert choice(**asked) == expected


@settings(max_examples=40, deadline=None)
@given(
    gib=st.floats(0.5, 200),
    task=st.sampled_from(["text", "code", "math", "vision", "audio"]),
    context=st.sampled_from(["512", "4k", "8k", "40k", "200k"]),
    slots=st.integers(1, 8),
    device=st.sampled_from(["cpu", "cuda"]),
    kv_type=st.sampled_from(["f16", "q8_0", "q4_0"]),
)
def test_the_choice_fits_and_every_model_is_accounted_for(
    *, gib: float, task: Any, context: str, slots: int, device: Any, kv_type: Any
) -> None:
    asked = SuggestConfig(
        memory=f"{gib:.3f}GiB",
        task=task,
        context=context,
        slots=slots,
        device=device,
        kv_type=kv_type,
    )
    for_it = {name for name, one in MODELS.items() if task in one.tasks and not one.is_history}
    try:
        figures = suggest_model(asked)
    except ConfigError as error:
        assert error.mend
        tokens = {"512": 512}.get(context) or int(context[:-1]) * 1024
        for name in for_it:
            entry = MODELS[name]
            least = running_bytes(entry, "q4_k_m", tokens, slots=slots, kv_type=kv_type)
            longest = entry.longest_context or entry.context
            assert least is None or least.total > gib * 2**30 * 0.999 or tokens > (longest or 0)
        return
    assert set(figures["fits"]) | set(figures["does_not_fit"]) == for_it
    assert not set(figures["fits"]) & set(figures["does_not_fit"])
    chosen = figures["choice"]
    assert all(row["total"] <= figures["memory_bytes"] for row in figures["fits"].values())
    alike = [row for row in figures["fits"].values() if row["made_for_it"] == chosen["made_for_it"]]
    assert chosen["parameters"] >= 0.9 * max(row["parameters"] for row in alike)
    if not chosen["made_for_it"]:
        assert not any(row["made_for_it"] for row in figures["fits"].values())
    assert all(reason["why"] for reason in figures["does_not_fit"].values())


def test_it_warns_of_licenses_contexts_and_the_trap() -> None:
    def why(**asked: Any) -> str:
        return "\n".join(suggest_model(SuggestConfig(**asked))["choice"]["why"])

    research = why(memory="4GB", task="code")
    assert "no commercial use" in research and "read the model's page" in research
    assert "beyond that YaRN" in why(memory="32GB", task="code", context="64k")
    assert "times the weights" in why(memory="10GB", context="8k", slots=32)
    assert "tokens/s" in why(memory="8GB") and "tokens/s" not in why(memory="8GB", device="cuda")
    free = suggest_model(SuggestConfig(memory="4GB", task="code", license="Apache-2.0"))
    assert free["choice"]["license"] == "apache-2.0"
    assert free["does_not_fit"]["Qwen2.5-Coder-3B"] == {"why": "its license is qwen-research"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"memory": "100MB"}, "Qwen2.5-0.5B needs 0.80 GiB"),
        ({"memory": "lots"}, "write 8GB, 7.5GiB or 900MB"),
        ({"memory": "8GB", "context": "2M"}, "its context is 32,768 tokens"),
        ({"memory": "8GB", "task": "audio"}, "Qwen2-Audio-7B: cannot be judged: layers"),
        ({"memory": "8GB", "license": "apache"}, "did you mean apache-2.0"),
    ],
)
def test_what_cannot_be_answered_says_why(asked: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        suggest_model(SuggestConfig(**asked))
