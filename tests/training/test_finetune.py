"""Fine-tuning: new rows are trained and saved, merging loses nothing, a killed run goes on."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from dilmac.core import InputError, bundled_instructions, open_artifact, read_events
from dilmac.tokenizer import IM_END, IM_START, Tokenizer
from dilmac.training import FinetuneConfig, finetune
from killing import has_steps, kill_dilmac_when, run_dilmac


def test_loss_falls_and_figures_say_so(tiny_chat: Path) -> None:
    figures = open_artifact(tiny_chat, "model").figures
    assert figures["validation_loss"] < figures["validation_loss_before"]
    parts = ("examples", "examples_validation", "examples_too_long", "leaks")
    assert sum(figures[part] for part in parts) == 60
    assert 0 < figures["trainable_parameters"] < figures["total_parameters"]
    steps = [e["step"] for e in read_events(tiny_chat / "events.jsonl") if e["event"] == "step"]
    assert steps == list(range(1, figures["steps"] + 1))


def test_rows_of_the_markers_were_trained(tiny_model: Path, tiny_chat: Path) -> None:
    tokenizer = Tokenizer(tiny_chat)
    before, after = (
        AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.detach()
        for folder in (tiny_model, tiny_chat)
    )
    for token in (IM_START, IM_END):
        row = tokenizer.control_id(token)
        assert float((before[row] - after[row]).abs().max()) > 1e-4


def test_merged_model_equals_base_with_adapter(tiny_model: Path, tiny_chat: Path) -> None:
    merged = AutoModelForCausalLM.from_pretrained(tiny_chat)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    separate = PeftModel.from_pretrained(base, tiny_chat / "adapter").eval()
    ids = AutoTokenizer.from_pretrained(tiny_chat)("Merhaba, nasılsın?", return_tensors="pt")
    with torch.inference_mode():
        difference = (merged(ids.input_ids).logits - separate(ids.input_ids).logits).abs().max()
    assert float(difference) < 1e-4
    assert merged.get_input_embeddings().weight is merged.get_output_embeddings().weight


def test_in_full_every_parameter_is_trained_and_none_stands_beside(
    tiny_model: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = bundled_instructions()[0].read_text(encoding="utf-8").splitlines()
    (data / "a.jsonl").write_text("\n".join(lines[:40]) + "\n", encoding="utf-8")
    (data / "b.jsonl").write_text("\n".join(lines[40:80]) + "\n", encoding="utf-8")
    config = FinetuneConfig(
        model=tiny_model,
        data=data,
        method="full",
        epochs=1,
        test_percent=10,
        max_length=128,
        out=tmp_path / "chat",
    )
    made = finetune(config)
    figures = made.figures
    assert figures["trainable_parameters"] == figures["total_parameters"]
    assert figures["validation_loss"] < figures["validation_loss_before"]
    parts = ("examples", "examples_validation", "examples_test", "examples_too_long", "leaks")
    assert sum(figures[part] for part in parts) == 80 and figures["examples_test"]
    assert figures["saved_logit_difference"] < 1e-5
    assert not (made.path / "adapter").exists() and not (made.path / "checkpoints").exists()
    assert {record.name for record in made.manifest.inputs["data"]} == {"a.jsonl", "b.jsonl"}
    before, after = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for folder in (tiny_model, made.path)
    )
    assert all(bool((before[name] != after[name]).any()) for name in before)


def test_the_card_names_the_licenses_of_the_instructions(tiny_model: Path, tmp_path: Path) -> None:
    stated = {"instruction": "Selam ver.", "response": "Merhaba!", "license": "CC-BY-4.0"}
    mine = tmp_path / "mine.jsonl"
    mine.write_text(json.dumps(stated) + "\n", encoding="utf-8")
    ours = bundled_instructions()[1]
    config = FinetuneConfig(
        model=tiny_model, data=(ours, mine), epochs=0.1, max_length=128, out=tmp_path / "chat"
    )
    card = (finetune(config).path / "README.md").read_text(encoding="utf-8")
    count = len(ours.read_text(encoding="utf-8").splitlines())
    assert f"| {ours.name} | {count} | apache-2.0 |" in card
    assert "| mine.jsonl | 1 | CC-BY-4.0 |" in card
    assert f"| apache-2.0 | {count} | " in card


def test_an_answer_can_end(tiny_chat: Path) -> None:
    tokenizer = Tokenizer(tiny_chat)
    model = AutoModelForCausalLM.from_pretrained(tiny_chat)
    assert tokenizer.control_id(IM_END) in model.generation_config.eos_token_id
    assert model.config.pad_token_id not in model.generation_config.eos_token_id


def test_a_model_without_markers_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    for path in tiny_model.iterdir():
        if path.is_file() and path.name != "artifact.json":
            (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").write_text(text.replace("<|im_start|>", "<|other|>"))
    config = FinetuneConfig(model=folder, data=bundled_instructions()[0], out=tmp_path / "out")
    with pytest.raises(InputError, match="no control token <|im_start|>".replace("|", r"\|")):
        finetune(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_and_repeated_gives_the_bytes_of_an_undisturbed_run(
    tiny_model: Path, tmp_path: Path
) -> None:
    def flags(out: Path) -> list[str]:
        data = ["--model", str(tiny_model), "--data", str(bundled_instructions()[0])]
        budget = ["--epochs", "2", "--batch-size", "8", "--checkpoint-steps", "5"]
        steps = ["--micro-batch-size", "4", "--eval-steps", "4"]
        return ["finetune", *data, *budget, *steps, "--lora-dropout", "0.1", "--out", str(out)]

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run_dilmac(*flags(undisturbed)).returncode == 0
    events = tmp_path / ".killed.partial" / "events.jsonl"
    assert kill_dilmac_when(lambda: has_steps(events, 13), *flags(killed))
    assert not killed.exists()
    checkpoints = list((tmp_path / ".killed.partial" / "checkpoints").glob("checkpoint-*"))
    assert checkpoints
    assert run_dilmac(*flags(killed)).returncode == 0
    ours, theirs = open_artifact(killed), open_artifact(undisturbed)
    assert ours.manifest.digest == theirs.manifest.digest
    assert ours.figures == theirs.figures
