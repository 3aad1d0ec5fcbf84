"""Healing: what is trained, what stays, what is matched, and when it stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import make_model
from transformers import AutoModelForCausalLM

from dilmac.core import (
    ConfigError,
    InputError,
    bundled_prose,
    count_text_bytes,
    open_artifact,
    read_events,
)
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.tokenizer import Tokenizer, open_side
from dilmac.training import IGNORED, TrainedModel
from dilmac.transplant import HealConfig, TransplantConfig, heal, transplant
from dilmac.transplant.heal.chunks import Pair
from dilmac.transplant.heal.losses import LikelihoodMatching, StateMatching, coin_divergence
from dilmac.transplant.heal.patient import Patient, first_new_row
from dilmac.transplant.heal.teacher import Teacher, states_after
from dilmac.transplant.heal.verb import replay_weights

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, byte_level: Path) -> Path:
    return make_model(tmp_path_factory.mktemp("source") / "qwen3", byte_level)


@pytest.fixture(scope="module")
def grafts(
    tmp_path_factory: pytest.TempPathFactory, byte_level: Path, byte_level_extended: Path
) -> dict[bool, Path]:
    """Extended models, tied and untied."""
    made = {}
    for tied in (True, False):
        folder = tmp_path_factory.mktemp("grafts")
        source = make_model(folder / "source", byte_level, tied=tied)
        config = TransplantConfig(
            model=str(source), tokenizer=str(byte_level_extended), out=folder / "extended"
        )
        made[tied] = transplant(config).path
    return made


def config_of(model: Path, corpus: Path, out: Path, **others: Any) -> HealConfig:
    values: dict[str, Any] = {
        "model": model,
        "corpus": corpus,
        "out": out,
        "context": 64,
        "batch_tokens": 512,
        "tokens": 512 * 12,
        "learning_rate": 3e-3,
        "eval_steps": 4,
        "eval_bytes": 3000,
        "checkpoint_steps": 5,
        "save_precision": "fp32",
        "precision": "fp32",
        "lora_rank": 4,
    }
    return HealConfig(**(values | others))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return {name: p.detach() for name, p in model.named_parameters()}


def bits_on_the_way(folder: Path) -> list[float]:
    events = read_events(folder / "events.jsonl")
    return [event["bits_per_byte"] for event in events if event["event"] == "heldout"]


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_alone(
    tmp_path: Path, grafts: dict[bool, Path], sample_corpus: Path, tied: bool
) -> None:
    healed = heal(config_of(grafts[tied], sample_corpus, tmp_path / "out", train="rows"))
    before, after = tensors(grafts[tied]), tensors(healed.path)
    assert before.keys() == after.keys()
    first = open_artifact(grafts[tied]).figures["first_made_row"]
    tables = [EMBEDDING] if tied else [EMBEDDING, HEAD]
    for name, old in before.items():
        if name in tables:
            assert torch.equal(after[name][:first], old[:first])
            assert not torch.equal(after[name][first:], old[first:])
        else:
            assert torch.equal(after[name], old)
    bits = bits_on_the_way(healed.path)
    assert bits[-1] < bits[0] - 0.01
    assert AutoModelForCausalLM.from_pretrained(healed.path).config.tie_word_embeddings == tied


@pytest.mark.parametrize("train", ["lora", "all"])
def test_more_than_rows(
    tmp_path: Path, grafts: dict[bool, Path], sample_corpus: Path, train: str
) -> None:
    healed = heal(config_of(grafts[True], sample_corpus, tmp_path / "out", train=train))
    before, after = tensors(grafts[True]), tensors(healed.path)
    assert before.keys() == after.keys()
    assert not torch.equal(after[EMBEDDING], before[EMBEDDING])
    layer = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(after[layer], before[layer])
    norm = "model.layers.0.input_layernorm.weight"
    assert torch.equal(after[norm], before[norm]) == (train == "lora")
    bits = bits_on_the_way(healed.path)
    assert min(bits[1:]) < bits[0] - 0.1
    assert healed.figures["weights_of_step"] == 4 * bits.index(min(bits))


def test_rows_as_their_own_parameter_learn_as_rows_of_the_table(
    grafts: dict[bool, Path], sample_corpus: Path, tmp_path: Path
) -> None:
    """The gradient of the new rows is that of the whole table's last rows."""
    config = config_of(grafts[True], sample_corpus, tmp_path / "out", train="rows")
    patient = Patient(config, first_new_row(config))
    model = patient.open(config.as_pretraining({}), Tokenizer(grafts[True]))
    rows = patient.wrap(model, torch.float32, False)
    whole = AutoModelForCausalLM.from_pretrained(grafts[True], dtype=torch.float32)
    known = len(Tokenizer(grafts[True]))
    ids = torch.randint(0, known, (3, 40), generator=torch.Generator().manual_seed(0))
    losses = [part(ids[:, :-1], ids[:, 1:]) for part in (rows, _plain(whole))]
    torch.testing.assert_close(losses[0], losses[1])
    for loss in losses:
        loss.backward()
    assert patient.first is not None
    torch.testing.assert_close(
        model.embed_tokens_new.grad,
        whole.get_input_embeddings().weight.grad[patient.first :],
        rtol=1e-4,
        atol=1e-4,
    )
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["embed_tokens_new"]


