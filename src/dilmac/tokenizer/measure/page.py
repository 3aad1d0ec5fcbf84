"""A page on a comparison: who saves what, the table, the cost, and the same sentences in color."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from dilmac.core import Figures, Page
from dilmac.tokenizer.measure.colors import tokens_html
from dilmac.tokenizer.measure.config import CompareConfig
from dilmac.tokenizer.measure.peers import Peer
from dilmac.tokenizer.measure.table import Section, sections, short_names, shown

BASELINE = "#6b7280"
COLORS = ("#b4232a", "#1f6f8b", "#d98e04", "#4c7a34", "#6d4c9f")
STYLE = """<style>
.wide { overflow-x: auto; } .wide th { vertical-align: bottom; }
.wide th + th { text-align: right; } .wide tr > :first-child { min-width: 9rem; }
.wide tr.section th { padding-top: 1.2rem; color: var(--accent); }
.side { display: grid; gap: .75rem; margin: 0 0 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.side > div { background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .6rem .8rem; min-width: 0; } .side p { margin: .3rem 0 0; overflow-wrap: anywhere; }
.side .tokens span { display: inline-block; line-height: 1.4; margin-bottom: .2rem; }
.tokens span:hover { outline: 2px solid var(--accent); }
</style>"""


def write_page(path: Path, config: CompareConfig, figures: Figures, peers: list[Peer]) -> None:
    """Write the page, self-contained."""
    names = short_names(figures)
    page = Page("Tokenizers compared").raw(STYLE).text(_summary(figures, names))
    if len(peers) > 1:
        page.heading("Tokens saved").figure(_saved_figure(figures, names))
    words = [row["tokens_per_word"] for row in figures["tokenizers"]]
    page.heading("Tokens in a word").figure(_bars_figure(names, words, "tokens per word"))
    page.heading("Figures").raw(_table(sections(figures), names))
    page.text(
        f"Context: what {config.context:,} tokens hold of such text. A word is whole if it is one "
        "token after a space. Byte tokens are parts of a character.",
        soft=True,
    )
    if figures["cost"]:
        years = [row["usd_per_year"] for row in figures["cost"]]
        page.heading("Cost").text(_traffic(config, figures))
        page.figure(_bars_figure(names, years, "USD a year"))
    if figures["lost"]:
        page.heading("Lost in a round trip").table(
            ["tokenizer", "text", "came back as"],
            [
                (row["tokenizer"], *map(_visible, (row["text"], row["came_back"])))
                for row in figures["lost"]
            ],
        )
    page.heading("The same sentences in tokens").text("A token's id is its tooltip.", soft=True)
    for sentence in config.sentence:
        page.raw(_side_by_side(sentence, peers, names))
    page.write(path)


def _visible(text: str) -> str:
    return text.replace("\n", "↵").replace("\t", "⇥").replace("  ", "␣␣")


def _summary(figures: Figures, names: list[str]) -> str:
    megabytes, groups = figures["bytes"] / 1e6, len(figures["groups"])
    said = [f"{figures['texts']:,} texts, {figures['words']:,} words, {megabytes:,.1f} MB."]
    for name, row in list(zip(names, figures["tokenizers"], strict=True))[1:]:
        saved, mean = row["saved_percent"], row["macro_saved_percent"]
        verb = "saves" if saved >= 0 else "costs another"
        over = f" ({mean:.1f} % in the mean of {groups} groups)" if groups > 1 else ""
        said.append(f"{name} {verb} {abs(saved):.1f} % of {names[0]}'s tokens{over}.")
    return " ".join(said)


def _traffic(config: CompareConfig, figures: Figures) -> str:
    mean = figures["characters"] / figures["texts"]
    return (
        f"{config.requests_per_month:,} requests a month of "
        f"{config.characters_per_request or mean:,.0f} characters each, "
        f"{config.price_per_million_tokens:,} USD a million tokens."
    )


def _saved_figure(figures: Figures, names: list[str]) -> Any:
    """Percent saved of all text, in the mean of groups and in each group."""
    import plotly.graph_objects as go

    groups = figures["groups"] if len(figures["groups"]) > 1 else {}
    figure = go.Figure()
    for place, name in list(enumerate(names))[1:]:
        row = figures["tokenizers"][place]
        saved = {"all text": row["saved_percent"]}
        if groups:
            saved["mean of groups"] = row["macro_saved_percent"]
            saved |= {group: rows[place]["saved_percent"] for group, rows in groups.items()}
        figure.add_bar(
            name=name,
            y=list(saved),
            x=list(saved.values()),
            orientation="h",
            marker_color=_color(place),
        )
    figure.update_layout(xaxis_title="tokens saved [%]", showlegend=True)
    return _sideways(figure, num_bars=(len(groups) + 2) * (len(names) - 1))


def _bars_figure(names: list[str], values: list[float], title: str) -> Any:
    """A bar for each tokenizer."""
    import plotly.graph_objects as go

    texts = [f"{value:,.2f}" for value in values]
    colors = list(map(_color, range(len(names))))
    bar = go.Bar(y=names, x=values, orientation="h", text=texts, marker_color=colors)
    figure = go.Figure(bar)
    figure.update_layout(xaxis_title=title)
    return _sideways(figure, num_bars=len(names))


def _color(place: int) -> str:
    """A tokenizer's color in every figure; the baseline is gray."""
    return BASELINE if place == 0 else COLORS[(place - 1) % len(COLORS)]


def _sideways(figure: Any, num_bars: int) -> Any:
    figure.update_layout(
        height=140 + 22 * num_bars,
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
    )
    return figure.update_yaxes(autorange="reversed", automargin=True)


def _table(parts: list[Section], names: list[str]) -> str:
    """A table that scrolls by itself on a narrow screen."""
    head = "".join(f"<th>{_breakable(name)}</th>" for name in ["", *names])
    body = ""
    for part in parts:
        title = html.escape(part.title)
        body += f'<tr class="section"><th colspan="{len(names) + 1}">{title}</th></tr>'
        for label, values in part.rows:
            cells = "".join(f'<td class="number">{shown(value)}</td>' for value in values)
            body += f"<tr><td>{html.escape(label)}</td>{cells}</tr>"
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _breakable(name: str) -> str:
    return html.escape(name).replace("/", "/<wbr>")


def _side_by_side(sentence: str, peers: list[Peer], names: list[str]) -> str:
    cells = "".join(
        f"<div><b>{html.escape(name)}</b> · {len(peer.encode(sentence))} tokens"
        f"{tokens_html(peer, sentence)}</div>"
        for name, peer in zip(names, peers, strict=True)
    )
    return f'<div class="side">{cells}</div>'
