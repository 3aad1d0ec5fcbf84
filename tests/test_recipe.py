"""Recipes: checked before they start, stages named by stages, complete ones skipped."""

import json
from pathlib import Path

import pytest
import yaml

from dilmac.core import ConfigError, InputError, bundled_instructions, bundled_recipe
from dilmac.models import DEFAULT_MODEL
from dilmac.recipe import RecipeConfig, Stage, check_stages, load_recipe, run_recipe
from standin import place_standin

TINY = {
    "seed": 7,
    "stages": {
        "corpus": {"verb": "corpus build", "inputs": ["@sample.text"], "holdout_percent": 5},
        "tok": {"verb": "tokenizer train", "corpus": "@corpus", "vocab_size": 600},
        "base": {
            "verb": "pretrain",
            "corpus": "@corpus",
            "tokenizer": "@tok",
            "preset": "tiny",
            "tokens": 4096,
            "eval_bytes": 500,
            "sample_prompts": ["Bir"],
        },
        "bits": {"verb": "evaluate", "model": "@base", "corpus": "@corpus"},
    },
}


def write(path: Path, values: object) -> Path:
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def test_stages_run_once_and_again_from_a_named_one(tmp_path: Path, capsys: object) -> None:
    recipe = write(tmp_path / "tiny.yaml", TINY)
    out = tmp_path / "life"
    first = run_recipe(RecipeConfig(recipe=recipe, out=out))
    assert list(first.figures) == ["corpus", "tok", "base", "bits"]
    assert first.artifacts["base"].manifest.seed == 7
    finished = {name: made.manifest.run for name, made in first.artifacts.items()}

    second = run_recipe(RecipeConfig(recipe=recipe, out=out))
    assert {name: made.manifest.run for name, made in second.artifacts.items()} == finished
    assert second.figures["bits"] == first.figures["bits"]

    third = run_recipe(RecipeConfig(recipe=recipe, out=out, from_stage="base"))
    assert third.artifacts["tok"].manifest.run == finished["tok"]
    assert third.artifacts["base"].manifest.run["finished"] >= finished["base"]["finished"]
    assert third.artifacts["base"].manifest.run != finished["base"]
    assert third.artifacts["base"].manifest.digest == first.artifacts["base"].manifest.digest


def test_a_changed_setting_is_refused_and_says_how_to_go_on(tmp_path: Path) -> None:
    stages = {name: TINY["stages"][name] for name in ("corpus", "tok")}  # type: ignore[index]
    recipe = write(tmp_path / "tiny.yaml", {"stages": stages})
    run_recipe(RecipeConfig(recipe=recipe, out=tmp_path / "life"))
    changed = RecipeConfig(recipe=recipe, out=tmp_path / "life", set=("tok.vocab_size=700",))
    with pytest.raises(Exception, match=r"vocab_size was 600, now 700(.|\n)*--from tok"):
        run_recipe(changed)
    again = run_recipe(changed.model_copy(update={"from_stage": "tok"}))
    assert again.figures["tok"]["vocab_size"] == 700


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"verb": "corpus bild"}, "did you mean 'corpus build'"),
        ({"min_word": 3}, "did you mean 'min_words'"),
        ({"min_words": 0}, "min_words"),
        ({"inputs": ["@sampl.text"]}, r"did you mean 'sample\.text'"),
    ],
)
def test_faults_are_found_before_anything_runs(
    tmp_path: Path, change: dict[str, object], fault: str
) -> None:
    stage = {"verb": "corpus build", "inputs": ["@sample.text"], **change}
    recipe = write(tmp_path / "r.yaml", {"stages": {"corpus": stage}})
    with pytest.raises(ConfigError, match=fault):
        run_recipe(RecipeConfig(recipe=recipe, out=tmp_path / "life"))
    assert not (tmp_path / "life").exists()


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("stages: [\n", encoding="utf-8")
    with pytest.raises(InputError, match="no YAML"):
        load_recipe(broken)
    with pytest.raises(InputError, match="has no stages"):
        load_recipe(write(tmp_path / "empty.yaml", {"name": "x"}))
    with pytest.raises(ConfigError, match="did you mean 'seed'"):
        load_recipe(write(tmp_path / "key.yaml", {"sed": 1, "stages": {"a": {"verb": "pretrain"}}}))


