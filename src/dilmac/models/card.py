"""The card of a model folder: `README.md` as the hub reads it, and `LICENSE`.

A card says what is known and nothing else: a license that nobody stated is written as unknown.
It names no folder of this machine, so that a repeated run gives the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from dilmac.core import Build, Figures, open_artifact, versions
from dilmac.models.card_text import LICENSE_TEXTS, model_card

How = Literal[
    "pretrained", "finetuned", "classified", "converted", "rescaled", "transplanted", "healed"
]
OURS = "apache-2.0"  # of weights that dilmac makes from text; whoever trains may put another there
UNKNOWN = "unknown"
OTHER_SOURCES = "(other sources)"  # as a corpus names those that it added up
_DATA = re.compile(r"^## Data\n\n(.*?)\n\n## ", re.DOTALL | re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class DataSource:
    """Texts of one source in the training data."""

    name: str
    documents: int | None = None
    license: str = UNKNOWN  # of all of them
    licenses: Mapping[str, int] = field(default_factory=dict)  # documents by license, where counted

    def by_license(self) -> dict[str, int]:
        """Documents under each license, most first; 0 where their number is not known."""
        counts = self.licenses or {self.license: self.documents or 0}
        return dict(sorted(counts.items(), key=lambda row: (-row[1], row[0])))


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
    has_base: bool = False  # the weights go on from another model's
    base_license_file: Path | None = None
    base_data: str | None = None  # what the base's card says of its data
    versions: Mapping[str, str] = field(default_factory=versions)

    @property
    def is_made_from_weights(self) -> bool:
        """Whether there were weights before, whose license goes on to hold."""
        return self.has_base or self.how != "pretrained"


def write_model_card(
    build: Build,
    figures: Figures,
    *,
    how: How,
    corpora: Sequence[Path] = (),
    base: Path | None = None,
    license: str | None = None,
    sources: Sequence[DataSource] = (),
) -> None:
    """Write `README.md` and `LICENSE` into an artifact that is nearly done.

    `corpora` are the artifacts whose text was learned; `base` the model folder that the weights
    come from (where `how` is `pretrained`, training went on from it), whose license goes on to
    hold; `license` that of the weights where it was stated otherwise; `sources` the data where
    they are no corpora.
    """
    config = json.loads((build.path / "config.json").read_text(encoding="utf-8"))
    inputs = {
        name: ", ".join(record["sha256"] for record in records)
        for name, records in build.request["inputs"].items()
        if records
    }
    if corpora:
        sources = data_sources(corpora)
    facts = CardFacts(
        how=how,
        license=license or (base_license(base) if base else OURS),
        model_config=config,
        settings=build.request["config"],
        figures=figures,
        seed=build.seed,
        inputs=inputs,
        sources=tuple(sources),
        has_base=base is not None,
        base_license_file=license_file(base) if base else None,
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
        text = LICENSE_TEXTS["named" if facts.is_made_from_weights else "stated"]
        text = text.format(license=facts.license)
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


def license_file(base: Path) -> Path | None:
    """The file with a model folder's license, if there is one."""
    names = ("LICENSE", "LICENSE.txt", "LICENSE.md")
    return next((base / name for name in names if (base / name).is_file()), None)


def data_sources(corpora: Sequence[Path]) -> tuple[DataSource, ...]:
    """The sources of corpus artifacts, most documents first, with the licenses that are known."""
    by_source: dict[str, Counter[str]] = {}
    for corpus in corpora:
        figures = open_artifact(corpus, "corpus").figures
        for name, count in _documents_by_source(figures).items():
            licenses = Counter(figures.get("licenses", {}).get(name, {}))
            counter = by_source.setdefault(name, Counter())
            counter.update(licenses)
            if (uncounted := count - licenses.total()) > 0:  # made before licenses were counted
                counter[UNKNOWN] += uncounted
    rows = sorted(by_source.items(), key=lambda row: (-row[1].total(), row[0]))
    return tuple(DataSource(name, row.total(), licenses=row) for name, row in rows)


def _documents_by_source(figures: Figures) -> dict[str, int]:
    """Documents of each source; what the figures do not name one by one is added up."""
    named = dict(figures.get("kept_by_source", {}))
    named.pop(OTHER_SOURCES, None)
    if (rest := figures.get("documents_kept", 0) - sum(named.values())) > 0:
        named[OTHER_SOURCES] = rest
    return named
