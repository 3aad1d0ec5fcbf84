"""Cards: what is known is said, what is not known is not made up."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from dilmac.core import StageConfig, building
from dilmac.models import CardFacts, DataSource, preset_named, write_card, write_model_card
from dilmac.models.card import base_data, base_license, data_sources
from dilmac.models.card_data import SHARE_ALIKE

CONFIG = preset_named("mini").shape_config(32_000).to_dict()


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
        "### By source\n\n| source | value |\n|---|---:|\n| news | 1.5 |",
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


LICENSED = (
    DataSource("wiki", 900, licenses={"CC0-1.0": 1, "CC-BY-SA-4.0": 899}),
    DataSource("web", 90, "MIT"),
    DataSource("forum", 10),
)


def licenses_part(folder: Path) -> str:
    text = (folder / "README.md").read_text(encoding="utf-8")
    return " ".join(text.split("### Licenses of the data")[1].split("\n## ")[0].split())


def test_share_alike_and_unknown_licenses_are_said_plainly(tmp_path: Path) -> None:
    write_card(tmp_path, facts(sources=LICENSED))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| wiki | 900 | CC-BY-SA-4.0 (99.9%), CC0-1.0 (0.1%) |" in text
    assert "| license | documents | share |\n|---|---:|---|\n| CC-BY-SA-4.0 | 899 | 89.9% |" in text
    said = licenses_part(tmp_path)
    assert "**Share-alike: 89.9% of the documents** (CC-BY-SA-4.0)." in said
    assert "**Unknown: 1.0% of the documents.**" in said
    write_card(tmp_path, facts(sources=LICENSED[1:2]))
    said = licenses_part(tmp_path)
    assert "No share-alike license and no unknown one" in said and "**" not in said
    write_card(tmp_path, facts(sources=()))
    assert "take them for unknown" in licenses_part(tmp_path)
    write_card(tmp_path, facts(sources=(DataSource("wiki", license="cc-by-sa-4.0"),)))
    assert "**Share-alike: a part of the documents**" in licenses_part(tmp_path)


@pytest.mark.parametrize(
    ("license", "is_share_alike"),
    [
        ("CC-BY-SA-4.0", True),
        ("CC BY-SA (version not stated)", True),
        ("cc_by_nc_sa_3.0", True),
        ("Attribution-ShareAlike 4.0 International", True),
        ("GPLv3", True),
        ("Atıf-AynıLisanslaPaylaş 4.0 Uluslararası", True),
        ("AGPL-3.0", True),
        ("odbl", True),
        ("CC-BY-4.0", False),
        ("CC-BY-NC-4.0", False),
        ("public-domain text (San Salvador)", False),
        ("MIT", False),
    ],
)
def test_which_licenses_are_share_alike(license: str, is_share_alike: bool) -> None:
    assert bool(SHARE_ALIKE.search(license)) == is_share_alike


def test_a_share_that_is_there_is_never_none(tmp_path: Path) -> None:
    write_card(tmp_path, facts(sources=(DataSource("a", 10**6, "MIT"), DataSource("b", 1))))
    assert "**Unknown: under 0.1% of the documents.**" in licenses_part(tmp_path)


def test_training_on_from_a_model_is_said(tmp_path: Path) -> None:
    write_card(tmp_path, facts())
    said = base_data(tmp_path)
    assert "trained from scratch" in (tmp_path / "README.md").read_text(encoding="utf-8")
    write_card(tmp_path, facts(has_base=True, license="gemma", base_data=said))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "trained on from another one" in text and "from scratch" not in text
    assert "Training went on from the weights of another model" in text
    assert "#### Licenses of the data" in text and "which stand below" in text
    assert "`gemma`, as it was stated for the original weights" in text
    write_card(tmp_path, facts(has_base=True, license="unknown"))
    assert "of which nothing is recorded" in licenses_part(tmp_path)
    assert "Apache" not in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_license_stated_for_weights_from_scratch_is_not_apache(tmp_path: Path) -> None:
    write_card(tmp_path, facts(license="cc-by-sa-4.0"))
    texts = [(tmp_path / n).read_text(encoding="utf-8") for n in ("README.md", "LICENSE")]
    assert all("cc-by-sa-4.0" in text and "Apache" not in text for text in texts)
    assert "another model" not in texts[1]


def corpus_with(figures: dict[str, Any], source: Path, out: Path) -> Path:
    """The sample corpus with other figures, as an earlier version may have recorded them."""
    shutil.copytree(source, out)
    manifest = json.loads((out / "artifact.json").read_bytes())
    manifest["figures"] = figures
    (out / "artifact.json").write_text(json.dumps(manifest), encoding="utf-8")
    return out


def test_sources_of_several_corpora_add_up(tmp_path: Path, sample_corpus: Path) -> None:
    old = {"documents_kept": 12, "kept_by_source": {"a": 4, "b": 6}}
    new = {
        "documents_kept": 9,
        "kept_by_source": {"a": 9},
        "licenses": {"a": {"MIT": 7, "unknown": 2}},
    }
    made = [
        corpus_with(old, sample_corpus, tmp_path / "o"),
        corpus_with(new, sample_corpus, tmp_path / "n"),
    ]
    rows = {row.name: (row.documents, row.by_license()) for row in data_sources(made)}
    assert rows == {
        "a": (13, {"MIT": 7, "unknown": 6}),
        "b": (6, {"unknown": 6}),
        "(other sources)": (2, {"unknown": 2}),
    }


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
            )
            build.finish({"steps": 3})
        texts.append((tmp_path / name / "README.md").read_text(encoding="utf-8"))
        assert (tmp_path / name / "LICENSE").is_file()
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0] and "unknown |" in texts[0]