def test_set_and_from_name_what_exists(tmp_path: Path) -> None:
    recipe = write(tmp_path / "tiny.yaml", TINY)
    for change, fault in (("tko.vocab_size=1", "did you mean 'tok'"), ("tok.vocab_size", "no '='")):
        with pytest.raises(ConfigError, match=fault):
            run_recipe(RecipeConfig(recipe=recipe, out=tmp_path / "x", set=(change,)))
    with pytest.raises(ConfigError, match="did you mean 'base'"):
        run_recipe(RecipeConfig(recipe=recipe, out=tmp_path / "x", from_stage="bas"))


@pytest.fixture
def shipped(tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return place_standin(tiny_chat, tmp_path, monkeypatch)


def test_the_bundled_recipes_are_sound(shipped: Path, tmp_path: Path) -> None:
    def stages(name: str) -> dict[str, Stage]:
        path = bundled_recipe(name)
        return {stage.name: stage for stage in check_stages(load_recipe(path), path, tmp_path)}

    continued, anew = stages("quickstart"), stages("from-scratch")
    assert list(continued) == ["corpus", "before", "base", "chat", "evaluation", "gguf"]
    assert list(anew) == ["corpus", "tokenizer", "base", "chat", "evaluation", "gguf"]
    assert continued["base"].inputs == (tmp_path / "corpus", shipped)
    assert str(continued["base"].config.model) == DEFAULT_MODEL  # type: ignore[attr-defined]
    for recipe in (continued, anew):
        data = recipe["chat"].config.data  # type: ignore[attr-defined]
        assert data == tuple(map(str, bundled_instructions()))


def test_classifiers_of_a_recipe_are_compared(tmp_path: Path) -> None:
    train = {"verb": "classify train", "model": DEFAULT_MODEL, "data": "labeled.jsonl"}
    stages = {
        "small": train,
        "large": {**train, "method": "full"},
        "both": {"verb": "compare", "runs": ["@small", "@large"], "latency": False},
    }
    small, _, both = check_stages({"stages": stages}, tmp_path / "r.yaml", tmp_path)
    assert small.config.out == tmp_path / "small"  # type: ignore[attr-defined]
    assert both.config.runs == (tmp_path / "small", tmp_path / "large")  # type: ignore[attr-defined]
    assert both.inputs == (tmp_path / "small", tmp_path / "large")


def test_a_model_that_is_nowhere_is_refused_before_anything_runs(
    shipped: Path, tmp_path: Path
) -> None:
    stages = {
        "corpus": {"verb": "corpus build", "inputs": ["@sample.text"]},
        "bits": {"verb": "evaluate", "model": "dilmac-maxi", "corpus": "@corpus"},
    }
    recipe = write(tmp_path / "r.yaml", {"stages": stages})
    with pytest.raises(InputError, match=f"no model of that name(.|\n)*{DEFAULT_MODEL}"):
        run_recipe(RecipeConfig(recipe=recipe, out=tmp_path / "life"))
    assert not (tmp_path / "life").exists()


def test_figures_are_made_anew_when_the_model_of_that_name_changed(
    shipped: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Sabah erkenden yola çıktık.\n", encoding="utf-8")
    bits = {"verb": "evaluate", "model": DEFAULT_MODEL, "text": [str(text)]}
    config = RecipeConfig(
        recipe=write(tmp_path / "r.yaml", {"stages": {"bits": bits}}), out=tmp_path / "life"
    )
    run_recipe(config)
    file = tmp_path / "life" / "bits.json"
    written = file.stat().st_mtime_ns
    run_recipe(config)
    assert file.stat().st_mtime_ns == written
    manifest = shipped / "artifact.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**values, "digest": "0" * 64}), encoding="utf-8")
    run_recipe(config)
    assert file.stat().st_mtime_ns != written


def test_what_a_stage_reads_is_watched_and_what_it_writes_is_not(tmp_path: Path) -> None:
    page, data = tmp_path / "page.html", tmp_path / "data"
    data.mkdir()
    page.write_text("made before", encoding="utf-8")
    asked = {"verb": "evaluate", "model": "qwen", "server": "http://localhost:1/v1"}
    stage = {**asked, "tasks": ["chat"], "task_data": str(data), "html": str(page)}
    (checked,) = check_stages({"stages": {"asked": stage}}, tmp_path / "r.yaml", tmp_path)
    assert checked.inputs == (data,)
    prompts = ["Uzun bir soru. " * 40]
    stage = {"verb": "compare", "runs": [str(data)], "prompt": prompts}
    (checked,) = check_stages({"stages": {"both": stage}}, tmp_path / "r.yaml", tmp_path)
    assert checked.inputs == (data,)
