"""Every method trains, saves an adapter that plain peft opens, and merges without loss."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from dilmac.core import ConfigError, MissingDependencyError
from dilmac.models import load_model
from dilmac.training import FinetuneConfig
from dilmac.training.tune.merge import logits_on
from dilmac.training.tune.quantized import dequantized, load_quantized
from tunings import tune

PROBE = torch.arange(40)[None]


def opened_by_peft(base: torch.nn.Module, adapter: Path) -> torch.Tensor:
    return logits_on(PeftModel.from_pretrained(base, str(adapter)).eval(), PROBE)


@pytest.mark.parametrize("method", ["dora", "ia3"])
def test_on_a_full_base(tiny_model: Path, few: Path, tmp_path: Path, method: str) -> None:
    made = tune(tiny_model, few, tmp_path / "out", method=method)
    figures = made.figures
    assert figures["validation_loss"] < figures["validation_loss_before"], figures
    separate = opened_by_peft(
        AutoModelForCausalLM.from_pretrained(tiny_model), made.path / "adapter"
    )
    merged = logits_on(load_model(made.path).eval(), PROBE)
    torch.testing.assert_close(merged, separate, rtol=0, atol=1e-4)
    assert float((merged - logits_on(load_model(tiny_model).eval(), PROBE)).abs().max()) > 1e-3
    on_disk = (made.path / "adapter" / "adapter_model.safetensors").stat().st_size / 1e6
    assert on_disk == pytest.approx(figures["adapter_megabytes"], rel=0.05, abs=2e-3)


@pytest.mark.parametrize("quantization", ["nf4", pytest.param("int8", marks=pytest.mark.slow)])
def test_on_a_quantized_base(
    tiny_model: Path, few: Path, tmp_path: Path, quantization: str
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs the extra qlora")
    made = tune(tiny_model, few, tmp_path / "out", method="qlora", quantization=quantization)
    figures = made.figures
    assert figures["validation_loss"] < figures["validation_loss_before"], figures
    assert figures["merge_logit_difference"] < 1e-4 and figures["saved_logit_difference"] < 1e-5
    base = load_quantized(tiny_model, quantization, torch.float32)
    rounded = logits_on(base.eval(), PROBE)
    full = logits_on(load_model(tiny_model).eval(), PROBE)
    assert float((rounded - full).abs().max()) > 1e-3
    assert figures["quantized_logit_difference"] > 1e-3
    assert figures["base_loss_quantized"] != figures["base_loss_full"]
    separate = opened_by_peft(dequantized(base), made.path / "adapter")
    merged = load_model(made.path).eval()
    torch.testing.assert_close(logits_on(merged, PROBE), separate, rtol=0, atol=1e-4)
    assert all(type(m).__module__ != "bitsandbytes.nn.modules" for m in merged.modules())
    config = json.loads((made.path / "config.json").read_text(encoding="utf-8"))
    assert "quantization_config" not in config
    whole = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert figures["total_parameters"] > sum(p.numel() for p in whole.parameters())


def test_qlora_without_its_package_names_the_command(
    tiny_model: Path, few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'dilmac\[qlora\]'"):
        tune(tiny_model, few, tmp_path / "out", method="qlora")


def test_a_target_that_names_nothing_is_refused(
    tiny_model: Path, few: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--targets"):
        tune(tiny_model, few, tmp_path / "out", targets=("nichts",))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 8, "micro_batch_size": 3}, "does not divide"),
        ({"patience": 2}, "--eval-steps"),
        ({"eval_steps": 2, "validation_percent": 0}, "--validation-percent"),
        ({"metric": "a:b", "objective": "dpo"}, "--objective sft"),
        ({"train_rows": "new", "method": "full"}, "--train-rows"),
    ],
)
def test_settings_that_do_not_go_together(wrong: dict[str, object], message: str) -> None:
    given = {"model": "m", "data": "d", "out": "o"}
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig.from_mapping(given | wrong, where="recipe")
