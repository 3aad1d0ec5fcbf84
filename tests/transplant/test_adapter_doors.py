"""After a change of tokenizer: the adapter with its new rows gives the same logits at every door.

Qwen3's shape on a byte-level tokenizer, extended and transplanted by dilmac; fine-tuned; then the
adapter on a fresh base by plain peft, merged by peft, merged by dilmac, and in llama.cpp as GGUF.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from small_models import make_model, run
from transformers import AutoConfig, AutoModelForCausalLM

from dilmac.cli import main
from dilmac.core import Artifact, bundled_instructions, bundled_prose, open_artifact
from dilmac.export import GgufConfig, export_gguf
from dilmac.tokenizer import Tokenizer
from dilmac.training import open_adapters
from dilmac.training.tune.merge import logits_on
from tunings import tune

WITHIN = {"rtol": 0, "atol": 1e-4}  # in f32
TEXT = bundled_prose()[0].read_text(encoding="utf-8")[:600]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    byte_level: Path,
    byte_level_extended: Path,
) -> Path:
    """A tiny Qwen3 whose vocabulary was extended."""
    folder = tmp_path_factory.mktemp("extended")
    source = make_model(folder / "qwen3", byte_level, tied=request.param, initializer_range=0.1)
    return Path(run(folder / "base", source, byte_level_extended).path)


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()[:24]
    data = tmp_path_factory.mktemp("data") / "few.jsonl"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path_factory.mktemp("runs") / "tanim"
    return tune(base, data, out, max_length=256, learning_rate=1e-2)


def probe(folder: Path) -> torch.Tensor:
    ids = torch.tensor([Tokenizer(folder).encode(TEXT)[:120]])
    first = open_artifact(folder).figures["first_made_row"]
    assert int((ids >= first).sum()) > 10  # the text speaks the new vocabulary
    return ids


def fresh(folder: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def test_only_new_rows_are_trained_and_saved(base: Path, tuned: Artifact) -> None:
    first = open_artifact(base).figures["first_made_row"]
    assert tuned.figures["first_made_row"] == first  # which a further fine-tuning looks for
    before, after = fresh(base).requires_grad_(False), fresh(tuned.path).requires_grad_(False)
    for table in ("get_input_embeddings", "get_output_embeddings"):
        change = (getattr(after, table)().weight - getattr(before, table)().weight).abs().amax(1)
        assert float(change[:first].max()) == 0
        assert float((change[first:] > 0).float().mean()) > 0.05
    saved = load_file(tuned.path / "adapter" / "adapter_model.safetensors")
    rows = [tensor for name, tensor in saved.items() if "trainable_tokens" in name]
    num_tables = 1 if before.config.tie_word_embeddings else 2
    shape = before.get_input_embeddings().weight[first:].shape
    assert [tensor.shape for tensor in rows] == [shape] * num_tables
    assert not any(tensor.shape[0] == before.config.vocab_size for tensor in saved.values())


def test_the_logits_are_equal_at_every_door(
    base: Path, tuned: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = probe(base)
    trained = logits_on(fresh(tuned.path), ids)
    assert float((trained - logits_on(fresh(base), ids)).abs().max()) > 0.1
    plain = PeftModel.from_pretrained(fresh(base), str(tuned.path / "adapter")).eval()
    torch.testing.assert_close(logits_on(plain, ids), trained, **WITHIN)
    torch.testing.assert_close(logits_on(plain.merge_and_unload(), ids), trained, **WITHIN)
    chosen = open_adapters(fresh(base), tuned.path.parent)
    torch.testing.assert_close(logits_on(chosen, ids), trained, **WITHIN)
    out = tmp_path / "merged"
    flags = ["--model", str(base), "--adapters", str(tuned.path.parent), "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(["adapters", "merge", *flags, "--json"])
    assert ended.value.code == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["first_made_row"] == tuned.figures["first_made_row"]
    assert figures["adapter"] == "tanim" and figures["merge_logit_difference"] < 1e-4
    torch.testing.assert_close(logits_on(fresh(out), ids), trained, **WITHIN)
    made = export_gguf(
        GgufConfig(
            model=out,
            type="f32",
            out=tmp_path / "gguf",
            num_lines=40,
            num_fuzz=40,
            num_positions=100,
        )
    )
    parity = made.figures["parity"]
    assert parity["ids"]["different"] == 0 and parity["logprobs"]["largest_difference"] < 1e-3
    # llama.cpp gives log-probabilities and keeps keys and values in f16: the file itself, opened
    # by transformers (which misses the width of a head in it), is held to the logits.
    exported = AutoModelForCausalLM.from_pretrained(
        made.path,
        gguf_file=made.figures["file"],
        config=AutoConfig.from_pretrained(out),
        dtype=torch.float32,
    )
    torch.testing.assert_close(logits_on(exported.eval(), ids), trained, **WITHIN)
