"""The main job: the bundled recipe, on your text or the bundled sample, to a model that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from dilmac.core import (
    SAMPLES,
    ArtifactError,
    Config,
    Figures,
    Page,
    bundled_prose,
    bundled_recipe,
    console,
    read_documents,
    read_measured_texts,
)
from dilmac.corpus import funnel_figure
from dilmac.explore import tokens_html, training_figure
from dilmac.recipe import RecipeRun, load_recipe, run_stages
from dilmac.serve import ChatConfig, ChatSession
from dilmac.tokenizer import Tokenizer

QUESTION = "Merhaba, sen kimsin?"
SENTENCE = "İstanbul'da yağmur dinince 3'üncü kattaki komşumuz balkonundaki çiçekleri suladı."
PLAIN_WORDS = (
    "This model has seen about a minute of text: it babbles. It shows that every door between the "
    "stages works. What a bigger budget buys: tens of megabytes of text and some hours on a laptop "
    "give sentences that hold together; billions of tokens on a GPU give a model worth asking."
)


class QuickstartConfig(Config):
    """Text → corpus → tokenizer → model → fine-tuning → evaluation → GGUF → an answer."""

    text: tuple[str, ...] = Field(
        (), description="your texts: files, folders or globs; the bundled sample by default"
    )
    out: Path = Field(Path("quickstart-out"), description="folder of all stages and of report.html")


def quickstart(config: QuickstartConfig) -> Figures:
    """Run the bundled recipe, ask the GGUF one question, and show what came of it.

    The same command again goes on where it was; complete stages are skipped.

    Raises:
        DilmacError: what a stage raises.
    """
    path = bundled_recipe("quickstart")
    values = load_recipe(path)
    if config.text:
        values["stages"]["corpus"]["inputs"] = list(config.text)
    try:
        run = run_stages(values, path, out=config.out)
    except ArtifactError as error:
        if error.mend and "--from" in error.mend:  # a flag of `dilmac run`, not of quickstart
            error.mend = "choose another --out for another text"
        raise
    answer = _ask(run)
    figures = summarize(run, answer)
    write_report(run, figures)
    return figures


def _ask(run: RecipeRun) -> Figures:
    session = ChatSession(ChatConfig(model=run.artifacts["gguf"].path, max_tokens=60))
    try:
        return {"question": QUESTION, "answer": "".join(session.ask(QUESTION))}
    finally:
        session.close()


def summarize(run: RecipeRun, answer: Figures) -> Figures:
    """The figures of every stage that a person asks for first."""
    seconds = {name: made.manifest.run["wall_seconds"] for name, made in run.artifacts.items()}
    seconds["evaluation"] = run.figures["evaluation"]["seconds"]
    return {
        "out": str(run.out),
        "stages": run.figures,
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 1),
        "tokens": tokens_saved(run),
        "report": str(run.out / "report.html"),
        **answer,
    }


def tokens_saved(run: RecipeRun) -> Figures:
    """Tokens against Qwen3's on bundled documents that the tokenizer was not trained on.

    Qwen3's counts for each bundled document ship with the sample, so no download is needed.
    """
    counts: dict[str, list[int]] = json.loads(
        (SAMPLES / "qwen3-tokens.json").read_text(encoding="utf-8")
    )
    seen = {doc["text"] for doc in read_documents(run.artifacts["corpus"].path, "train")}
    tokenizer = Tokenizer(run.artifacts["tokenizer"].path)
    ours = theirs = num_documents = 0
    for path in bundled_prose():
        texts = read_measured_texts([path])
        for text, count in zip(texts, counts[path.stem], strict=True):
            if text not in seen:
                num_documents += 1
                ours += len(tokenizer.encode(text))
                theirs += count
    saved = round(100 * (1 - ours / theirs), 1) if theirs else None
    return {"documents": num_documents, "ours": ours, "qwen3": theirs, "saved_percent": saved}


def summary_rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Stage, what it made, and its time, as a person reads them."""
    stages, seconds, tokens = figures["stages"], figures["seconds"], figures["tokens"]
    corpus, tokenizer, base = stages["corpus"], stages["tokenizer"], stages["base"]
    chat, evaluation, gguf = stages["chat"], stages["evaluation"], stages["gguf"]
    logprobs = gguf["parity"]["logprobs"]
    ids = gguf["parity"]["ids"]
    made = {
        "corpus": f"{corpus['documents_kept']:,} of {corpus['documents_read']:,} documents, "
        f"{corpus['text_bytes_kept'] / 1e6:.2f} MB of text",
        "tokenizer": f"{tokenizer['vocab_size']:,} rows, {tokenizer['tokens_per_word']:.2f} tokens "
        f"a word; {_saved(tokens)}",
        "base": f"{base['parameters'] / 1e6:.1f}M parameters, {base['tokens_trained'] / 1e6:.2f}M "
        f"tokens, held-out {_or_dash(base['heldout_bits_per_byte'])} bits/byte",
        "chat": f"{chat['examples']:,} examples, validation loss "
        f"{_or_dash(chat['validation_loss_before'])} → {_or_dash(chat['validation_loss'])}",
        "evaluation": f"{evaluation['bits_per_byte']:.3f} bits/byte; PPMd primed with the same "
        f"text {evaluation['ppmd']['bits_per_byte']:.3f}",
        "gguf": f"{gguf['num_bytes'] / 1e6:.1f} MB; ids differ on {ids['different']} of "
        f"{ids['lines'] + ids['fuzz_strings']:,} texts, log-probabilities by at most "
        f"{logprobs['largest_difference']:.4f}",
    }
    return [(name, text, f"{seconds[name]:.1f} s") for name, text in made.items()]


