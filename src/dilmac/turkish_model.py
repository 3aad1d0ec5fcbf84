"""The guides' one call: a Qwen and an instruction file become a Turkish chat model.

    from dilmac import ModelConfig, TurkishModelTrainer

    run = TurkishModelTrainer(ModelConfig(model_name="Qwen/Qwen3-0.6B")).train("data.jsonl")

It runs `recipes/qwen-turkish.yaml` with these settings; every stage is a folder in `output_dir`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from dilmac.core import Config, bundled_recipe
from dilmac.recipe import RecipeRun, apply_change, load_recipe, run_stages

RECIPE = "qwen-turkish"


class ModelConfig(Config):
    """Which Qwen, which vocabulary, and how it is taught; the names are the guides'."""

    model_name: str = Field(
        "Qwen/Qwen3-0.6B", description="model folder, or a name on the hub or in the catalogue"
    )
    turkish_tokenizer_path: str | None = Field(
        None,
        description="tokenizer folder or one that ships (tr32k), which replaces the model's own; "
        "without it the model's own is extended",
    )
    new_rows: int = Field(32_000, ge=1, description="rows that extend the model's own vocabulary")
    texts: tuple[str, ...] = Field(
        (), description="Turkish text to learn from: files, folders, globs; a sample by default"
    )
    english: tuple[str, ...] = Field(
        (), description="English text that is read beside it, so that English is not lost"
    )
    healing_tokens: int | str = Field("20M", description="text that heals the model [tokens]")
    use_4bit: bool = Field(True, description="adapters on a base of 4 bits (QLoRA)")
    use_lora: bool = Field(True, description="adapters; otherwise every parameter is trained")
    batch_size: int = Field(4, ge=1, description="examples in memory at once")
    num_epochs: float = Field(3, gt=0, description="passes over the instructions")
    output_dir: Path = Field(Path("qwen-turkish"), description="folder of all stages")
    set: tuple[str, ...] = Field((), description="any other setting: stage.key=value")

    @model_validator(mode="after")
    def _go_together(self) -> ModelConfig:
        if self.use_4bit and not self.use_lora:
            raise ValueError("use_4bit trains adapters: leave use_lora on, or set use_4bit=False")
        return self


class TurkishModelTrainer:
    """A Qwen taken through extend or replace, healing, fine-tuning, measuring and export."""

    def __init__(self, config: ModelConfig):
        self.config = config

    def stages(self, *data: str | Path) -> dict[str, Any]:
        """The recipe with the config's settings, as `dilmac run` would read it."""
        values = load_recipe(bundled_recipe(RECIPE))
        stages, config = values["stages"], self.config
        for stage in ("before", "transplanted"):
            stages[stage]["model"] = config.model_name
        if config.texts:
            stages["corpus"]["inputs"] = list(config.texts)
        if config.english:
            stages = values["stages"] = _with_english(stages, list(config.english))
        if config.turkish_tokenizer_path:
            del stages["tokenizer"]
            stages["transplanted"]["tokenizer"] = config.turkish_tokenizer_path
        else:
            stages["tokenizer"] |= {"base": config.model_name, "rows": config.new_rows}
        stages["healed"]["tokens"] = config.healing_tokens
        stages["chat"] |= self._teaching(data)
        for change in config.set:
            apply_change(values, change)
        return values

    def train(self, *data: str | Path) -> RecipeRun:
        """Make the model, from files of instructions; what is complete is skipped.

        Raises:
            MissingDependencyError: the package that QLoRA needs is not installed.
            DilmacError: what a stage raises; the recipe is checked before the first one.
        """
        values = self.stages(*data)
        if values["stages"]["chat"].get("method") == "qlora":
            from dilmac.models import require_bitsandbytes

            require_bitsandbytes("--method qlora")  # now, not after hours of healing
        return run_stages(values, bundled_recipe(RECIPE), out=self.config.output_dir)

    def _teaching(self, data: tuple[str | Path, ...]) -> dict[str, Any]:
        config = self.config
        lora = "qlora" if config.use_4bit else "lora"
        settings: dict[str, Any] = {
            "method": lora if config.use_lora else "full",
            "epochs": config.num_epochs,
            "micro_batch_size": config.batch_size,
            # A step of about sixteen examples, as the recipe has it.
            "batch_size": config.batch_size * max(1, 16 // config.batch_size),
        }
        return settings | ({"data": list(map(str, data))} if data else {})


# The guide's own name for it.
TurkishTokenizerTrainer = TurkishModelTrainer


def _with_english(stages: dict[str, Any], files: list[str]) -> dict[str, Any]:
    """The stages with an English corpus after the Turkish one, read again while healing."""
    english = {"verb": "corpus build", "inputs": files, "steps": ["repair", "deduplicate"]}
    healed = stages["healed"] | {"replay": ["@english"]}
    return {"corpus": stages["corpus"], "english": english} | stages | {"healed": healed}