def _plain(model: Any) -> TrainedModel:
    return TrainedModel(model, torch.float32, compiled=False)


def test_it_stops_when_held_out_text_gains_nothing_and_keeps_the_best(
    tmp_path: Path, grafts: dict[bool, Path], sample_corpus: Path
) -> None:
    config = config_of(
        grafts[True],
        sample_corpus,
        tmp_path / "out",
        train="all",
        learning_rate=5.0,  # destroys the model
        schedule="constant",
        eval_steps=2,
        patience=2,
        tokens=512 * 40,
    )
    healed = heal(config)
    bits = bits_on_the_way(healed.path)
    assert healed.figures["steps"] < 40
    assert healed.figures["heldout_bits_per_byte"] <= min(bits[1:]) + 0.05


def test_a_killed_run_goes_on_to_the_same_weights(
    tmp_path: Path, grafts: dict[bool, Path], sample_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = heal(config_of(grafts[True], sample_corpus, tmp_path / "whole"))
    from dilmac.training import loop

    save, count = loop.save_checkpoint, []

    def killed(*args: Any, **others: Any) -> None:
        save(*args, **others)
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_checkpoint", killed)
    again = config_of(grafts[True], sample_corpus, tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        heal(again)
    monkeypatch.undo()
    healed = heal(again)
    assert healed.figures == whole.figures
    assert healed.manifest.files["model.safetensors"] == whole.manifest.files["model.safetensors"]


# ---- a teacher


@settings(deadline=None, max_examples=60)
@given(st.text(st.sampled_from("abcğşı İ.,1\n"), max_size=60))
def test_chunks_cover_the_same_bytes(byte_level: Path, sample_tokenizer: Path, text: str) -> None:
    pair = _pair(str(sample_tokenizer), str(byte_level))
    student, teacher = open_side(sample_tokenizer), open_side(byte_level)
    end = student.control["<|endoftext|>"]
    ids = [end, *student.encode(text), end]
    theirs, chunks = pair.read(ids)
    assert theirs[0] == teacher.control["<|endoftext|>"] == theirs[-1]
    at = [0, 0]
    for chunk in chunks:
        assert [chunk.source[0], chunk.target[0]] == at
        spans = (ids[slice(*chunk.source)], theirs[slice(*chunk.target)])
        data = [
            b"".join(side.rows[row] or b"?" for row in span)
            for side, span in zip((student, teacher), spans, strict=True)
        ]
        assert data[0] == data[1] != b""
        at = [chunk.source[1], chunk.target[1]]
    assert at == [len(ids), len(theirs)]


_PAIRS: dict[tuple[str, str], Pair] = {}


def _pair(student: str, teacher: str) -> Pair:
    key = (student, teacher)
    if key not in _PAIRS:
        _PAIRS[key] = Pair.of(Path(student), Path(teacher))
    return _PAIRS[key]


@given(st.floats(-40, -1e-3), st.floats(-40, -1e-3))
def test_coins_differ_by_what_their_likelihoods_do(theirs: float, ours: float) -> None:
    p, q = (torch.tensor(value, dtype=torch.float64) for value in (theirs, ours))
    assert float(coin_divergence(p, q)) >= -1e-9
    assert float(coin_divergence(p, p)) == pytest.approx(0, abs=1e-9)
    a, b = (p / 100).exp(), (q / 100).exp()
    expected = 100 * (a * (a / b).log() + (1 - a) * ((1 - a) / (1 - b)).log())
    assert float(coin_divergence(p, q)) == pytest.approx(float(expected), abs=1e-9)


def batch(folder: Path, length: int = 80) -> tuple[torch.Tensor, torch.Tensor]:
    tokenizer = Tokenizer(folder)
    text = bundled_prose()[0].read_text(encoding="utf-8")
    ids = tokenizer.encode(text)[: 2 * length]
    rows = torch.tensor(ids).view(2, length)
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


@pytest.mark.parametrize("kind", [LikelihoodMatching, StateMatching])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(source: Path, kind: Any) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    matching = kind(_plain(model), Teacher(source, source, torch.float32))
    inputs, targets = batch(source)
    loss = matching(inputs, targets)
    assert float(loss.detach()) == pytest.approx(0, abs=2e-3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    assert float(matching(inputs, targets).detach()) > 10 * float(loss.detach()) + 0.1


def test_likelihoods_are_the_teachers(source: Path, grafts: dict[bool, Path]) -> None:
    """Against a loop over all of the teacher's tokens."""
    teacher = Teacher(source, grafts[True], torch.float32)
    inputs, targets = batch(grafts[True])
    ids = [*inputs[0].tolist(), int(targets[0, -1])]
    theirs, _ = teacher.pair.read(ids)
    with torch.inference_mode():
        logits = teacher.model(torch.tensor([theirs])).logits[0].log_softmax(-1)
    found = teacher.likelihoods(ids)
    assert found
    opens = [row for row in range(len(teacher.opens)) if teacher.opens[row]]
    for chunk, value in found:
        expected = sum(float(logits[at - 1, theirs[at]]) for at in range(*chunk.target))
        assert value == pytest.approx(expected, abs=1e-3)
        assert float(logits[chunk.target[1] - 1, opens].exp().sum()) > 0.1
    before = [chunk.target[0] for chunk, _ in found[1:]]
    assert before == [chunk.target[1] for chunk, _ in found[:-1]]


def test_ignored_targets_are_in_no_chunk(source: Path, grafts: dict[bool, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(grafts[True], dtype=torch.float32)
    matching = LikelihoodMatching(_plain(model), Teacher(source, grafts[True], torch.float32))
    inputs, targets = batch(grafts[True])
    whole = float(matching(inputs, targets).detach())
    targets[:, :40] = IGNORED
    assert 0 < float(matching(inputs, targets).detach()) < whole
    targets[:] = IGNORED
    assert float(matching(inputs, targets).detach()) == 0


def test_states_after_a_layer_are_those_of_the_whole_model(source: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        every = model.model(ids, output_hidden_states=True).hidden_states
        num_hooks = len(model.get_decoder().layers[0]._forward_hooks)
        torch.testing.assert_close(states_after(model, 1, input_ids=ids), every[1])
    assert len(model.get_decoder().layers[0]._forward_hooks) == num_hooks


@pytest.mark.parametrize("way", [("alm", "lora"), ("hidden", "rows"), ("alm", "rows")])
def test_healing_by_a_teacher(
    tmp_path: Path,
    grafts: dict[bool, Path],
    source: Path,
    sample_corpus: Path,
    way: tuple[str, str],
) -> None:
    loss, train = way
    config = config_of(
        grafts[True],
        sample_corpus,
        tmp_path / "out",
        loss=loss,
        train=train,
        teacher=source,
        tokens=512 * 8,
        patience=None,
    )
    healed = heal(config)
    steps = [e["loss"] for e in read_events(healed.path / "events.jsonl") if e["event"] == "step"]
    assert sum(steps[-3:]) < sum(steps[:3])
    assert healed.figures["loss"] == loss


# ---- settings


def test_replay_has_its_share(
    tmp_path: Path, grafts: dict[bool, Path], sample_corpus: Path
) -> None:
    other = tmp_path / "other.jsonl"
    texts = bundled_prose()[0].read_text(encoding="utf-8").splitlines()[:20]
    lines = [{"text": json.loads(text)["text"], "source": "en"} for text in texts]
    other.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    built = build_corpus(
        CorpusConfig(inputs=(str(other),), source_field="source", out=tmp_path / "other")
    )
    config = config_of(
        grafts[True], sample_corpus, tmp_path / "out", replay=(built.path,), replay_share=0.25
    )
    (weight,) = set(replay_weights(config).values())
    own, more = (count_text_bytes(path, "train") for path in (sample_corpus, built.path))
    assert weight * more / (weight * more + own) == pytest.approx(0.25)
    same = config.model_copy(update={"replay": (sample_corpus,)})
    with pytest.raises(ConfigError, match="is in what is learned and in what is replayed"):
        replay_weights(same)
    greedy = config.model_copy(update={"replay_share": 0.9999})
    with pytest.raises(ConfigError, match=r"--replay: .* bytes to replay would be read"):
        replay_weights(greedy)


def test_what_cannot_be(
    tmp_path: Path,
    grafts: dict[bool, Path],
    sample_corpus: Path,
    byte_level: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_model = grafts[True].parent / "source"  # no transplant
    for others, found in (
        ({"loss": "alm"}, "--teacher"),
        ({"loss": "hidden", "teacher": tiny_model, "train": "lora"}, "--train rows"),
    ):
        with pytest.raises(ValueError, match=found):
            config_of(grafts[True], sample_corpus, tmp_path / "out", **others)
    with pytest.raises(InputError, match="nothing says which rows are new"):
        heal(config_of(tiny_model, sample_corpus, tmp_path / "out", train="rows"))
    gemma = make_model(tmp_path / "gemma", byte_level, "gemma2")
    with pytest.raises(InputError, match="final_logit_softcapping"):
        heal(config_of(gemma, sample_corpus, tmp_path / "out", train="all"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one process"):
        heal(config_of(grafts[True], sample_corpus, tmp_path / "two"))
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(InputError, match="longer than the model's context"):
        heal(config_of(grafts[True], sample_corpus, tmp_path / "long", context=300))


def test_padding_after_new_rows_is_trained_with_them(
    tmp_path: Path, source: Path, byte_level_extended: Path, sample_corpus: Path
) -> None:
    config = TransplantConfig(
        model=str(source), tokenizer=str(byte_level_extended), pad_to=64, out=tmp_path / "padded"
    )
    made = transplant(config)
    first = made.figures["first_made_row"]
    assert first == made.figures["rows_before"] and made.figures["rows"] % 64 == 0
    healed = heal(config_of(made.path, sample_corpus, tmp_path / "out", train="rows"))
    before, after = (tensors(path)[EMBEDDING] for path in (made.path, healed.path))
    assert torch.equal(before[:first], after[:first])
    assert not torch.equal(before[first:], after[first:])
