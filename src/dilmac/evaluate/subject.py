"""What is evaluated: a model in an engine of the house, asked in text, answering in likelihoods.

Prompts become ids here, by the model's own tokenizer and without control tokens; engines see ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol, Self

from dilmac.engines import Engine, EngineSpec, EngineTokenizer, Sampling, answer_stops
from dilmac.evaluate.bits import Bits, windows_of
from dilmac.tokenizer import (
    IM_END,
    IM_START,
    Message,
    document_start,
    encode_chat,
)

READ_EVERY = 4  # tokens between two looks for the end of a text: a look is a question and an answer
MAX_BATCH_TOKENS = 2048  # of a request; logits of so many positions are in memory at once
Pair = tuple[str, str]  # a context, and how it goes on
# What a task needs of a model: probabilities of given text, a chat format, ids of its own, or no
# more than to be continued.
Need = Literal["scores", "chat", "ids", "text"]


class Likelihood(NamedTuple):
    """Log-probability of a continuation [nats], and whether greedy decoding would give it."""

    logprob: float
    is_greedy: bool


class Answer(NamedTuple):
    """What a model answered, and whether it ended by itself."""

    text: str
    has_stopped: bool


class Subject(Protocol):
    """What every model that is evaluated can do. `num_truncated` counts prompts that were cut."""

    name: str
    kind: str
    num_truncated: int

    def lacks(self, need: Need) -> str | None:
        """Why a task with this need cannot be asked of it; None where it can."""
        ...

    def likelihoods(self, pairs: Sequence[Pair]) -> Iterator[Likelihood]:
        """Likelihood of each continuation, in order."""
        ...

    def complete(self, prompt: str, until: Sequence[str], max_tokens: int) -> str:
        """The greedy continuation, up to the first of `until` (left out)."""
        ...

    def answer(self, message: str, sampling: Sampling) -> Answer:
        """The answer to a user's message."""
        ...

    def bits(self, text: str) -> Bits:
        """What the model needs for a text that begins a document."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


class Row(NamedTuple):
    """Ids of a context with its continuation, which begins at `start`."""

    ids: list[int]
    start: int


def split_pairs(contexts: list[list[int]], wholes: list[list[int]], texts: list[str]) -> list[int]:
    """Where each continuation begins in the ids of context and continuation together.

    A tokenizer may join the end of a context with what follows it, so a text is encoded whole and
    split where it leaves the ids of the context alone (the longest common prefix). Choices of one
    context (`texts` tells which those are) are split at the same place, the first of theirs: else
    one of them would pay for a token of the context that another does not pay for.
    """
    cuts = [_common(context, whole) for context, whole in zip(contexts, wholes, strict=True)]
    first: dict[str, int] = {}
    for text, cut in zip(texts, cuts, strict=True):
        first[text] = min(cut, first.get(text, cut))
    return [first[text] for text in texts]


def cut_at(text: str, until: Sequence[str]) -> str:
    """A text up to the first of `until`, or all of it."""
    return text[: min((text.index(mark) for mark in until if mark in text), default=len(text))]


def _common(one: list[int], other: list[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


class EngineSubject:
    """A model that an engine of the house runs."""

    def __init__(self, name: str, spec: EngineSpec, *, begin_documents: bool = True):
        """Start the engine. With `begin_documents` every prompt stands at the start of a document,
        as in training; else only an empty context does.

        Raises:
            EngineError: it cannot be started.
        """
        self.name, self.num_truncated = name, 0
        self.kind: str = spec.kind
        self.begin_documents = begin_documents
        self.engine = Engine(spec)
        self.tokenizer = EngineTokenizer(self.engine)
        self.start_id = document_start(self.engine.control_tokens)

    def lacks(self, need: Need) -> str | None:
        if need == "chat" and not {IM_START, IM_END} <= self.engine.control_tokens.keys():
            return "it has no ChatML markers: it was not made for chat"
        if need == "ids" and self.start_id is None:
            return "it has no token that begins a document"
        return None

    def likelihoods(self, pairs: Sequence[Pair]) -> Iterator[Likelihood]:
        rows = self._rows(pairs)
        # Batches of rows of like length, so that little is padding; answers in the order asked.
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
        found: dict[int, Likelihood] = {}
        wanted = 0
        for batch in self._batches(rows, order):
            answers = self.engine.logprobs([rows[place] for place in batch])
            for place, tokens in zip(batch, answers, strict=True):
                found[place] = Likelihood(
                    sum(logprob for logprob, _ in tokens), all(is_best for _, is_best in tokens)
                )
            while wanted in found:
                yield found.pop(wanted)
                wanted += 1

    def _rows(self, pairs: Sequence[Pair]) -> list[Row]:
        contexts = list({context for context, _ in pairs if context})
        known = dict(zip(contexts, self.engine.tokenize(contexts), strict=True)) if contexts else {}
        wholes = self.engine.tokenize([context + rest for context, rest in pairs])
        texts = [context for context, _ in pairs]
        starts = split_pairs([known.get(text, []) for text in texts], wholes, texts)
        rows = []
        for text, ids, start in zip(texts, wholes, starts, strict=True):
            before = self._before(is_empty=not text)
            rows.append(self._fitted([*before, *ids], start + len(before)))
        return rows

    def _before(self, *, is_empty: bool) -> list[int]:
        if self.start_id is None or not (self.begin_documents or is_empty):
            return []
        return [self.start_id]

    def _fitted(self, ids: list[int], start: int) -> Row:
        """The end of a row that is too long; the first token of all is only read."""
        cut = max(0, len(ids) - self.engine.context)
        self.num_truncated += cut > 0
        return Row(ids[cut:], max(1, start - cut))

    def _batches(self, rows: list[Row], order: list[int]) -> Iterator[list[int]]:
        """llama.cpp is asked token by token, so a batch is of no use to it."""
        batch: list[int] = []
        for place in order:
            longest = len(rows[batch[0]].ids) if batch else 0
            is_full = (len(batch) + 1) * longest > MAX_BATCH_TOKENS or self.kind == "llamacpp"
            if batch and is_full:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def complete(self, prompt: str, until: Sequence[str], max_tokens: int) -> str:
        ids = [*self._before(is_empty=not prompt), *self.tokenizer.encode(prompt)]
        kept = max(1, self.engine.context - max_tokens)
        self.num_truncated += len(ids) > kept
        sampling = Sampling(max_tokens=max_tokens, temperature=0, stop_ids=self._stop_ids())
        said: list[int] = []
        for token in self.engine.generate(ids[-kept:], sampling):
            said.append(token.id)
            if len(said) % READ_EVERY == 0:
                text = self.engine.detokenize(said)
                if any(mark in text for mark in until):
                    break  # which cancels what is not generated yet
        return cut_at(self.engine.detokenize(said) if said else "", until)

    def _stop_ids(self) -> tuple[int, ...]:
        return answer_stops(self.engine.control_tokens)

    def answer(self, message: str, sampling: Sampling) -> Answer:
        prompt = encode_chat(self.tokenizer, [Message("user", message)], open_answer=True).ids
        asked = sampling.model_copy(update={"stop_ids": self._stop_ids()})
        completion = self.engine.generate(prompt, asked)
        said = [token.id for token in completion]
        text = self.engine.detokenize(said) if said else ""
        return Answer(text, completion.finish_reason == "stop")

    def bits(self, text: str) -> Bits:
        ids = self.tokenizer.encode(text)
        before = self._before(is_empty=True)
        nats = 0.0
        for window in windows_of([*before, *ids], self.engine.context - 1):
            (tokens,) = self.engine.logprobs([(window.ids, window.first_counted)])
            nats -= sum(logprob for logprob, _ in tokens)
        return Bits(nats, len(ids), len(text.encode()))

    def close(self) -> None:
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
