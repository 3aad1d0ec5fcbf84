"""The card of a model folder: `README.md` as the hub reads it, and `LICENSE`.

A card says what is known and nothing else: a license that nobody stated is written as unknown.
It names no folder of this machine, so that a repeated run gives the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from dilmac.core import Build, Figures, open_artifact, versions
from dilmac.models.card_text import LICENSE_TEXTS, model_card

How = Literal["pretrained", "finetuned", "converted", "rescaled"]
OURS = "apache-2.0"  # of weights that dilmac makes from text; whoever trains may put another there
UNKNOWN = "unknown"
_DATA = re.compile(r"^## Data\n\n(.*?)\n\n## ", re.DOTALL | re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class DataSource:
    """Texts of one source in the training data."""

    name: str
    documents: int | None = None
    license: str = UNKNOWN


@dataclass(frozen=True)
class CardFacts:
    """What a card says. `license` is the hub's identifier (`apache-2.0`), or `unknown`."""

    how: How
    license: str
    model_config: Mapping[str, Any]  # the folder's config.json
    settings: Mapping[str, Any]  # of the stage, as recorded in artifact.json
    figures: Figures
    seed: int
    inputs: Mapping[str, str] = field(default_factory=dict)  # field → SHA-256
    sources: tuple[DataSource, ...] = ()
    base_license_file: Path | None = None
    base_data: str | None = None  # what the base's card says of its data
    versions: Mapping[str, str] = field(default_factory=versions)


def write_model_card(
    build: Build,
    figures: Figures,
    *,
    how: How,
    corpora: Sequence[Path] = (),
    base: Path | None = None,
    license: str | None = None,
    licenses: Mapping[str, str] | None = None,
) -> None:
    """Write `README.md` and `LICENSE` into an artifact that is nearly done.

    `corpora` are the artifacts whose text was learned; `base` the model folder that the weights come
    from, whose license goes on to hold; `license` that of the weights where it was stated
    otherwise; `licenses` the license of each source of the data, where
    it is known beside what the corpus itself records.
    """
    config = json.loads((build.path / "config.json").read_text(encoding="utf-8"))
    inputs = {
        name: ", ".join(record["sha256"] for record in records)
        for name, records in build.request["inputs"].items()
        if records
    }
    given = licenses or {}
    if corpora:
        sources = tuple(source for corpus in corpora for source in data_sources(corpus, given))
    else:
        sources = tuple(DataSource(name, license=terms) for name, terms in given.items())
    facts = CardFacts(
        how=how,
        license=license or (base_license(base) if base else OURS),
        model_config=config,
        settings=build.request["config"],
        figures=figures,
        seed=build.seed,
        inputs=inputs,
        sources=sources,
        base_license_file=_license_file(base) if base else None,
        base_data=base_data(base) if base else None,
    )
    write_card(build.path, facts)


def write_card(folder: Path, facts: CardFacts) -> None:
    """Write `README.md` and `LICENSE` into a model folder."""
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8", newline="\n")
    target = folder / "LICENSE"
    if facts.base_license_file:
        shutil.copyfile(facts.base_license_file, target)
    elif facts.license == OURS:
        shutil.copyfile(Path(__file__).with_name("apache-2.0.txt"), target)
    elif facts.license == UNKNOWN:
        target.write_text(LICENSE_TEXTS["unknown"], encoding="utf-8", newline="\n")
    else:
        text = LICENSE_TEXTS["named"].format(license=facts.license)
        target.write_text(text, encoding="utf-8", newline="\n")


def base_license(base: Path) -> str:
    """The license that a model folder's card states in its front matter, or `unknown`."""
    found = _FRONT.match(_card_of(base))
    try:
        front = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return UNKNOWN
    stated = front.get("license") if isinstance(front, dict) else None
    if stated == "other" and isinstance(front, dict):
        stated = front.get("license_name") or stated
    # One word, as the hub's identifiers are: the text goes into this card's own front matter.
    is_identifier = isinstance(stated, str) and re.fullmatch(r"[\w.+-]{1,80}", stated)
    return str(stated) if is_identifier else UNKNOWN


def base_data(base: Path) -> str | None:
    """What a card that dilmac wrote says of the data, so that it goes on to be said."""
    card = _card_of(base)
    found = _DATA.search(card)
    return found[1] if found and "\n- dilmac\n" in card else None


def _card_of(folder: Path) -> str:
    path = folder / "README.md"
    if not path.is_file():
        return ""
    return path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")


def _license_file(base: Path) -> Path | None:
    names = ("LICENSE", "LICENSE.txt", "LICENSE.md")
    return next((base / name for name in names if (base / name).is_file()), None)


def data_sources(corpus: Path, licenses: Mapping[str, str]) -> tuple[DataSource, ...]:
    """The sources of a corpus artifact, most documents first, with the licenses that are known.

    What the corpus records as `licenses` in its figures counts before what is given.
    """
    figures = open_artifact(corpus, "corpus").figures
    known = {**licenses, **figures.get("licenses", {})}
    counts = sorted(figures.get("kept_by_source", {}).items(), key=lambda row: (-row[1], row[0]))
    return tuple(
        DataSource(name, documents, known.get(name, UNKNOWN)) for name, documents in counts
    )
