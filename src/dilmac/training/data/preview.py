"""Examples as the model will see them: the template around them, and what of it is learned."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.text import Text

from dilmac.core import ConfigError, Figures
from dilmac.models import require_model_folder, with_model_folder
from dilmac.tokenizer import EncodedChat, Tokenizer
from dilmac.training.config import FinetuneConfig
from dilmac.training.data.encode import encode_example
from dilmac.training.data.prepare import prepare_conversations

OPEN, CLOSE = "«", "»"  # around what is learned, where there are no colors


def preview_data(config: FinetuneConfig) -> Figures:
    """The first `config.preview` examples that would be trained on, and the counts of the data.

    Each of `shown` has its place, its tokens, those that are learned, and its `spans`: a text, and
    whether it is learned. Nothing is trained, and nothing written.

    Raises:
        InputError: data or tokenizer cannot be read, or an example teaches nothing.
    """
    if config.preview < 1:
        raise ConfigError("shows nothing", where="--preview", mend="give a number of examples")
    config = with_model_folder(config)
    require_model_folder(config.model)
    prepared = prepare_conversations(config)
    tokenizer = Tokenizer(config.model)
    shown = []
    for example in prepared.split.train[: config.preview]:
        chat = encode_example(example, tokenizer)
        shown.append(
            {
                "where": example.where,
                "tokens": len(chat.ids),
                "learned": sum(chat.assistant_mask),
                "spans": spans(chat, tokenizer),
            }
        )
    return {
        "examples": len(prepared.split.train),
        "examples_validation": len(prepared.split.validation),
        "examples_test": len(prepared.split.test),
        **prepared.figures,
        "shown": shown,
    }


def spans(chat: EncodedChat, tokenizer: Tokenizer) -> list[tuple[str, bool]]:
    """Stretches of a conversation's text, control tokens by their names, and whether they are
    learned."""
    marked = zip(chat.assistant_mask, chat.ids, strict=True)
    return [
        (tokenizer.decode([row for _, row in stretch], keep_control=True), is_learned)
        for is_learned, stretch in groupby(marked, key=lambda pair: pair[0])
    ]


def print_preview(figures: Figures, console: Console) -> None:
    """Write the examples of `preview_data`: on a terminal what is not learned is gray, elsewhere
    what is learned stands between « and »."""
    for number, example in enumerate(figures["shown"], start=1):
        head = f"{number}: {example['where']}, {example['tokens']} tokens"
        console.print(Text(f"--- {head}, {example['learned']} learned"), soft_wrap=True)
        text = Text()
        for raw, is_learned in example["spans"]:
            said = raw.replace("\x1b", "␛")  # what a text holds must not steer the terminal
            if console.is_terminal:
                text.append(said, style="bold" if is_learned else "bright_black")
            else:
                text.append(f"{OPEN}{said}{CLOSE}" if is_learned else said)
        console.print(text, soft_wrap=True)
    counts = (f"{name} {value}" for name, value in figures.items() if name != "shown")
    console.print(Text(", ".join(counts)), soft_wrap=True)
