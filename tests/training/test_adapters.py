"""Several adapters of one base: found by name, switched, opened together, merged; and refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from dilmac.cli import main
from dilmac.core import ConfigError, InputError
from dilmac.models import load_model
from dilmac.training import (
    ListAdaptersConfig,
    MergeAdapterConfig,
    SwitchAdapterConfig,
    list_adapters,
    merge_named_adapter,
    open_adapters,
    switch_adapter,
)
from dilmac.training.tune.merge import logits_on

PROBE = torch.arange(40)[None]


@pytest.fixture
def runs(tiny_chat: Path, tmp_path: Path) -> Path:
    """`kibar` as finetune leaves it, and `ters`, whose matrices are the negative ones."""
    folder = tmp_path / "runs"
    shutil.copytree(tiny_chat / "adapter", folder / "kibar" / "adapter")
    shutil.copytree(tiny_chat / "adapter", folder / "ters")
    path = folder / "ters" / "adapter_model.safetensors"
    save_file({n: -t if "lora_B" in n else t for n, t in load_file(path).items()}, path)
    return folder


def by_peft(base: Path, adapter: Path) -> torch.Tensor:
    model = PeftModel.from_pretrained(load_model(base), str(adapter)).eval()
    return logits_on(model, PROBE)


def test_adapters_are_listed_and_switched(
    runs: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def json_of(*words: str) -> dict[str, object]:
        with pytest.raises(SystemExit) as ended:
            main(["adapters", *words, "--adapters", str(runs), "--json"])
        assert ended.value.code == 0
        return dict(json.loads(capsys.readouterr().out))

    listed = json_of("list")
    assert listed["active"] is None
    adapters = dict(listed["adapters"])  # type: ignore[call-overload]
    assert list(adapters) == ["kibar", "ters"]
    assert adapters["kibar"]["method"] == "lora" and adapters["kibar"]["rank"] == 16
    assert adapters["kibar"]["base"] == tiny_model.name
    assert adapters["kibar"]["whole_tables"] == ["embed_tokens"]
    assert json_of("switch", "--name", "ters") == {"active": "ters", "active_before": None}
    assert json_of("switch", "--name", "kibar") == {"active": "kibar", "active_before": "ters"}
    assert json_of("list")["active"] == "kibar"


def without_tables(adapter: Path) -> None:
    """Leave only the matrices of LoRA in an adapter."""
    path, settings = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    save_file({n: t for n, t in load_file(path).items() if "lora_" in n}, path)
    values = json.loads(settings.read_text(encoding="utf-8"))
    values |= {"modules_to_save": None, "ensure_weight_tying": False}
    settings.write_text(json.dumps(values), encoding="utf-8")


def test_all_are_opened_beside_one_base(runs: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="'kibar' has whole tables"):
        open_adapters(load_model(tiny_model), runs)
    for adapter in (runs / "kibar" / "adapter", runs / "ters"):
        without_tables(adapter)
    switch_adapter(SwitchAdapterConfig(adapters=runs, name="ters"))
    model = open_adapters(load_model(tiny_model), runs)
    folders = {"ters": runs / "ters", "kibar": runs / "kibar" / "adapter"}
    for name, folder in folders.items():
        if name == "kibar":
            model.set_adapter(name)
        expected = by_peft(tiny_model, folder)
        torch.testing.assert_close(logits_on(model, PROBE), expected, rtol=0, atol=1e-5)
    with model.disable_adapter():
        plain = logits_on(load_model(tiny_model).eval(), PROBE)
        torch.testing.assert_close(logits_on(model, PROBE), plain, rtol=0, atol=1e-5)


def test_the_named_or_active_one_is_merged(runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    def merged(out: str, **values: object) -> Path:
        given = {"model": tiny_model, "adapters": runs, "out": tmp_path / out}
        return merge_named_adapter(MergeAdapterConfig.model_validate(given | values)).path

    with pytest.raises(InputError, match="none is active"):
        merged("none")
    switch_adapter(SwitchAdapterConfig(adapters=runs, name="ters"))
    active, named = merged("active"), merged("named", name="kibar")
    itself = merged("itself", adapters=runs / "kibar")
    for folder, adapter in ((active, "ters"), (named, "kibar/adapter"), (itself, "kibar/adapter")):
        expected = by_peft(tiny_model, runs / adapter)
        ours = logits_on(load_model(folder).eval(), PROBE)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


def test_what_cannot_be_used_is_refused(runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    def listed() -> object:
        return list_adapters(ListAdaptersConfig(adapters=runs))

    with pytest.raises(ConfigError, match="did you mean 'kibar'"):
        switch_adapter(SwitchAdapterConfig(adapters=runs, name="kibr"))
    with pytest.raises(InputError, match="no adapter in it"):
        list_adapters(ListAdaptersConfig(adapters=tiny_model))
    (runs / "active.json").write_text('{"active": "yok"}', encoding="utf-8")
    with pytest.raises(InputError, match="not there"):
        listed()
    (runs / "active.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        listed()
    (runs / "active.json").unlink()
    settings = runs / "ters" / "adapter_config.json"
    values = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps(values | {"r": 3}), encoding="utf-8")
    with pytest.raises(InputError, match="does not fit the base"):
        merge_named_adapter(
            MergeAdapterConfig(
                model=tiny_model, adapters=runs, name="ters", out=tmp_path / "merged"
            )
        )
    assert not (tmp_path / "merged").exists()
    settings.write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="no JSON"):
        listed()
    shutil.rmtree(runs / "ters")
    weights = runs / "kibar" / "adapter" / "adapter_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match="pickled weights"):
        listed()


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")  # peft's own, before our error
def test_an_adapter_of_a_deeper_base_is_refused(runs: Path, tiny_model: Path) -> None:
    """peft itself fills up what is missing, and leaves out what is too much."""
    path = runs / "ters" / "adapter_model.safetensors"
    whole = load_file(path)
    deeper = {name.replace("layers.0.", "layers.99."): matrix for name, matrix in whole.items()}
    shutil.rmtree(runs / "kibar")  # whole tables are not opened beside others
    for weights in ({n: m for n, m in whole.items() if "layers.0." not in n}, whole | deeper):
        save_file({name: matrix.clone() for name, matrix in weights.items()}, path)
        with pytest.raises(InputError, match="does not fit the base"):
            open_adapters(load_model(tiny_model), runs)


def test_rows_in_the_short_form_of_peft_are_counted(runs: Path) -> None:
    path = runs / "ters" / "adapter_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(settings | {"trainable_token_indices": [5, 6, 7]}))
    listed = list_adapters(ListAdaptersConfig(adapters=runs))["adapters"]
    assert (listed["ters"]["new_rows"], listed["kibar"]["new_rows"]) == (3, 0)
