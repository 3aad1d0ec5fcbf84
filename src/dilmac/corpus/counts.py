"""What happened to the documents: counted for each part, added up, and shown in the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Self

from dilmac.core import Figures

EXAMPLES = 20  # of each reason, and of repairs, for people to look at
EXAMPLE_CHARS = 240
MAX_SOURCES = 10_000  # that are counted one by one
SOURCES_IN_FIGURES = 1000  # the largest; `licenses` adds up the others
OTHER_SOURCES = "(other sources)"
MAX_LICENSES = 100  # of a source that are counted one by one: a field may hold whole texts
OTHER_LICENSES = "(other licenses)"


@dataclass
class Counts:
    """Sums over documents; two parts' counts add up to those of both."""

    read: Counter[str] = field(default_factory=Counter)  # by source
    repaired: Counter[str] = field(default_factory=Counter)  # by source
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    rejected_by_source: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)  # pieces of kept documents, by reason
    languages: Counter[str] = field(default_factory=Counter)
    personal: Counter[str] = field(default_factory=Counter)  # places found, by kind
    kept: Counter[str] = field(default_factory=Counter)  # by source
    kept_bytes: Counter[str] = field(default_factory=Counter)  # by source
    lengths: Counter[str] = field(default_factory=Counter)  # "kept 64" and "rejected 64" [words]
    licenses: dict[str, Counter[str]] = field(default_factory=dict)  # kept, by source
    ascii_only: int = 0
    heldout: int = 0
    heldout_bytes: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)  # by reason
    repairs: list[tuple[str, str, str]] = field(default_factory=list)  # id, before, after

    def add(self, other: Counts) -> None:
        """Add the counts of another part, in the order of the parts."""
        for name, value in vars(other).items():
            own = getattr(self, name)
            if isinstance(own, Counter):
                own.update(value)
            elif isinstance(own, int):
                setattr(self, name, own + value)
        for source, licenses in other.licenses.items():
            for license, num_documents in licenses.items():
                self.count_license(source, license, num_documents)
        for reason, texts in other.examples.items():
            shown = self.examples.setdefault(reason, [])
            shown.extend(texts[: EXAMPLES - len(shown)])
        self.repairs.extend(other.repairs[: EXAMPLES - len(self.repairs)])

    def bound_sources(self) -> None:
        """Add up the smaller sources where there are too many to name (hosts of a crawl)."""
        if max(map(len, self._by_source())) <= 2 * MAX_SOURCES:
            return
        largest = [source for source, _ in self.read.most_common(MAX_SOURCES)]
        # Once some are added up, only those that are still named go on by themselves.
        named = (set(self.read) if OTHER_SOURCES in self.read else set(largest)) - {OTHER_SOURCES}
        if len(named) > MAX_SOURCES:
            named = set(largest) - {OTHER_SOURCES}
        for counter in self._by_source():
            for source in [source for source in counter if source not in named]:
                if source != OTHER_SOURCES:
                    counter[OTHER_SOURCES] += counter.pop(source)
        self.licenses = self._licenses_of(named)

    def _by_source(self) -> tuple[Counter[str], ...]:
        return (
            self.read,
            self.repaired,
            self.rejected_by_source,
            self.kept,
            self.kept_bytes,
        )

    def reject(self, identity: str, text: str, source: str, reason: str) -> None:
        """Count a rejected document, and keep the first ones to look at."""
        self.rejected[reason] += 1
        self.rejected_by_source[source] += 1
        self.lengths[f"rejected {length_bin(text)}"] += 1
        self._show(reason, identity, text)

    def remove(self, identity: str, text: str, reason: str) -> None:
        """Count a piece (a line, a paragraph) taken out of a document that stays."""
        self.removed[reason] += 1
        self._show(reason, identity, text)

    def _show(self, reason: str, identity: str, text: str) -> None:
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            printable = text[: 4 * EXAMPLE_CHARS].encode("utf-8", "backslashreplace").decode()
            shown.append(f"{identity}: {' '.join(printable.split())[:EXAMPLE_CHARS]}")

    def repair(self, identity: str, source: str, before: str, after: str) -> None:
        """Count a repaired document, and keep the first ones with what changed."""
        self.repaired[source] += 1
        if len(self.repairs) < EXAMPLES:
            self.repairs.append((identity, *_around_first_difference(before, after)))

    def keep(self, text: str, source: str, num_bytes: int, *, is_heldout: bool) -> None:
        """Count a document that came through."""
        self.kept[source] += 1
        self.kept_bytes[source] += num_bytes
        self.lengths[f"kept {length_bin(text)}"] += 1
        if is_heldout:
            self.heldout += 1
            self.heldout_bytes += num_bytes

    def count_license(self, source: str, license: str, num_documents: int = 1) -> None:
        """Count documents that came through under a license."""
        counter = self.licenses.setdefault(source, Counter())
        if license not in counter and len(counter) >= MAX_LICENSES:
            license = OTHER_LICENSES
        counter[license] += num_documents

    def _licenses_of(self, named: Collection[str]) -> dict[str, Counter[str]]:
        """Licenses of these sources, and those of all others added up."""
        found = Counts()
        for source, licenses in self.licenses.items():
            for license, num_documents in licenses.items():
                name = source if source in named else OTHER_SOURCES
                found.count_license(name, license, num_documents)
        return found.licenses

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` makes the same counts."""
        return vars(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Counts as `as_json` gave them."""
        counts = cls()
        for name, value in values.items():
            kind = type(getattr(counts, name))
            setattr(counts, name, kind(value))
        counts.licenses = {source: Counter(row) for source, row in values["licenses"].items()}
        counts.repairs = [(name, before, after) for name, before, after in counts.repairs]
        return counts

    def figures(self) -> Figures:
        """The figures of the artifact."""
        largest = dict(sorted(self.kept.most_common(SOURCES_IN_FIGURES)))
        licenses = sorted(self._licenses_of(largest).items())
        return {
            "documents_read": self.read.total(),
            "documents_kept": self.kept.total(),
            "documents_repaired": self.repaired.total(),
            "documents_heldout": self.heldout,
            "documents_ascii_only": self.ascii_only,
            "text_bytes_kept": self.kept_bytes.total(),
            "text_bytes_heldout": self.heldout_bytes,
            "rejected": dict(sorted(self.rejected.items())),
            "removed_pieces": dict(sorted(self.removed.items())),
            "personal_data": dict(sorted(self.personal.items())),
            "kept_by_source": largest,
            "licenses": {source: by_frequency(counter) for source, counter in licenses},
            "languages_seen": dict(self.languages.most_common(12)),
        }


def by_frequency(counter: Counter[str]) -> dict[str, int]:
    """Counts from the highest down, by name where they are equal."""
    return dict(sorted(counter.items(), key=lambda row: (-row[1], row[0])))


def length_bin(text: str) -> int:
    """Words of a text, rounded down to a power of two (0 for none)."""
    num_words = len(text.split()) if len(text) < 1_000_000 else len(text) // 7
    return 1 << (num_words.bit_length() - 1) if num_words else 0


def _around_first_difference(before: str, after: str) -> tuple[str, str]:
    place = next(
        (n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b),
        min(len(before), len(after)),
    )
    start = max(0, place - 30)
    end = start + EXAMPLE_CHARS // 2
    return before[start:end], after[start:end]
