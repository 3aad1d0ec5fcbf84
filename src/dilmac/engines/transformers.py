"""The transformers engine: any model folder, on the GPU or the CPU, one request at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import (
    DynamicCache,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dilmac.core import InputError, num_cpus
from dilmac.engines.interface import READING, EngineSpec, Progress, Sampling, Token
from dilmac.engines.precision import load_in_precision
from dilmac.tokenizer import Tokenizer

# Tokens of a prompt that are read at once: between two such parts a cancelled request ends. A CPU
# reads 128 of a model of 0.6B parameters in less than a second; a GPU is quicker, and wants more.
PROMPT_BATCH_CPU, PROMPT_BATCH_GPU = 128, 2048


class Transformers:
    """A model folder run by transformers, in a precision of the user's or the machine's choice."""

    def __init__(self, spec: EngineSpec):
        torch.set_num_threads(spec.threads or num_cpus())
        has_gpu = torch.cuda.is_available()
        device = torch.device("cuda" if has_gpu else "cpu")
        self.model = load_in_precision(spec.model, spec.precision, device)
        self.tokenizer = Tokenizer(spec.model)
        self.prompt_batch = PROMPT_BATCH_GPU if has_gpu else PROMPT_BATCH_CPU
        self.num_rows = int(self.model.get_input_embeddings().num_embeddings)
        self.tokenizer.require_fit(self.num_rows)
        told = {*(self.model.generation_config.suppress_tokens or [])}
        # Never sampled: rows that a transplant silenced, and those that are no tokens.
        rows = range(self.num_rows)
        self.suppressed = [row for row in rows if row in told or row >= len(self.tokenizer)]
        trained = int(self.model.config.max_position_embeddings)
        self.context = min(spec.context or trained, trained)
        self._one_at_a_time = threading.Lock()

    def facts(self) -> dict[str, Any]:
        return {
            "context": self.context,
            "vocab_size": self.num_rows,
            "control": self.tokenizer.control_tokens,
        }

    def generate(
        self, prompt: list[int], sampling: Sampling, is_cancelled: Callable[[], bool]
    ) -> Iterator[Token | Progress]:
        self._check(prompt)
        with self._one_at_a_time, torch.inference_mode():
            yield from self._generate(prompt, sampling, is_cancelled)

    def _generate(
        self, prompt: list[int], sampling: Sampling, is_cancelled: Callable[[], bool]
    ) -> Iterator[Token | Progress]:
        chooser = torch.Generator(device=self.model.device).manual_seed(sampling.seed)
        warpers = _warpers(sampling)
        cache = DynamicCache()
        *parts, ids = torch.tensor([prompt], device=self.model.device).split(self.prompt_batch, 1)
        for part in parts:
            if is_cancelled():
                yield "cancelled"
                return
            self._read(part, cache)
            yield READING
        for _ in range(min(sampling.max_tokens, self.context - len(prompt))):
            if is_cancelled():
                yield "cancelled"
                return
            logits = self._read(ids, cache)
            open_to_choice = logits.clone()
            open_to_choice[:, self.suppressed] = -torch.inf
            if sampling.temperature == 0:
                choice = open_to_choice.argmax(-1, keepdim=True)
            else:
                shares = torch.softmax(warpers(ids, open_to_choice), dim=-1)
                choice = torch.multinomial(shares, 1, generator=chooser)
            token = int(choice)
            if token in sampling.stop_ids:
                yield "stop"
                return
            yield Token(id=token, logprob=float(torch.log_softmax(logits, -1)[0, token]))
            ids = choice
        yield "length"

    def _read(self, ids: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Logits of what follows `ids` [1, length] and all that is in `cache`, [1, rows]."""
        answer = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits: torch.Tensor = answer.logits[:, -1].float()
        return logits

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text) for text in texts]

    def detokenize(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        self._check(ids)
        row = torch.tensor([ids], device=self.model.device)
        with self._one_at_a_time, torch.inference_mode():
            logits = self.model(input_ids=row, use_cache=False).logits[0, :-1].float()
            best = torch.log_softmax(logits, -1).topk(min(top, self.num_rows))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [list(zip(tokens, values, strict=True)) for tokens, values in rows]

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        for ids, _ in rows:
            self._check(ids)
        length = max(len(ids) for ids, _ in rows)
        # Padding stands right of everything that is asked for: causal attention never sees it.
        batch = torch.tensor([[*ids, *[0] * (length - len(ids))] for ids, _ in rows])
        batch = batch.to(self.model.device)
        first = min(start for _, start in rows) - 1
        kept = torch.arange(first, length - 1, device=self.model.device)
        with self._one_at_a_time, torch.inference_mode():
            # Logits only from the first position that is asked for: a row of them is a vocabulary.
            logits = self.model(input_ids=batch, use_cache=False, logits_to_keep=kept).logits
            shares = torch.log_softmax(logits.float(), -1)
            targets = batch[:, first + 1 :]
            values = shares.gather(-1, targets[..., None])[..., 0].tolist()
            is_best = (shares.argmax(-1) == targets).tolist()
        return [
            list(zip(values[place], is_best[place], strict=True))[
                start - 1 - first : len(ids) - 1 - first
            ]
            for place, (ids, start) in enumerate(rows)
        ]

    def _check(self, ids: list[int]) -> None:
        if not ids or len(ids) > self.context:
            raise InputError(
                f"{len(ids)} tokens in a context of {self.context}", mend="shorten the conversation"
            )
        if not 0 <= min(ids) <= max(ids) < self.num_rows:
            raise InputError(f"an id outside the vocabulary of {self.num_rows}")


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.temperature > 0:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
