"""The models that ship, by name: what a name means, and that what ships is whole and small."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from dilmac.core import InputError, bundled_instructions
from dilmac.evaluate import EvaluateConfig, evaluate
from dilmac.models import (
    DEFAULT_MODEL,
    is_shipped,
    load_model,
    model_folder,
    require_model_folder,
    shipped_model,
    shipped_models,
)
from dilmac.tokenizer import IM_END, Message, Tokenizer, encode_chat
from dilmac.training import FinetuneConfig, finetune
from standin import place_standin

MAX_BYTES = 32 << 20  # of the weights
NUM_PAIRS = 20


@pytest.fixture
def shipped(tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return place_standin(tiny_chat, tmp_path, monkeypatch)


def test_a_name_is_the_folder_that_ships(shipped: Path) -> None:
    assert shipped_models() == [DEFAULT_MODEL]
    assert model_folder(DEFAULT_MODEL) == shipped_model(DEFAULT_MODEL) == shipped
    assert is_shipped(shipped) and is_shipped(shipped / ".." / DEFAULT_MODEL)


def test_a_path_of_that_name_wins(
    shipped: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / DEFAULT_MODEL)
    monkeypatch.chdir(tmp_path)
    assert model_folder(DEFAULT_MODEL).resolve() == tmp_path / DEFAULT_MODEL
    assert not is_shipped(model_folder(DEFAULT_MODEL))
    assert model_folder(tiny_model) == tiny_model


def test_an_unknown_name_is_refused_with_those_there_are(shipped: Path) -> None:
    with pytest.raises(InputError, match=f"no model of that name(.|\n)*one of {DEFAULT_MODEL}"):
        model_folder("dilmac-maxi")
    with pytest.raises(InputError, match=f"'dilmac-maxi' ships(.|\n)*one of {DEFAULT_MODEL}"):
        shipped_model("dilmac-maxi")


def test_without_a_model_that_ships_a_path_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dilmac.models.shipped.FOLDER", tmp_path)
    with pytest.raises(InputError, match="none ships with this installation"):
        model_folder(DEFAULT_MODEL)


def test_a_verb_takes_the_name(shipped: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Sabah erkenden yola çıktık.\n", encoding="utf-8")
    by_name, by_path = (
        evaluate(EvaluateConfig(model=model, text=(str(text),)))
        for model in (Path(DEFAULT_MODEL), shipped)
    )
    assert by_name["model"] == DEFAULT_MODEL
    assert by_name["bits_per_byte"] == by_path["bits_per_byte"]


def short_pairs() -> list[dict[str, str]]:
    """Bundled pairs of all themes that the tiny model's context holds."""
    files = [path.read_text(encoding="utf-8").splitlines() for path in bundled_instructions()]
    pairs = [json.loads(line) for lines in files for line in lines]
    short = [pair for pair in pairs if len(pair["instruction"] + pair["response"]) < 120]
    return short[:: len(short) // NUM_PAIRS][:NUM_PAIRS]


def ended_answers(folder: Path) -> int:
    """After how many finished answers the model finds `<|im_end|>` the most probable token."""
    tokenizer, model = Tokenizer(folder), load_model(folder).eval()
    end = tokenizer.control_id(IM_END)
    ended = 0
    for pair in short_pairs():
        turns = (Message("user", pair["instruction"]), Message("assistant", pair["response"]))
        ids = encode_chat(tokenizer, turns).ids
        finished = len(ids) - 1 - ids[::-1].index(end)  # what stands there is to be predicted
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([ids[:finished]])).logits[0, -1]
        ended += int(logits.argmax()) == end
    return ended


def test_only_a_taught_model_ends_its_answers(tiny_model: Path, tmp_path: Path) -> None:
    """What is asked of the shipped model below is asked of untrained rows in vain."""
    assert len(short_pairs()) == NUM_PAIRS
    assert ended_answers(tiny_model) == 0
    data = tmp_path / "pairs.jsonl"
    lines = [json.dumps(pair) for pair in short_pairs()]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = FinetuneConfig(
        model=tiny_model,
        data=data,
        method="full",
        epochs=12,
        batch_size=4,
        learning_rate=3e-3,
        validation_percent=0,
        out=tmp_path / "taught",
    )
    assert ended_answers(finetune(config).path) > NUM_PAIRS / 2


# What really ships, without a stand-in.


def test_it_ships_whole_and_small() -> None:
    folder = shipped_model(DEFAULT_MODEL)
    settings = require_model_folder(folder)
    assert settings["architectures"] == ["LlamaForCausalLM"]
    assert settings["hidden_size"] % 256 == 0 and settings["intermediate_size"] % 256 == 0
    weights = list(folder.glob("*.safetensors"))
    assert 0 < sum(file.stat().st_size for file in weights) <= MAX_BYTES
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()}
    assert not suffixes & {".bin", ".pt", ".pth", ".pkl", ".py"}
    for name in ("README.md", "LICENSE", "tokenizer.json", "tokenizer.model"):
        assert (folder / name).stat().st_size > 0
    generation = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(folder)
    assert tokenizer.control_id(IM_END) in generation["eos_token_id"]
    assert len(tokenizer) == settings["vocab_size"]


def test_it_opens_in_transformers_with_finite_weights() -> None:
    model = AutoModelForCausalLM.from_pretrained(shipped_model(DEFAULT_MODEL))
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())


def test_it_ends_its_answers() -> None:
    assert ended_answers(shipped_model(DEFAULT_MODEL)) > NUM_PAIRS / 2


def test_it_has_learned_turkish(tmp_path: Path) -> None:
    """A random model needs about 3.4 bits a byte here; it was 2.3 when this one was made."""
    text = tmp_path / "text.txt"
    text.write_text(
        "Sabah erkenden kalkıp pazara gittik. Domates, biber ve taze ekmek aldık; eve dönünce "
        "bütün aile kahvaltı sofrasında toplandı.\n",
        encoding="utf-8",
    )
    config = EvaluateConfig(model=Path(DEFAULT_MODEL), text=(str(text),))
    assert evaluate(config)["bits_per_byte"] < 2.6
