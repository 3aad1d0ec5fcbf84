"""Recipes: checked before they start, stages named by stages, complete ones skipped."""

from pathlib import Path

import pytest
import yaml

from dilmac.core import ConfigError, InputError, bundled_recipe
from dilmac.recipe import RecipeConfig, check_stages, load_recipe, run_recipe

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


def test_bundled_recipe_is_sound(tmp_path: Path) -> None:
    path = bundled_recipe("quickstart")
    stages = check_stages(load_recipe(path), path, tmp_path)
    assert [stage.verb for stage in stages] == [
        "corpus build",
        "tokenizer train",
        "pretrain",
        "finetune",
        "evaluate",
        "export gguf",
    ]
