"""A card's words on the data: where they come from, and under which licenses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dilmac.models.markdown import cell, table

if TYPE_CHECKING:
    from dilmac.models.card import CardFacts, DataSource

MOST_SOURCES = 40  # rows of the table of data
MOST_LICENSES = 40  # rows of the table of licenses
LICENSES_OF_A_SOURCE = 5
MOST_NAMES = 12  # of licenses in a sentence
UNKNOWN = "unknown"
OTHER_LICENSES = "(other licenses)"  # as a corpus names those that it did not count one by one

SHARE_ALIKE = re.compile(
    r"(?<![a-z])(?:sa|share[\s_-]?alike|gfdl|odbl|[al]?gpl(?:v?\d)?)(?![a-z])"
    r"|lisansla[\s_-]?paylaş",  # "Aynı Lisansla Paylaş": Creative Commons' Turkish
    re.IGNORECASE,
)
SHARE_ALIKE_TEXT = """\
**Share-alike: {share} of the documents** ({names}). Whoever passes on such a text, or an
adaptation of it, has to do so under the same license. Whether weights trained on a text are an
adaptation of it is not settled: judge that before you publish the model."""
UNKNOWN_TEXT = """\
**Unknown: {share} of the documents.** Nothing that came with them names a license, so nothing here
says that they may be used or passed on."""
NONE_TEXT = (
    "Nothing records the licenses of the data that were learned here: take them for unknown."
)
HELD_OUT_TEXT = "Documents that were held out to measure on are counted here, too."
CLEAR_TEXT = "No share-alike license and no unknown one is recorded among them."
BASE_TEXT = "What the base model learned from has licenses of its own, which stand below."
UNKNOWN_BASE_TEXT = (
    "What the base model learned from has licenses of its own, of which nothing is recorded here."
)


def data_section(facts: CardFacts) -> str:
    """What stands under `## Data`."""
    parts = []
    if facts.has_base and facts.how in ("pretrained", "healed"):
        parts.append(
            "Training went on from the weights of another model (`model`, below, is its SHA-256)."
        )
    if facts.sources:
        parts.append(_sources(facts.sources))
    parts.append("\n".join(f"- {name}: SHA-256 `{sha}`" for name, sha in facts.inputs.items()))
    if facts.how in ("pretrained", "finetuned", "classified", "healed"):
        parts.append(f"### Licenses of the data\n\n{_licenses(facts)}")
    if facts.base_data:
        parts.append(f"### Data of the base model\n\n{_one_level_down(facts.base_data)}")
    elif facts.has_base or facts.how != "pretrained":
        parts.append("Of what the original weights learned from, only their own card can tell.")
    return "\n\n".join(part for part in parts if part)


def _sources(sources: tuple[DataSource, ...]) -> str:
    rows = [
        (source.name, source.documents, _license_names(source)) for source in sources[:MOST_SOURCES]
    ]
    more = len(sources) - len(rows)
    rest = f"\n\nand {more:,} more sources." if more > 0 else ""
    note = f"\n\n{HELD_OUT_TEXT}" if any(source.documents for source in sources) else ""
    return table(rows, ("source", "documents", "license")) + rest + note


def _license_names(source: DataSource) -> str:
    """Its license, or all of them with their shares of its documents."""
    counts = source.by_license()
    if len(counts) == 1:
        return next(iter(counts))
    total = sum(counts.values())
    names = [f"{name} ({_percent(n / total)})" for name, n in counts.items()]
    more = len(names) - LICENSES_OF_A_SOURCE
    return ", ".join(names[:LICENSES_OF_A_SOURCE]) + (f", {more} more" if more > 0 else "")


def _licenses(facts: CardFacts) -> str:
    counts: Counter[str] = Counter()
    for source in facts.sources:
        counts.update(source.by_license())
    total = counts.total()
    if total:
        ordered = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
        rows = [(name, count, _percent(count / total)) for name, count in ordered]
        parts = [table(rows[:MOST_LICENSES], ("license", "documents", "share"))]
        if len(rows) > MOST_LICENSES:
            parts.append(f"and {len(rows) - MOST_LICENSES:,} more licenses.")
    else:  # no numbers of documents: the names alone
        parts = []
    parts += _warnings(counts)
    if facts.has_base:
        parts.append(BASE_TEXT if facts.base_data else UNKNOWN_BASE_TEXT)
    return "\n\n".join(parts)


def _warnings(counts: Counter[str]) -> list[str]:
    if not counts:
        return [NONE_TEXT]
    share_alike = sorted(name for name in counts if SHARE_ALIKE.search(name))
    texts = []
    if share_alike:
        names = ", ".join(cell(name) for name in share_alike[:MOST_NAMES])
        names += f", {len(share_alike) - MOST_NAMES} more" if len(share_alike) > MOST_NAMES else ""
        texts.append(SHARE_ALIKE_TEXT.format(share=_share(counts, share_alike), names=names))
    if UNKNOWN in counts:
        texts.append(UNKNOWN_TEXT.format(share=_share(counts, [UNKNOWN])))
    if not texts and OTHER_LICENSES not in counts:
        texts.append(CLEAR_TEXT)
    return texts


def _share(counts: Counter[str], names: Sequence[str]) -> str:
    found = [counts[name] for name in names]
    return _percent(sum(found) / counts.total()) if all(found) else "a part"


def _percent(share: float) -> str:
    """A share that is there is never shown as none."""
    return f"{share:.1%}" if share == 0 or share >= 0.001 else "under 0.1%"


def _one_level_down(text: str) -> str:
    """Headings of a quoted card below the one that it is quoted under."""
    return re.sub(r"(?m)^(#{3,5} )", r"#\1", text)
