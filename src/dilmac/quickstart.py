"""The main job: a bundled recipe, on your text or the bundled sample, to a model that answers.

By default it goes on from the model that ships; `--from-scratch` begins with nothing.
"""

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
    InputError,
    Page,
    bundled_prose,
    bundled_recipe,
    console,
    read_documents,
    read_measured_texts,
)
from dilmac.corpus import funnel_figure
from dilmac.explore import tokens_html, training_figure
from dilmac.models import DEFAULT_MODEL
from dilmac.recipe import RecipeRun, load_recipe, run_stages
from dilmac.serve import ChatConfig, ChatSession
from dilmac.tokenizer import Tokenizer

QUESTION = "Merhaba, sen kimsin?"
SENTENCE = "İstanbul'da yağmur dinince 3'üncü kattaki komşumuz balkonundaki çiçekleri suladı."
# What came of it, in plain words: with the model that ships, and from scratch.
CONTINUED = (
    f"This model is {DEFAULT_MODEL} after about a minute on your text and one pass over the "
    "instructions: it writes Turkish, knows little, and errs without noticing. It shows that every "
    "door between the stages works. What a bigger budget buys: some hours on tens of megabytes of "
    "your text bring it to your subject; billions of tokens on a GPU give a model worth asking."
)
FROM_SCRATCH = (
    "This model has seen about a minute of text: it babbles. It shows that every door between the "
    "stages works. What a bigger budget buys: tens of megabytes of text and some hours on a laptop "
    "give sentences that hold together; billions of tokens on a GPU give a model worth asking."
)


class QuickstartConfig(Config):
    """Text → corpus → tokenizer → model → fine-tuning → evaluation → GGUF → an answer."""

    text: tuple[str, ...] = Field(
        (), description="your texts: files, folders or globs; the bundled sample by default"
    )
    instructions: tuple[str, ...] = Field(
        (),
        description="your instructions and answers, learned beside the bundled ones: JSONL files, "
        "folders or globs",
    )
    from_scratch: bool = Field(
        False,
        description="begin with a new tokenizer and a new model instead of the model that ships",
    )
    out: Path = Field(Path("quickstart-out"), description="folder of all stages and of report.html")


def quickstart(config: QuickstartConfig) -> Figures:
    """Run the bundled recipe, ask the GGUF one question, and show what came of it.

    The same command again goes on where it was; complete stages are skipped.

    Raises:
        InputError: the text is a single document.
        DilmacError: what a stage raises.
    """
    path = bundled_recipe("from-scratch" if config.from_scratch else "quickstart")
    values = load_recipe(path)
    if config.text:
        values["stages"]["corpus"]["inputs"] = list(config.text)
    values["stages"]["chat"]["data"] += config.instructions
    try:
        run = run_stages(values, path, out=config.out)
    except ArtifactError as error:
        if error.mend and "--from" in error.mend:  # a flag of `dilmac run`, not of quickstart
            error.mend = "choose another --out for other text, other instructions or the other way"
        raise
    except InputError as error:
        if "no heldout" in error.found:
            error.mend = "give at least two documents: one is held out, to measure on"
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
    seconds |= {
        name: figures["seconds"]
        for name, figures in run.figures.items()
        if name not in run.artifacts
    }
    return {
        "out": str(run.out),
        "stages": run.figures,
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 1),
        "from_scratch": is_from_scratch(run),
        "tokens": tokens_saved(run),
        "report": str(run.out / "report.html"),
        **answer,
    }


def is_from_scratch(run: RecipeRun) -> bool:
    """Whether the run made its own tokenizer, and with it a model from nothing."""
    return "tokenizer" in run.artifacts


def _tokenizer(run: RecipeRun) -> Tokenizer:
    """The tokenizer of the run's models: its own, or that of the model it went on from."""
    return Tokenizer(run.artifacts["tokenizer" if is_from_scratch(run) else "base"].path)


def tokens_saved(run: RecipeRun) -> Figures:
    """Tokens against Qwen3's on bundled documents that the tokenizer was not trained on.

    A tokenizer that ships was trained on none of them.
    Qwen3's counts for each bundled document ship with the sample, so no download is needed.
    """
    counts: dict[str, list[int]] = json.loads(
        (SAMPLES / "qwen3-tokens.json").read_text(encoding="utf-8")
    )
    seen: set[str] = set()
    if is_from_scratch(run):
        seen = {doc["text"] for doc in read_documents(run.artifacts["corpus"].path, "train")}
    tokenizer = _tokenizer(run)
    ours = theirs = num_documents = 0
    for path in bundled_prose():
        texts = read_measured_texts([path])
        for text, count in zip(texts, counts[path.stem], strict=True):
            if text not in seen:
                num_documents += 1
                ours += len(tokenizer.encode(text))
                theirs += count
    saved = round(100 * (1 - ours / theirs), 1) if theirs else None
    return {
        "vocab_size": len(tokenizer),
        "documents": num_documents,
        "ours": ours,
        "qwen3": theirs,
        "saved_percent": saved,
    }


