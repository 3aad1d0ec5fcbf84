"""Mended copies are the models that they were: the parity proof, in llama.cpp and transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harm import both, filled, overwritten
from made_faults import FAULTS
from tiny_models import change_json

from dilmac.core import ParityError, read_json
from dilmac.export import DoctorConfig, examine_model
from dilmac.export.doctor.config import MendConfig
from dilmac.export.doctor.gguf_file import GgufFile
from dilmac.export.doctor.prove import prove_gguf
from dilmac.export.doctor.verb import mend_gguf

FEW = {"num_lines": 30, "num_fuzz": 60, "num_positions": 30}
FIXABLE = [name for name, fault in FAULTS.items() if fault.mends]
# Several faults in one model, so that a proof says it of all their mends.
TOGETHER = {
    "llama": (
        "prefix-missing", "marker-plain", "piece-normal", "template-missing", "config-few-rows",
        "greedy-temperature", "eos-suppressed", "auto-map", "pad-named-as-eos",
    ),
    "qwen3": (
        "marker-plain-qwen", "pad-below-zero", "template-unmarked", "eos-of-config-only",
        "pickle-beside", "flag-true",
    ),
    "gguf-f32": (
        "gguf-prefix-missing", "gguf-scores-zero", "gguf-normal", "gguf-eos-document",
        "gguf-template-missing", "gguf-few-tokens",
    ),
    "gguf-qwen": (
        "gguf-merges", "gguf-pre-llama", "gguf-user", "gguf-eos-missing", "gguf-template-other",
        "gguf-size",
    ),
}  # fmt: skip
SOURCES = {
    "gguf-f32": "llama", "gguf-f16": "llama-tied", "gguf-q8_0": "llama", "gguf-qwen": "qwen3",
    "gguf-replaced": "replaced",
}  # fmt: skip


def mend(folder: Path, source: Path | None = None) -> dict[str, Any]:
    """The figures of a mended copy beside the folder."""
    values = {"model": folder, "source": source, "fix": True, "out": folder.parent / "mended"}
    mended: dict[str, Any] = examine_model(DoctorConfig.model_validate(values | FEW))["mended"]
    return mended


def require_proof(proof: dict[str, Any]) -> None:
    """Ids equal, log-probabilities within the bound."""
    assert proof["how"] == "llama.cpp", proof
    assert proof["ids"]["different"] == 0 and proof["ids"]["fuzz_strings"] == FEW["num_fuzz"]
    logprobs = proof["logprobs"]
    assert logprobs["bound"] is None or logprobs["largest_difference"] <= logprobs["bound"]


@pytest.mark.parametrize("kind", TOGETHER)
def test_many_faults_are_mended_together_and_the_copy_is_the_model(
    copied: Callable[[str], Path], sound: dict[str, Path], kind: str
) -> None:
    folder = copied(kind)
    both(*(FAULTS[name].harm for name in TOGETHER[kind]))(folder)
    mended = mend(folder, sound.get(SOURCES.get(kind, "")))
    assert mended["left"] == 0, mended["findings_left"]
    (proof,) = mended["proof"].values()
    require_proof(proof)
    if kind.startswith("gguf"):
        assert proof["tensors_equal"] and proof["with"] == "the source"


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXABLE)
def test_every_mend_is_proved_by_itself(
    copied: Callable[[str], Path], sound: dict[str, Path], name: str
) -> None:
    fault = FAULTS[name]
    folder = copied(fault.kind)
    fault.harm(folder)
    mended = mend(folder, sound.get(SOURCES.get(fault.kind, "")))
    assert mended["left"] == 0
    for proof in mended["proof"].values():
        if fault.kind == "adapter":  # no model of its own
            assert proof == {"how": "none", "reason": "no model in the folder"}
        else:
            require_proof(proof)


def test_a_mended_gguf_without_its_model_reads_as_the_tokenizer_beside_it(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("gguf-q8_0")
    FAULTS["gguf-prefix-true"].harm(folder)
    (proof,) = mend(folder)["proof"].values()
    assert proof["how"] == "ids in llama.cpp" and proof["different"] == 0
    assert read_json(folder.parent / "mended" / "artifact.json")["kind"] == "mended"


def test_what_cannot_be_written_as_gguf_is_compared_in_transformers(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("qwen3")
    change_json(folder / "config.json", attention_bias=False, use_sliding_window=True)
    change_json(folder / "generation_config.json", temperature=0.5)
    (proof,) = mend(folder)["proof"].values()
    assert proof["how"] == "transformers" and proof["largest_difference"] == 0


def test_a_copy_with_another_tensor_fails_the_proof(
    copied: Callable[[str], Path], sound: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied("gguf-f32")
    FAULTS["gguf-prefix-missing"].harm(folder)
    original, target = folder / "model.gguf", tmp_path / "copy" / "model.gguf"
    target.parent.mkdir()
    made = mend_gguf(original, target).made
    assert made == ["tokenizer.ggml.add_space_prefix: set it to false"]
    overwritten(slice(5, 6), 0)(target.parent)
    config = MendConfig.model_validate({"model": original, "out": tmp_path / "out", **FEW})
    with pytest.raises(ParityError, match="a tensor has other bytes"):
        prove_gguf(GgufFile(original), target, config)


def test_a_copy_that_is_not_the_source_is_removed(
    copied: Callable[[str], Path], sound: dict[str, Path]
) -> None:
    folder = copied("gguf-f32")
    FAULTS["gguf-prefix-missing"].harm(folder)
    other = folder.parent / "other"
    other.mkdir()
    for file in sound["llama"].iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    filled(lambda rows: -rows, slice(0, 900), "lm_head.weight")(other)
    with pytest.raises(ParityError, match="log-probabilities differ"):
        mend(folder, other)
    assert not (folder.parent / "mended").exists()


def test_the_same_command_again_does_nothing(copied: Callable[[str], Path]) -> None:
    folder = copied("llama")
    FAULTS["prefix-true"].harm(folder)
    values = {"model": folder, "fix": True, "out": folder.parent / "mended", "prove": False}
    first = examine_model(DoctorConfig.model_validate(values))
    written = (folder.parent / "mended" / "config.json").stat().st_mtime_ns
    assert examine_model(DoctorConfig.model_validate(values)) == first
    assert (folder.parent / "mended" / "config.json").stat().st_mtime_ns == written
