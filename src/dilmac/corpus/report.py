"""A page on what became of the documents: funnel, reasons, lengths, sources, clusters, examples.

Personal data is masked in what is shown here, whatever the settings.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page
from dilmac.corpus.counts import Counts, by_frequency
from dilmac.corpus.steps.personal import without_personal_data

MEANING = {
    "bad_json": "the line is no JSON",
    "bad_utf8": "the line is no UTF-8",
    "binary": "the file, or a line of it, holds bytes that no text has",
    "no_json_object": "the line is JSON, but no object",
    "no_text_field": "the record has no text in the text field",
    "no_main_text": "the page has no main text",
    "page_too_long": "the page is larger than 2 MiB",
    "line_too_long": "the line is longer than 64 MiB",
    "too_long": "the document is longer than four million characters",
    "lone_surrogate": "the text holds half of a surrogate pair and cannot be written as UTF-8",
    "empty": "nothing was left after repair",
    "boilerplate": "nothing was left without cookie, menu and sharing lines",
    "other_language": "another language is more probable",
    "unsure_language": "the language's probability is below min_language_score",
    "duplicate": "the same words in the same order were kept",
    "near_duplicate": "a nearly equal text of better quality was kept",
    "too_short": "fewer words than min_words",
    "not_words": "too few words hold a letter",
    "word_length": "the mean word length is out of range",
    "repeated_lines": "too many lines or sentences are repeated",
    "repeated_words": "one group of 2-4 words fills too much of the text",
    "repeated_phrases": "runs of 5-10 words that stood before fill too much of the text",
    "no_stop_words": "a long text without Turkish stop words",
    "unfinished_lines": "too few lines end with a mark",
    "list_like": "too many line breaks for its words",
    "bullets": "nearly all lines are bullets",
    "ellipses": "too many lines end with an ellipsis",
    "symbols": "too many # and … for its words",
    "personal_data": "it holds personal data, and --personal-data is drop",
    "contaminated": "it shares a run of 13 words with an evaluation set",
    # Pieces of documents that stay:
    "boilerplate_line": "a cookie, menu, sharing or copyright line",
    "repeated_line": "a line at the edges of many documents of its source",
    "foreign_paragraph": "a long paragraph in another language",
}

# What a document must be to come through, in FineWeb-2's order.
FUNNEL = {
    "readable": (
        "bad_json",
        "bad_utf8",
        "binary",
        "no_json_object",
        "no_text_field",
        "no_main_text",
        "page_too_long",
        "line_too_long",
        "too_long",
        "lone_surrogate",
    ),
    "Turkish": ("empty", "boilerplate", "other_language", "unsure_language"),
    "once": ("duplicate", "near_duplicate"),
    "good": (
        "too_short",
        "not_words",
        "word_length",
        "repeated_lines",
        "repeated_words",
        "repeated_phrases",
        "no_stop_words",
        "unfinished_lines",
        "list_like",
        "bullets",
        "ellipses",
        "symbols",
    ),
    "allowed": ("personal_data", "contaminated"),
}
MAX_SOURCES = 50  # in the table; the rest is added up
MAX_LICENSES_SHOWN = 5  # of a source


def funnel_figure(figures: Figures) -> object:
    """Documents left after each group of rules, as a plotly figure."""
    import plotly.graph_objects as go

    names, left = ["read"], [figures["documents_read"]]
    for name, reasons in FUNNEL.items():
        names.append(name)
        left.append(left[-1] - sum(figures["rejected"].get(reason, 0) for reason in reasons))
    return go.Figure(go.Funnel(y=names, x=left, textinfo="value+percent initial"))


def write_report(path: Path, counts: Counts, clusters: list[dict[str, Any]]) -> None:
    """Write `report.html` of a corpus."""
    figures = counts.figures()
    page = Page("Corpus").text(
        f"{figures['documents_kept']:,} of {figures['documents_read']:,} documents kept, "
        f"{figures['text_bytes_kept']:,} bytes of text, {figures['documents_repaired']:,} repaired."
    )
    page.figure(funnel_figure(figures))
    _add_reasons(page, counts)
    page.heading("Lengths").figure(_lengths_figure(counts))
    _add_sources(page, counts)
    if counts.personal:
        page.heading("Personal data").table(["kind", "places"], sorted(counts.personal.items()))
    page.heading("Languages seen").table(
        ["language", "documents"], figures["languages_seen"].items()
    )
    if counts.repairs:
        page.heading("Repaired: before and after").table(
            ["document", "before", "after"],
            [
                (name, without_personal_data(before), without_personal_data(after))
                for name, before, after in counts.repairs
            ],
        )
    _add_clusters(page, clusters)
    _add_examples(page, counts)
    page.write(path)


def _add_reasons(page: Page, counts: Counts) -> None:
    in_order = [reason for reasons in FUNNEL.values() for reason in reasons]
    rows = [
        (reason, counts.rejected[reason], MEANING[reason])
        for reason in in_order
        if counts.rejected[reason]
    ]
    page.heading("Rejected").table(["reason", "documents", "meaning"], rows)
    if counts.removed:
        page.heading("Taken out of documents that stay").table(
            ["piece", "pieces", "meaning"],
            [(name, count, MEANING[name]) for name, count in sorted(counts.removed.items())],
        )


def _lengths_figure(counts: Counts) -> object:
    """Documents by their number of words, kept and rejected, in powers of two."""
    import plotly.graph_objects as go

    figure = go.Figure()
    sizes = sorted({int(name.split()[1]) for name in counts.lengths})
    for fate in ("kept", "rejected"):
        heights = [counts.lengths[f"{fate} {size}"] for size in sizes]
        figure.add_bar(name=fate, x=[_range_name(size) for size in sizes], y=heights)
    figure.update_layout(barmode="stack", xaxis_title="words", yaxis_title="documents")
    return figure


def _range_name(size: int) -> str:
    return f"{size:,}-{2 * size - 1:,}" if size > 1 else str(size)


def _add_sources(page: Page, counts: Counts) -> None:
    ordered = sorted(counts.read, key=lambda source: (-counts.read[source], source))
    rows = [
        (
            source,
            counts.read[source],
            counts.kept[source],
            f"{counts.kept[source] / counts.read[source]:.0%}",
            counts.repaired[source],
            counts.kept_bytes[source],
            _license_list(counts, source),
        )
        for source in ordered[:MAX_SOURCES]
    ]
    page.heading("Sources").table(
        ["source", "read", "kept", "share", "repaired", "bytes kept", "licenses"], rows
    )
    if len(ordered) > MAX_SOURCES:
        page.text(f"and {len(ordered) - MAX_SOURCES:,} more sources")


def _license_list(counts: Counts, source: str) -> str:
    """The most frequent licenses of a source, and how many more there are."""
    found = by_frequency(counts.licenses.get(source, Counter()))
    shown = [f"{name}: {count:,}" for name, count in [*found.items()][:MAX_LICENSES_SHOWN]]
    more = len(found) - len(shown)
    return ", ".join([*shown, f"{more} more"] if more else shown)


def _add_clusters(page: Page, clusters: list[dict[str, Any]]) -> None:
    if not clusters:
        return
    page.heading("Duplicates: who stayed, and in place of whom")
    page.text("The first clusters; all are in clusters.jsonl.zst.")
    rows = [
        (cluster["size"], role, member["id"], member["beginning"])
        for cluster in clusters
        for role, member in [
            ("stays", cluster["kept"]),
            *((other["reason"], other) for other in cluster["others"][:3]),
        ]
    ]
    page.table(["size", "role", "document", "beginning"], rows)


def _add_examples(page: Page, counts: Counts) -> None:
    for reason, texts in sorted(counts.examples.items()):
        shown = "\n".join(map(without_personal_data, texts))
        page.heading(f"Examples: {reason}").code(shown)
