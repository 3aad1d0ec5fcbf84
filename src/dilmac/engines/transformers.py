"""The transformers engine: any model folder, on a GPU or a CPU, for several requests at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from transformers import GenerationConfig

from dilmac.core import num_cpus
from dilmac.engines.batch import Request
from dilmac.engines.choosing import Chooser, suppressed_rows
from dilmac.engines.interface import EngineSpec, Progress, Sampling, Token, require_ids
from dilmac.engines.precision import load_in_precision
from dilmac.engines.scheduler import Scheduler
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
        self._scheduler = Scheduler(
            lambda: load_in_precision(spec.model, spec.precision, device), spec.slots
        )
        self.model = self._scheduler.model
        self.tokenizer = Tokenizer(spec.model)
        self.prompt_batch = PROMPT_BATCH_GPU if has_gpu else PROMPT_BATCH_CPU
        self.num_rows = int(self.model.get_input_embeddings().num_embeddings)
        self.tokenizer.require_fit(self.num_rows)
        told = self.model.generation_config.suppress_tokens or []
        self._suppressed = suppressed_rows(told, self.num_rows, len(self.tokenizer))
        self.model.generation_config = GenerationConfig()  # what a request says, and nothing else
        trained = int(self.model.config.max_position_embeddings)
        self.context = min(spec.context or trained, trained)

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
        room = min(sampling.max_tokens, self.context - len(prompt))
        if room < 1:
            yield "length"
            return
        parts = torch.tensor([prompt], device=self.model.device).split(self.prompt_batch, 1)
        chooser = Chooser(sampling, self._suppressed, prompt)
        yield from self._scheduler.answer(Request(parts, sampling, room, chooser, is_cancelled))

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text) for text in texts]

    def detokenize(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        self._check(ids)
        return self._scheduler.call(lambda: self._score(ids, top))

    def _score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        row = torch.tensor([ids], device=self.model.device)
        logits = self.model(input_ids=row, use_cache=False).logits[0, :-1].float()
        best = torch.log_softmax(logits, -1).topk(min(top, self.num_rows))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [list(zip(tokens, values, strict=True)) for tokens, values in rows]

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        for ids, _ in rows:
            self._check(ids)
        return self._scheduler.call(lambda: self._logprobs(rows))

    def _logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        length = max(len(ids) for ids, _ in rows)
        # Padding stands right of everything that is asked for: causal attention never sees it.
        batch = torch.tensor([[*ids, *[0] * (length - len(ids))] for ids, _ in rows])
        batch = batch.to(self.model.device)
        first = min(start for _, start in rows) - 1
        kept = torch.arange(first, length - 1, device=self.model.device)
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
        require_ids(ids, self.context, self.num_rows)