def _saved(tokens: Figures) -> str:
    if tokens["saved_percent"] is None:
        return "no unseen bundled text to compare with Qwen3"
    word = "fewer" if tokens["saved_percent"] >= 0 else "more"
    return (
        f"{abs(tokens['saved_percent']):.1f} % {word} tokens than Qwen3 on "
        f"{tokens['documents']} unseen documents"
    )


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def next_commands(out: str) -> list[str]:
    """The commands with which to go on."""
    return [
        f"dilmac chat --model {out}/gguf            # talk to it",
        "dilmac quickstart --text my-texts/ --out mine   # the same on your own text",
        f"dilmac evaluate --model {out}/base --text file.txt",
        "dilmac run my-recipe.yaml                  # your own recipe; begin with a copy of",
        f"                                           # {bundled_recipe('quickstart')}",
    ]


def print_summary(figures: Figures) -> None:
    """The table, the answer, and how to go on, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table("stage", "made", "time", title="dilmaç quickstart")
    for row in summary_rows(figures):
        table.add_row(*row)
    table.add_row("total", "", f"{figures['seconds_total']:.1f} s")
    screen = Console(highlight=False, width=max(console.width, 100))
    screen.print(table)
    screen.print(f"> {figures['question']}\n{figures['answer']}\n", markup=False)
    screen.print(PLAIN_WORDS, style="italic")
    screen.print(f"\nreport: {figures['report']}\nto go on:", markup=False)
    for line in next_commands(figures["out"]):
        screen.print(f"  {line}", markup=False)


def write_report(run: RecipeRun, figures: Figures) -> None:
    """`report.html`: the table, the curves, the funnel, a sentence in tokens, the samples."""
    tokenizer = Tokenizer(run.artifacts["tokenizer"].path)
    samples: dict[str, Any] = figures["stages"]["base"]["samples"]
    page = Page("dilmaç quickstart")
    page.text(PLAIN_WORDS, soft=True)
    page.heading("What was made").table(["stage", "made", "time"], summary_rows(figures))
    page.heading("Pretraining").figure(training_figure(run.artifacts["base"].path / "events.jsonl"))
    page.heading("From raw text to corpus").figure(funnel_figure(figures["stages"]["corpus"]))
    page.heading("A sentence in tokens").raw(tokens_html(tokenizer, SENTENCE))
    page.text(f"{len(tokenizer.encode(SENTENCE))} tokens; hover for their ids.", soft=True)
    page.heading("What the base model writes").table(["beginning", "continuation"], samples.items())
    page.heading("What the chat model answers").table(
        ["question", "answer"], [(figures["question"], figures["answer"])]
    )
    page.heading("To go on").code("\n".join(next_commands(figures["out"])))
    page.write(run.out / "report.html")