def summary_rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Stage, what it made, and its time, as a person reads them."""
    stages, seconds = figures["stages"], figures["seconds"]
    corpus, base, chat, gguf = (stages[name] for name in ("corpus", "base", "chat", "gguf"))
    logprobs = gguf["parity"]["logprobs"]
    ids = gguf["parity"]["ids"]
    made = {
        "corpus": f"{corpus['documents_kept']:,} of {corpus['documents_read']:,} documents, "
        f"{corpus['text_bytes_kept'] / 1e6:.2f} MB of text",
        "tokenizer": _tokenizer_words(figures),
        "base": f"{base['parameters'] / 1e6:.1f}M parameters, {base['tokens_trained'] / 1e6:.2f}M "
        f"tokens, held-out {_or_dash(base['heldout_bits_per_byte'])} bits/byte",
        "chat": f"{chat['examples']:,} examples, validation loss "
        f"{_or_dash(chat['validation_loss_before'])} → {_or_dash(chat['validation_loss'])}",
        "evaluation": _evaluation_words(stages),
        "gguf": f"{gguf['num_bytes'] / 1e6:.1f} MB; ids differ on {ids['different']} of "
        f"{ids['lines'] + ids['fuzz_strings']:,} texts, log-probabilities by at most "
        f"{logprobs['largest_difference']:.4f}",
    }
    return [
        (name, text, f"{seconds[name]:.1f} s" if name in seconds else "–")
        for name, text in made.items()
    ]


def _tokenizer_words(figures: Figures) -> str:
    tokens = figures["tokens"]
    if not figures["from_scratch"]:
        return f"{DEFAULT_MODEL}'s own, {tokens['vocab_size']:,} rows; {_saved(tokens)}"
    per_word = figures["stages"]["tokenizer"]["tokens_per_word"]
    return f"{tokens['vocab_size']:,} rows, {per_word:.2f} tokens a word; {_saved(tokens)}"


def _evaluation_words(stages: Figures) -> str:
    after, ppmd = stages["evaluation"]["bits_per_byte"], stages["evaluation"]["ppmd"]
    rival = (
        f"PPMd primed with {ppmd['primed_with_bytes'] / 1e6:.2f} MB of the same text "
        f"{ppmd['bits_per_byte']:.3f}"
    )
    if "before" not in stages:
        return f"{after:.3f} bits/byte; {rival}"
    before = stages["before"]["bits_per_byte"]
    return f"{DEFAULT_MODEL} {before:.3f} → {after:.3f} bits/byte on held-out text; {rival}"


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


def next_commands(figures: Figures) -> list[str]:
    """The commands with which to go on."""
    out, recipe = figures["out"], "from-scratch" if figures["from_scratch"] else "quickstart"
    return [
        f"dilmac chat --model {out}/gguf            # talk to it",
        "dilmac quickstart --text my-texts/ --out mine   # the same on your own text",
        f"dilmac evaluate --model {out}/base --text file.txt",
        "dilmac run my-recipe.yaml                  # your own recipe; begin with a copy of",
        f"                                           # {bundled_recipe(recipe)}",
    ]


def plain_words(figures: Figures) -> str:
    """What came of it and what it is good for, without flattery."""
    return FROM_SCRATCH if figures["from_scratch"] else CONTINUED


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
    screen.print(plain_words(figures), style="italic")
    screen.print(f"\nreport: {figures['report']}\nto go on:", markup=False)
    for line in next_commands(figures):
        screen.print(f"  {line}", markup=False)


def write_report(run: RecipeRun, figures: Figures) -> None:
    """`report.html`: the table, the curves, the funnel, a sentence in tokens, the samples."""
    tokenizer = _tokenizer(run)
    samples: dict[str, Any] = figures["stages"]["base"]["samples"]
    page = Page("dilmaç quickstart")
    page.text(plain_words(figures), soft=True)
    page.heading("What was made").table(["stage", "made", "time"], summary_rows(figures))
    page.heading("Pretraining").figure(training_figure(run.artifacts["base"].path / "events.jsonl"))
    page.heading("From raw text to corpus").figure(funnel_figure(figures["stages"]["corpus"]))
    page.heading("A sentence in tokens").raw(tokens_html(tokenizer, SENTENCE))
    page.text(f"{len(tokenizer.encode(SENTENCE))} tokens; hover for their ids.", soft=True)
    page.heading("What the base model writes").table(["beginning", "continuation"], samples.items())
    page.heading("What the chat model answers").table(
        ["question", "answer"], [(figures["question"], figures["answer"])]
    )
    page.heading("To go on").code("\n".join(next_commands(figures)))
    page.write(run.out / "report.html")
