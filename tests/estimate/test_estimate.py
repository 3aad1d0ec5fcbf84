"""Estimates: what is known is counted, what is not is said, and what is bad is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from dilmac.cli import main
from dilmac.core import ConfigError, InputError
from dilmac.estimate import (
    EstimateConfig,
    RecipeEstimateConfig,
    estimate_recipe,
    estimate_stage,
    print_estimate,
)
from dilmac.models import PRESETS, num_parameters
from dilmac.recipe import VERBS
from dilmac.training import FinetuneConfig, PretrainConfig
from dilmac.transplant import HealConfig

ELSEWHERE = EstimateConfig(device="rtx4090", price_per_hour=0.5)
COUNTED = EstimateConfig(calibrate=False)


def pretraining(**settings: Any) -> PretrainConfig:
    values = {"corpus": "none", "tokenizer": "tr32k", "out": "none", "tokens": 10**6, **settings}
    return PretrainConfig.model_validate(values)


def stage_of(figures: dict[str, Any]) -> dict[str, Any]:
    (stage,) = figures["stages"].values()
    return dict(stage)


def test_parts_are_what_the_whole_is_made_of() -> None:
    stage = stage_of(estimate_stage("pretrain", pretraining(preset="mini"), ELSEWHERE))
    assert stage["memory_bytes"] == sum(p["amount"] for p in stage["memory_parts"].values())
    assert stage["settings"]["steps"] == 489  # 10^6 tokens, 2,048 a step
    assert stage["seconds"] == pytest.approx(
        sum(part["amount"] for part in stage["seconds_parts"].values()), abs=0.1
    )
    assert stage["cost"] == pytest.approx(stage["seconds"] / 3600 * 0.5, abs=1e-3)
    assert stage["seconds_from"] == "counted" and any("assumed" in note for note in stage["notes"])
    assert stage["fits"] is True


def test_two_cards_halve_the_time_and_cost_the_same() -> None:
    one, two = (
        stage_of(
            estimate_stage(
                "pretrain",
                pretraining(params="1B", tokens=10**9, batch_tokens=10**6),
                EstimateConfig(device="h100", devices=devices, price_per_hour=2.0),
            )
        )
        for devices in (1, 2)
    )
    steps = [stage["seconds_parts"]["steps"]["amount"] for stage in (one, two)]
    assert steps[1] == pytest.approx(steps[0] / 2)
    assert two["cost"] == pytest.approx(one["cost"], rel=0.05)


def test_what_does_not_fit_is_said_with_the_flags_that_help() -> None:
    config = pretraining(params="3B", context=2048, micro_batch_tokens=65_536, batch_tokens=65_536)
    stage = stage_of(estimate_stage("pretrain", config, ELSEWHERE))
    assert stage["fits"] is False
    assert "does not fit" in stage["notes"][0]
    assert "--micro-batch-tokens 32768" in stage["notes"][0]
    assert "--gradient-checkpointing" in stage["notes"][0]
    more = EstimateConfig(device="rtx4090", memory="1TB")
    assert stage_of(estimate_stage("pretrain", config, more))["fits"] is True


def test_what_hangs_on_a_text_that_is_not_there_is_unknown() -> None:
    stage = stage_of(estimate_stage("pretrain", pretraining(epochs=2, tokens=None), ELSEWHERE))
    assert stage["seconds"] is None and stage["cost"] is None
    assert "corpus none is not there yet" in stage["unknown"][0]
    assert stage["memory_bytes"] > 0  # hangs on no text


def test_of_two_budgets_the_one_without_a_text_is_the_most_there_can_be() -> None:
    stage = stage_of(estimate_stage("pretrain", pretraining(epochs=2, tokens=10**6), ELSEWHERE))
    assert stage["settings"]["steps"] == 489
    assert any("at most" in note for note in stage["notes"])


def test_hours_are_taken_as_they_are() -> None:
    stage = stage_of(estimate_stage("pretrain", pretraining(tokens=None, hours="1h30m"), ELSEWHERE))
    assert stage["seconds"] == 5400 and stage["seconds_from"] == "given"


def test_tokens_of_a_real_corpus_are_counted(sample_corpus: Path) -> None:
    one, two = (
        stage_of(
            estimate_stage(
                "pretrain",
                pretraining(corpus=sample_corpus, tokens=None, epochs=epochs),
                COUNTED,
            )
        )["settings"]["steps"]
        for epochs in (1, 2)
    )
    assert one > 10
    assert two == pytest.approx(2 * one, abs=1)


def test_models_of_the_catalogue_need_no_folder() -> None:
    def peak(train: str, **settings: Any) -> int:
        config = HealConfig.model_validate(
            {
                "model": "Qwen/Qwen3-8B",
                "corpus": "none",
                "out": "none",
                "tokens": 10**6,
                "train": train,
                "context": 1024,
                "micro_batch_tokens": 1024,
                "gradient_checkpointing": True,
                **settings,
            }
        )
        return int(stage_of(estimate_stage("heal", config, ELSEWHERE))["memory_bytes"])

    assert peak("all") > peak("lora") > peak("rows") > 2 * 8 * 10**9
    assert peak("lora", gradient_checkpointing=False) > peak("lora")


def recipe(folder: Path, stages: dict[str, Any]) -> RecipeEstimateConfig:
    path = folder / "recipe.yaml"  # JSON is YAML
    path.write_text(json.dumps({"out": str(folder / "out"), "stages": stages}), encoding="utf-8")
    return RecipeEstimateConfig(recipe=path, device="h100")


def test_a_recipe_hands_on_what_its_stages_will_make(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Bir gün eve geldi.\n" * 1000, encoding="utf-8")
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "Merhaba", "response": "Selam"}\n', encoding="utf-8")
    figures = estimate_recipe(
        recipe(
            tmp_path,
            {
                "corpus": {"verb": "corpus build", "inputs": [str(text)]},
                "tokenizer": {"verb": "tokenizer train", "corpus": "@corpus", "vocab_size": 8000},
                "base": {
                    "verb": "pretrain",
                    "corpus": "@corpus",
                    "tokenizer": "@tokenizer",
                    "preset": "quick",
                    "tokens": 10**6,
                },
                "chat": {
                    "verb": "finetune",
                    "model": "@base",
                    "data": str(data),
                    "max_length": 128,
                },
                "test": {"verb": "evaluate", "model": "@base", "corpus": "@corpus"},
                "gguf": {"verb": "export gguf", "model": "@chat"},
            },
        )
    )
    stages = figures["stages"]
    assert stages["corpus"]["seconds_from"] == "measured rate, rough"
    assert "not built yet" in stages["tokenizer"]["unknown"][0]
    assert stages["base"]["settings"]["parameters"] == num_parameters(PRESETS["quick"], 8000)
    assert stages["base"]["seconds"] > 0
    assert "no tokenizer is there yet" in stages["chat"]["unknown"][0]
    assert stages["chat"]["memory_bytes"] > 0  # --max-length bounds it
    assert stages["test"]["unknown"] == ["evaluate has no formulas yet"]
    assert stages["gguf"]["memory_bytes"] > 0
    total = figures["total"]
    assert total["is_whole"] is False
    known = [stage["seconds"] for stage in stages.values() if stage["seconds"] is not None]
    assert total["seconds"] == pytest.approx(sum(known), abs=0.5)
    print_estimate(figures)


def test_an_extended_vocabulary_reaches_the_healing(tmp_path: Path) -> None:
    model = "Qwen/Qwen3-0.6B"
    figures = estimate_recipe(
        recipe(
            tmp_path,
            {
                "tokenizer": {"verb": "tokenizer extend", "corpus": "t", "base": model},
                "qwen": {"verb": "transplant", "model": model, "tokenizer": "@tokenizer"},
                "healed": {"verb": "heal", "model": "@qwen", "corpus": "t", "tokens": "1M"},
            },
        )
    )
    healed = figures["stages"]["healed"]["settings"]
    assert healed["rows"] == 151_669 + 32_000 and healed["new_rows"] == 32_000
    assert figures["stages"]["qwen"]["settings"]["rows"] == 151_669 + 32_000


def test_a_finished_stage_takes_no_time(tmp_path: Path, sample_corpus: Path) -> None:
    config = recipe(tmp_path, {"corpus": {"verb": "corpus build", "inputs": ["@sample.text"]}})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "corpus").symlink_to(sample_corpus)
    stage = stage_of(estimate_recipe(config))
    assert stage["complete"] is True and stage["seconds"] == 0


def test_examples_are_read_as_the_verb_reads_them(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    lines = [
        json.dumps({"instruction": f"Say {number}", "response": "bir " * number})
        for number in range(1, 41)
    ]
    data.write_text("\n".join(lines), encoding="utf-8")
    config = FinetuneConfig(
        model="dilmac-mini",  # type: ignore[arg-type]
        data=(str(data),),
        out=tmp_path / "out",
        batch_size=4,
        epochs=2,
        validation_percent=0,
    )
    stage = stage_of(estimate_stage("finetune", config, COUNTED))
    assert stage["settings"]["examples"] == 40 and stage["settings"]["steps"] == 20
    data.write_text('{"instruction": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="'response' is missing"):
        estimate_stage("finetune", config, COUNTED)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nowhere.yaml"], "no such recipe"),
        (["pretrain", "--corpus", "x", "--tokenizer", "tr32k", "--device", "gt9"], "no card 'gt9'"),
        (["pretrain", "--corpus", "x", "--tokenizer", "tr32k", "--memory", "big"], "no size"),
        (["pretrain", "--corpus", "x", "--preset", "huge", "--tokenizer", "tr32k"], "'huge'"),
        (["pretrain", "--corpus", "x"], "--tokenizer: no tokenizer"),
        (["heal", "--model", "none", "--corpus", "x"], "no such model folder"),
        (["heal", "--corpus", "x"], "--model"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    arguments: list[str], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["estimate", *arguments])
    assert ended.value.code == 2
    assert found in capsys.readouterr().err


def test_an_unknown_card_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="rtx4090"):
        estimate_stage("pretrain", pretraining(), EstimateConfig(device="gt9"))


def test_every_estimated_verb_is_one_of_a_recipe_and_shares_no_flag() -> None:
    from dilmac.cli_estimate import ESTIMATED as COMMANDS
    from dilmac.cli_estimate import _flags_of
    from dilmac.estimate.verb import ESTIMATED

    assert set(COMMANDS) == set(ESTIMATED) <= set(VERBS)
    for room, name in COMMANDS.values():
        config = getattr(__import__(room, fromlist=[name]), name)
        assert not config.model_fields.keys() & EstimateConfig.model_fields.keys(), name
        assert not _flags_of(config).model_fields["out"].is_required()


@pytest.mark.slow
def test_a_real_pretraining_has_about_the_memory_that_was_estimated(
    tmp_path: Path, sample_corpus: Path
) -> None:
    """Both in processes of their own; the bounds are loose, `benchmarks/estimate.py` has them."""
    import os
    import subprocess
    import sys

    flags = ["--corpus", sample_corpus, "--tokenizer", "tr32k", "--preset", "quick"]
    flags += ["--tokens", "6144", "--eval-bytes", "2000"]
    command = [sys.executable, "-m", "dilmac"]
    found = subprocess.run(
        [*command, "estimate", "pretrain", *flags, "--json"], capture_output=True, check=True
    )
    stage = stage_of(json.loads(found.stdout))
    assert stage["seconds_from"] == "timed here"
    child = subprocess.Popen([*command, "pretrain", *flags, "--out", tmp_path / "out"])
    _, status, used = os.wait4(child.pid, 0)
    assert status == 0
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert 0.6 < stage["memory_bytes"] / peak < 1.6
