"""Does a model end its answers, or does it go round in circles? Two rates over chat prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dilmac.core import InputError, Steps, read_records
from dilmac.engines import Sampling
from dilmac.evaluate.outcome import Outcome
from dilmac.evaluate.subject import Subject
from dilmac.evaluate.tasks.files import CHAT, FOLDER

FILES = "chat-prompts*"
PROMPT_FIELDS = ("prompt", "instruction", "message")
MAX_TOKENS = 128  # an answer that is not ended by then counts as one that does not end
# An answer's end is a loop where it says the same at least so often, over at least so many
# characters: "Evet, evet, evet." and "çok çok çok güzel" are none.
MIN_ROUNDS, MIN_LOOP_CHARACTERS = 3, 60


def read_prompts(folder: Path | None) -> tuple[list[str], list[str]]:
    """Prompts and the names of their files: `chat-prompts*` in the folder, or those that ship.

    Raises:
        InputError: there is no such folder; a record has no prompt, or a file no record.
    """
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder", where=folder, mend=f"--task-data DIR with {FILES}")
    found = sorted(folder.glob(FILES)) if folder else []
    paths = found or [FOLDER / "chat-prompts.jsonl"]
    return [prompt for path in paths for prompt in _prompts(path)], [path.name for path in paths]


def _prompts(path: Path) -> Iterable[str]:
    number = 0
    for number, record in enumerate(read_records([path]), 1):
        said = next((record[field] for field in PROMPT_FIELDS if field in record), None)
        if not isinstance(said, str) or not said.strip():
            raise InputError(
                f"no prompt in any of the fields {', '.join(PROMPT_FIELDS)}",
                where=f"{path}, record {number}",
            )
        yield said
    if not number:
        raise InputError("holds no prompt", where=path)


def run_chat(prompts: Sequence[str], subject: Subject, seed: int) -> Outcome:
    """Ask each prompt with the sampling of `dilmac chat`, the n-th with `seed + n`.

    Raises:
        InputError: the model was not made for chat.
    """
    subject.num_truncated = 0
    stops, loops, items = [], [], []
    with Steps(f"{CHAT}, {subject.name}", total=len(prompts), unit="answers") as steps:
        for place, prompt in enumerate(prompts):
            said = subject.answer(prompt, Sampling(max_tokens=MAX_TOKENS, seed=seed + place))
            stops.append(float(said.has_stopped))
            loops.append(float(ends_in_loop(said.text)))
            items.append({"id": prompt, "said": said.text, "stop": stops[-1], "loop": loops[-1]})
            steps.advance()
    return Outcome(
        values={"stop_rate": stops, "loop_rate": loops},
        weights=[1.0] * len(prompts),
        groups=[""] * len(prompts),
        items=items,
    )


def ends_in_loop(text: str) -> bool:
    """Whether a text ends in one stretch said `MIN_ROUNDS` times or more, the last time perhaps
    cut off."""
    text = text.rstrip()
    for period in range(1, len(text) // MIN_ROUNDS + 1):
        run = period
        while run < len(text) and text[-run - 1] == text[-run - 1 + period]:
            run += 1
        if run >= max(MIN_ROUNDS * period, MIN_LOOP_CHARACTERS):
            return True
    return False
