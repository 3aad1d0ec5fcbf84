"""Cards: what is known is said, what is not known is not made up."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import StageConfig, building
from dilmac.models import CardFacts, DataSource, preset_named, write_card, write_model_card
from dilmac.models.card import base_data, base_license

CONFIG = preset_named("mini").llama_config(32_000).to_dict()


def facts(**changes: Any) -> CardFacts:
    given: dict[str, Any] = {
        "how": "pretrained",
        "license": "apache-2.0",
        "model_config": CONFIG,
        "settings": {"preset": "mini", "tokens": 2_000_000},
        "figures": {
            "heldout_bits_per_byte": 1.2345,
            "by_source": {"news": 1.5},
            "samples": {"Bir gün": "Bir gün | *geldi*\n# son"},
        },
        "seed": 7,
        "inputs": {"corpus": "ab" * 32},
        "sources": (DataSource("wiki", 1200, "cc-by-sa-4.0"), DataSource("forum", 30)),
    }
    return CardFacts(**{**given, **changes})


def front(folder: Path) -> dict[str, Any]:
    card = ModelCard.load(folder / "README.md")
    values: dict[str, Any] = card.data.to_dict()
    return values


def test_a_card_says_what_is_known_as_the_hub_reads_it(tmp_path: Path) -> None:
    write_card(tmp_path, facts())
    values = front(tmp_path)
    assert values["language"] == ["tr"] and values["license"] == "apache-2.0"
    assert values["pipeline_tag"] == "text-generation" and "llama" in values["tags"]
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for expected in (
        "| wiki | 1,200 | cc-by-sa-4.0 |",
        "| forum | 30 | unknown |",
        "| heldout_bits_per_byte | 1.2345 |",
        "| by_source / news | 1.5 |",
        "| hidden_size | 256 |",
        "| tokens | 2,000,000 |",
        "Seed: 7.",
        "ab" * 32,
        "| transformers |",
        "    Bir gün | *geldi*\n    # son",
        "## Responsible use",
        "### Sorumlu kullanım",
        "at most 512 tokens",
        "en çok 512 token",
    ):
        assert expected in text, expected
    license_text = (tmp_path / "LICENSE").read_text(encoding="utf-8")
    assert license_text == (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")


def test_a_base_models_license_goes_on_to_hold(tmp_path: Path) -> None:
    base, made = tmp_path / "base", tmp_path / "made"
    base.mkdir()
    made.mkdir()
    write_card(made, facts(how="finetuned", license="gemma"))
    assert front(made)["license"] == "gemma"
    assert "gemma" in (made / "LICENSE").read_text(encoding="utf-8")
    (base / "LICENSE").write_text("Terms of the base.", encoding="utf-8")
    write_card(made, facts(how="finetuned", license="gemma", base_license_file=base / "LICENSE"))
    assert (made / "LICENSE").read_text(encoding="utf-8") == "Terms of the base."
    write_card(made, facts(how="converted", license="unknown"))
    assert "not known" in (made / "LICENSE").read_text(encoding="utf-8")
    assert "Apache" not in (made / "README.md").read_text(encoding="utf-8")


def test_the_base_models_data_go_on_to_be_said(tmp_path: Path) -> None:
    write_card(tmp_path, facts())
    said = base_data(tmp_path)
    assert said is not None and "| wiki | 1,200 | cc-by-sa-4.0 |" in said
    write_card(tmp_path, facts(how="finetuned", sources=(), base_data=said))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "### Data of the base model" in text and "| forum | 30 | unknown |" in text
    (tmp_path / "README.md").write_text("## Data\n\nAll of it.\n\n## More\n", encoding="utf-8")
    assert base_data(tmp_path) is None  # another house's card has other words


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: mit\n---\n# x", "mit"),
        ("---\r\nlicense: apache-2.0\r\n---\r\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research"),
        ("---\nlicense: [mit, other]\n---\n", "unknown"),
        ("---\nlicense: 'mit\\n  evil: 1'\n---\n", "unknown"),
        ("---\nlicense: {\n---\n", "unknown"),
        ("---\n- 1\n---\n", "unknown"),
        ("no front matter; license: mit", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_license_is_read_and_never_guessed(
    tmp_path: Path, card: str | None, license: str
) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card, encoding="utf-8", newline="")
    assert base_license(tmp_path) == license


@given(name=st.text(min_size=1, max_size=30), value=st.text(max_size=60))
def test_no_name_or_value_breaks_the_card(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: str
) -> None:
    folder = tmp_path_factory.mktemp("card")
    card = facts(
        sources=(DataSource(name, 3, value),),
        settings={"x": value},
        figures={"samples": {name: value}},
    )
    write_card(folder, card)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "apache-2.0"
    lines = text.split("\n")
    row = lines[lines.index("| source | documents | license |") + 2]
    assert row.startswith("| ") and row.endswith(" |")
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 4


class MakeConfig(StageConfig):
    """A stage that makes a model folder."""

    corpus: Path


def test_a_stage_writes_its_card_in_one_line_and_it_repeats(
    tmp_path: Path, sample_corpus: Path
) -> None:
    texts = []
    for name in ("one", "two"):
        config = MakeConfig(corpus=sample_corpus, out=tmp_path / name)
        with building("model", config, {"corpus": [sample_corpus]}) as build:
            (build.path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
            write_model_card(
                build,
                {"steps": 3},
                how="pretrained",
                corpora=[sample_corpus],
                licenses={"technology": "cc0-1.0"},
            )
            build.finish({"steps": 3})
        texts.append((tmp_path / name / "README.md").read_text(encoding="utf-8"))
        assert (tmp_path / name / "LICENSE").is_file()
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0] and "unknown |" in texts[0]
