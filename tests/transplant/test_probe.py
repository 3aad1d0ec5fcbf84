"""`--init auto`: methods are trained for some steps, and the best one's rows are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file
from small_models import make_model, run

from dilmac.core import ConfigError, bundled_prose
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import Tokenizer
from dilmac.transplant import TransplantConfig
from dilmac.transplant.choices import EXTEND_TOKENS_PER_ROW
from dilmac.transplant.probe import Probed, candidates

# Fewer tokens a step than a window of the model: the steps are those that were asked for.
QUICK = {"init": "auto", "probe_steps": 6, "probe_batch_tokens": 192}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory, byte_level: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("qwen") / "source", byte_level)


@pytest.mark.slow
def test_the_best_after_some_steps_is_taken(
    tmp_path: Path, qwen: Path, byte_level_extended: Path, sample_corpus: Path
) -> None:
    texts = {"turkish": (str(bundled_prose()[-1]),), "max_text_bytes": 2000}
    given: dict[str, Any] = {**QUICK, **texts, "corpus": sample_corpus}
    made = run(tmp_path / "out", qwen, byte_level_extended, **given)
    curves = made.figures["probe"]
    assert set(curves) == {"mean", "first", "length_weighted", "focus"}
    assert made.figures["init"] == min(curves, key=lambda name: curves[name][-1])
    for name, curve in curves.items():  # at step 0 and at the end
        assert len(curve) == 2 and curve[1] < curve[0], name
    alone = run(
        tmp_path / "alone",
        qwen,
        byte_level_extended,
        init=made.figures["init"],
        corpus=sample_corpus,
    )
    ours, theirs = (load_file(m.path / "model.safetensors") for m in (made, alone))
    assert all(ours[name].equal(theirs[name]) for name in ours)
    bits = made.figures["bits_per_byte"]
    assert set(bits) == {"before", "step_0", "probe"}
    assert bits["probe"]["turkish"] < bits["step_0"]["turkish"]
    assert not (made.path / "probe").exists()
    page = (made.path / "report.html").read_text(encoding="utf-8")
    assert "Methods, tried" in page and "length_weighted" in page


def test_a_tie_goes_to_the_first_and_the_last_measurement_counts() -> None:
    assert Probed({"a": [9.0, 2.0], "b": [1.0, 3.0], "c": [5.0, 2.0]}).best == "a"


def test_methods_that_lack_what_they_need_are_not_tried(tmp_path: Path) -> None:
    config = TransplantConfig(
        model="m", tokenizer="t", out=tmp_path, init="auto", corpus=tmp_path, donor=tmp_path
    )
    names = {method.name for method in candidates(config)}
    assert "omp" in names and "random" not in names
    without = config.model_copy(update={"donor": None})
    assert "omp" not in {method.name for method in candidates(without)}


def test_what_auto_cannot_do_without(
    tmp_path: Path, qwen: Path, byte_level_extended: Path, sample_corpus: Path
) -> None:
    with pytest.raises(ValidationError, match="give --corpus"):
        run(tmp_path / "out", qwen, byte_level_extended, **QUICK)
    whole = build_corpus(
        CorpusConfig(
            inputs=tuple(map(str, bundled_prose()[:1])), holdout_percent=0, out=tmp_path / "whole"
        )
    ).path
    with pytest.raises(ConfigError, match="no held-out text to choose a method by"):
        run(tmp_path / "out", qwen, byte_level_extended, corpus=whole, **QUICK)
    assert not (tmp_path / "out").exists()


def test_the_choice_in_figures(
    tmp_path: Path, qwen: Path, byte_level_extended: Path, sample_tokenizer: Path
) -> None:
    texts = {"turkish": (str(bundled_prose()[-1]),), "max_text_bytes": 2000}
    made = run(tmp_path / "extended", qwen, byte_level_extended, **texts)
    choices = {row["way"]: row for row in made.figures["choices"]}
    assert set(choices) == {"as it is", "this one", "tr32k", "tr64k"}
    assert choices["as it is"]["parameters"] == made.figures["parameters_before"]
    assert choices["as it is"]["bytes"] == made.figures["bytes_before"]
    assert choices["this one"]["parameters"] == made.figures["parameters"]
    new = made.figures["rows_by_origin"]["composed"]
    assert choices["this one"]["healing_tokens"] == new * EXTEND_TOKENS_PER_ROW
    tokens = {way: row["tokens"]["turkish"] for way, row in choices.items()}
    assert tokens["tr64k"] < tokens["tr32k"] < tokens["this one"] < tokens["as it is"]
    grown = choices["tr64k"]["parameters"] - choices["tr32k"]["parameters"]
    assert grown == 32 * (choices["tr64k"]["rows"] - choices["tr32k"]["rows"])  # 32 wide, tied
    other = run(tmp_path / "replaced", qwen, sample_tokenizer, untie=True, **texts)
    choices = {row["way"]: row for row in other.figures["choices"]}
    assert choices["this one"]["parameters"] == other.figures["parameters"]
    assert choices["extension"]["rows"] == len(Tokenizer(qwen)) + 32_000
    page = (other.path / "report.html").read_text(encoding="utf-8")
    assert "Your choice" in page and f"{choices['tr32k']['parameters']:,}" in page
