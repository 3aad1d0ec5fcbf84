"""What of a model is trained: rows as their own parameter, adapters, and what is frozen."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import change_config, make_model, run
from test_heal import EMBEDDING, HEAD, config_of, tensors

from dilmac.core import InputError, bundled_prose, open_artifact
from dilmac.tokenizer import Tokenizer
from dilmac.training import Ranks
from dilmac.transplant import heal
from dilmac.transplant.heal.patient import NEW_INPUT, Patient, first_new_row
from dilmac.transplant.heal.verb import USUAL_CONTEXT, prepare_healing


def opened(config: Any) -> tuple[Patient, Any]:
    patient = Patient(config, first_new_row(config))
    return patient, patient.open(config.as_pretraining({}), Tokenizer(config.model))


@pytest.fixture(scope="module")
def stored(
    tmp_path_factory: pytest.TempPathFactory, byte_level: Path, byte_level_extended: Path
) -> dict[torch.dtype, Path]:
    """Extended models, untied, as files of each type."""
    made = {}
    for dtype in (torch.float32, torch.bfloat16):
        folder = tmp_path_factory.mktemp("stored")
        source = make_model(folder / "source", byte_level, tied=False, dtype=dtype)
        made[dtype] = run(folder / "out", source, byte_level_extended).path
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_frozen_is_kept_as_the_file_has_it_where_products_are_in_bf16(
    tmp_path: Path,
    stored: dict[torch.dtype, Path],
    sample_corpus: Path,
    dtype: torch.dtype,
    precision: str,
) -> None:
    model = stored[dtype]
    config = config_of(model, sample_corpus, tmp_path / "out", precision=precision)
    patient, whole = opened(config)
    frozen = {p.dtype for p in whole.parameters() if not p.requires_grad}
    assert frozen == {
        torch.bfloat16 if precision == "bf16" and dtype == torch.bfloat16 else torch.float32
    }
    assert {p.dtype for p in whole.parameters() if p.requires_grad} == {torch.float32}
    # Saved in fp32, what was trained in fp32 is not rounded.
    assert {p.dtype for p in patient.finish(whole).parameters()} == {torch.float32}
    in_bf16 = config.model_copy(update={"save_precision": "bf16"})
    patient, whole = opened(in_bf16)
    assert {p.dtype for p in patient.finish(whole).parameters()} == frozen


def test_adapters_train_the_new_rows_and_no_old_one(
    tmp_path: Path, stored: dict[torch.dtype, Path], sample_corpus: Path
) -> None:
    model = stored[torch.bfloat16]
    config = config_of(
        model,
        sample_corpus,
        tmp_path / "out",
        precision="bf16",
        save_precision="bf16",
        tokens=512 * 4,
    )
    _, whole = opened(config)
    trained = {name for name, p in whole.named_parameters() if p.requires_grad}
    assert {NEW_INPUT, "lm_head_new"} < trained
    assert all("lora_" in name for name in trained - {NEW_INPUT, "lm_head_new"})
    healed = heal(config)
    before, after = tensors(model), tensors(healed.path)
    first = open_artifact(model).figures["first_made_row"]
    for name in (EMBEDDING, HEAD):
        assert torch.equal(after[name][:first], before[name][:first])
        assert not torch.equal(after[name][first:], before[name][first:])
    layer = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(after[layer], before[layer])


def test_whoever_calls_the_model_finds_the_new_rows_in_its_tables(
    tmp_path: Path, stored: dict[torch.dtype, Path], sample_corpus: Path
) -> None:
    config = config_of(stored[torch.float32], sample_corpus, tmp_path / "out", train="rows")
    patient, whole = opened(config)
    assert patient.first is not None
    ids = torch.tensor([[5, patient.first, patient.first + 1]])
    before = whole(ids).logits
    with torch.no_grad():
        getattr(whole, NEW_INPUT).mul_(2.0)
    after = whole(ids).logits
    torch.testing.assert_close(after[:, 0], before[:, 0])  # an old row, and nothing else before it
    assert not torch.allclose(after[:, 1:], before[:, 1:])
    table = patient.finish(whole).get_input_embeddings().weight
    assert table.shape[0] == len(Tokenizer(stored[torch.float32]))


def test_a_model_of_another_tool_is_healed_by_all_its_rows(
    tmp_path: Path, byte_level: Path, sample_corpus: Path
) -> None:
    source = make_model(tmp_path / "source", byte_level)
    config = config_of(source, sample_corpus, tmp_path / "out", tokens=512 * 4)
    patient, whole = opened(config)
    assert patient.first is None and whole.get_input_embeddings().weight.requires_grad
    healed = heal(config)
    assert not torch.equal(tensors(healed.path)[EMBEDDING], tensors(source)[EMBEDDING])


def test_every_stage_is_in_the_report(
    tmp_path: Path, byte_level: Path, byte_level_extended: Path, sample_corpus: Path
) -> None:
    source = make_model(tmp_path / "source", byte_level)
    texts: dict[str, Any] = {"turkish": (str(bundled_prose()[-1]),), "max_text_bytes": 2000}
    graft = run(tmp_path / "graft", source, byte_level_extended, **texts)
    first = heal(config_of(graft.path, sample_corpus, tmp_path / "first", tokens=512 * 4, **texts))
    second = heal(
        config_of(first.path, sample_corpus, tmp_path / "second", tokens=512 * 4, **texts)
    )
    bits = second.figures["bits_per_byte"]
    assert list(bits) == ["before", "step_0", "healed", "healed_2"]
    assert bits["healed"]["turkish"] < bits["step_0"]["turkish"]
    page = (second.path / "report.html").read_text(encoding="utf-8")
    assert f"{bits['healed_2']['turkish']:.4g}" in page
    other = heal(
        config_of(
            first.path,
            sample_corpus,
            tmp_path / "other",
            tokens=512 * 4,
            **texts | {"max_text_bytes": 1500},
        )
    )
    assert list(other.figures["bits_per_byte"]) == ["before", "healed"]


def test_a_further_stage_knows_the_new_rows_too(
    tmp_path: Path, stored: dict[torch.dtype, Path], sample_corpus: Path
) -> None:
    model = stored[torch.float32]
    few: dict[str, Any] = {"train": "rows", "tokens": 512 * 2}
    first = heal(config_of(model, sample_corpus, tmp_path / "first", **few))
    second = heal(config_of(first.path, sample_corpus, tmp_path / "second", **few))
    row = open_artifact(model).figures["first_made_row"]
    assert (first.figures["first_made_row"], second.figures["first_made_row"]) == (row, row)
    before, after = tensors(model), tensors(second.path)
    assert torch.equal(after[EMBEDDING][:row], before[EMBEDDING][:row])


def test_a_window_is_2048_tokens_at_most_unless_more_are_asked_for(
    tmp_path: Path, byte_level: Path, sample_corpus: Path
) -> None:
    source = make_model(tmp_path / "source", byte_level)
    change_config(source, max_position_embeddings=40_960)
    for given, expected in ((None, USUAL_CONTEXT), (128, 128)):
        config = config_of(
            source, sample_corpus, tmp_path / "out", context=given, batch_tokens=4096
        )
        folder = tmp_path / f"run-{given}"
        folder.mkdir()
        with Ranks("ddp") as ranks:
            run = prepare_healing(config, Patient(config, None), ranks, folder)
        assert run.windows.context == expected


def test_f16_is_not_rounded_to_bf16(
    tmp_path: Path, byte_level: Path, byte_level_extended: Path, sample_corpus: Path
) -> None:
    source = make_model(tmp_path / "source", byte_level, dtype=torch.float16)
    model = run(tmp_path / "graft", source, byte_level_extended).path
    _, whole = opened(config_of(model, sample_corpus, tmp_path / "out", precision="bf16"))
    assert {p.dtype for p in whole.parameters()} == {torch.float32}


def test_a_model_with_eyes_is_refused(
    tmp_path: Path, byte_level: Path, sample_corpus: Path
) -> None:
    source = make_model(tmp_path / "source", byte_level)
    change_config(source, vision_config={})
    with pytest.raises(InputError, match="vision model, which is not healed here"):
        opened(config_of(source, sample_corpus, tmp_path / "out"))


def test_nothing_holds_a_finished_model(
    tmp_path: Path, stored: dict[torch.dtype, Path], sample_corpus: Path
) -> None:
    patient, whole = opened(config_of(stored[torch.float32], sample_corpus, tmp_path / "out"))
    finished = patient.finish(whole)
    alive = weakref.ref(finished)
    del whole, finished
    gc.collect()
    assert alive() is None
