"""A page on what became of the documents: the funnel, the reasons with examples, the sources."""

from __future__ import annotations

from pathlib import Path

from dilmac.core import Figures, Page

MEANING = {
    "bad_json": "the line is no JSON",
    "no_json_object": "the line is JSON, but no object",
    "no_text_field": "the record has no text in the text field",
    "line_too_long": "the line is longer than 64 MiB",
    "lone_surrogate": "the text holds half of a surrogate pair and cannot be written as UTF-8",
    "empty": "nothing was left after repair",
    "other_language": "another language is more probable",
    "unsure_language": "the language's probability is below min_language_score",
    "too_short": "fewer words than min_words",
    "not_words": "too few words hold a letter",
    "word_length": "the mean word length is out of range",
    "repeated_lines": "too many lines or sentences are repeated",
    "repeated_words": "one word pair fills too much of the text",
    "no_stop_words": "a long text without Turkish stop words",
    "duplicate": "the same text was kept before",
}


# What a document must be to come through, in the order of the pipeline.
FUNNEL = {
    "readable": ("bad_json", "no_json_object", "no_text_field", "line_too_long", "lone_surrogate"),
    "Turkish": ("empty", "other_language", "unsure_language"),
    "good": (
        "too_short",
        "not_words",
        "word_length",
        "repeated_lines",
        "repeated_words",
        "no_stop_words",
    ),
    "once": ("duplicate",),
}


def funnel_figure(figures: Figures) -> object:
    """Documents left after each group of rules, as a plotly figure."""
    import plotly.graph_objects as go

    names, left = ["read"], [figures["documents_read"]]
    for name, reasons in FUNNEL.items():
        names.append(name)
        left.append(left[-1] - sum(figures["rejected"].get(reason, 0) for reason in reasons))
    return go.Figure(go.Funnel(y=names, x=left, textinfo="value+percent initial"))


def write_report(path: Path, figures: Figures, examples: dict[str, list[str]]) -> None:
    """Write `report.html` of a corpus."""
    page = Page("Corpus").text(
        f"{figures['documents_kept']:,} of {figures['documents_read']:,} documents kept, "
        f"{figures['text_bytes_kept']:,} bytes of text, {figures['documents_repaired']:,} repaired."
    )
    page.figure(funnel_figure(figures))
    page.heading("Rejected").table(
        ["reason", "documents", "meaning"],
        [(name, count, MEANING[name]) for name, count in figures["rejected"].items()],
    )
    for reason, texts in examples.items():
        page.heading(f"Examples: {reason}").code("\n".join(texts))
    page.heading("Kept by source").table(["source", "documents"], figures["kept_by_source"].items())
    page.heading("Languages seen").table(
        ["language", "documents"], figures["languages_seen"].items()
    )
    page.write(path)
