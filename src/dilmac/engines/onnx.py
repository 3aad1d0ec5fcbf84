"""The ONNX engine: a graph with its cache, run by ONNX Runtime on the CPU.

Of several answers under way each has a step in turn; they are not batched.

Inputs `input_ids` and `attention_mask` `[1, …]`, `past_key_values.N.key` and `.value`
`[1, heads, past, width]`; outputs `logits` and `present.N.…`: what `dilmac export onnx` writes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from dilmac.core import InputError, MissingDependencyError, num_cpus, read_json
from dilmac.engines.choosing import Chooser, suppressed_rows
from dilmac.engines.interface import READING, EngineSpec, Progress, Sampling, Token, require_ids
from dilmac.engines.onnx_file import require_sound_onnx
from dilmac.tokenizer import Tokenizer

try:
    import onnxruntime
except ImportError as error:
    raise MissingDependencyError(
        "an ONNX model needs onnx and onnxruntime", mend="pip install 'dilmac[onnx]'"
    ) from error

# Tokens of a prompt that are read at once: between two such parts a cancelled request ends.
PROMPT_BATCH = 128
PAST, PRESENT = "past_key_values.", "present."
ERRORS_ONLY = 3  # of ONNX Runtime's severities

Cache = dict[str, Any]  # name of a past input → its values, an OrtValue


class Onnx:
    """A folder with `model.onnx`, run by ONNX Runtime."""

    def __init__(self, spec: EngineSpec):
        torch.set_num_threads(1)  # it only chooses
        self.session = _open_session(spec)
        self.names = [one.name for one in self.session.get_outputs()]
        trained, self.num_rows, head_size = _shape(spec)
        self.empty = self._empty_cache(spec, head_size)
        self.tokenizer = Tokenizer(spec.model)
        self.tokenizer.require_fit(self.num_rows)
        self.prompt_batch = PROMPT_BATCH
        told = read_json(spec.model / "generation_config.json").get("suppress_tokens") or []
        self.suppressed = suppressed_rows(told, self.num_rows, len(self.tokenizer))
        self.context = min(spec.context or trained, trained)
        self._turn = threading.Lock()

    def _empty_cache(self, spec: EngineSpec, head_size: int) -> Cache:
        """A cache of no tokens.

        Raises:
            InputError: the graph has other inputs or outputs.
        """
        shapes = {one.name: one.shape for one in self.session.get_inputs()}
        pasts = {name: shape for name, shape in shapes.items() if name.startswith(PAST)}
        expected_outputs = {"logits", *(PRESENT + name.removeprefix(PAST) for name in pasts)}
        if (
            set(shapes) != {"input_ids", "attention_mask", *pasts}
            or set(self.names) != expected_outputs
            or not pasts
        ):
            raise InputError(
                "the graph has other inputs or outputs than a decoder with its cache "
                f"({', '.join([*shapes, *self.names][:6])}, …)",
                where=spec.model,
                mend="make the folder with `dilmac export onnx`",
            )
        heads = next(iter(pasts.values()))[1]
        nothing = np.zeros((1, heads, 0, head_size), np.float32)
        return {name: onnxruntime.OrtValue.ortvalue_from_numpy(nothing) for name in pasts}

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
        with torch.inference_mode():
            yield from self._generate(prompt, sampling, is_cancelled)

    def _generate(
        self, prompt: list[int], sampling: Sampling, is_cancelled: Callable[[], bool]
    ) -> Iterator[Token | Progress]:
        chooser = Chooser(sampling, self.suppressed, prompt)
        cache, num_read = self.empty, 0
        size = self.prompt_batch
        *parts, ids = [prompt[at : at + size] for at in range(0, len(prompt), size)]
        for part in parts:
            if is_cancelled():
                yield "cancelled"
                return
            _, cache = self._read(part, cache, num_read)
            num_read += len(part)
            yield READING
        for _ in range(min(sampling.max_tokens, self.context - len(prompt))):
            if is_cancelled():
                yield "cancelled"
                return
            logits, cache = self._read(ids, cache, num_read)
            num_read += len(ids)
            token = chooser(logits[-1])
            if token.id in sampling.stop_ids:
                yield "stop"
                return
            yield token
            ids = [token.id]
        yield "length"

    def _read(self, ids: list[int], cache: Cache, num_read: int) -> tuple[torch.Tensor, Cache]:
        """Logits `[length, rows]` of what follows each of `ids`, and the cache with them in it."""
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        feed = {
            "input_ids": value(np.array([ids], np.int64)),
            "attention_mask": value(np.ones((1, num_read + len(ids)), np.int64)),
            **cache,
        }
        with self._turn:  # of several answers each has a step in turn
            values = self.session.run_with_ort_values(self.names, feed)
        found = dict(zip(self.names, values, strict=True))
        logits = torch.from_numpy(found["logits"].numpy()[0])
        return logits, {name: found[PRESENT + name.removeprefix(PAST)] for name in cache}

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text) for text in texts]

    def detokenize(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        shares = self._shares(ids)[:-1]
        best = shares.topk(min(top, self.num_rows))
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [list(zip(tokens, values, strict=True)) for tokens, values in rows]

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        # Row by row: the graph gives logits of every position, a vocabulary each.
        answers = []
        for ids, start in rows:
            shares = self._shares(ids)[start - 1 : -1]
            targets = torch.tensor(ids[start:])
            values = shares.gather(-1, targets[:, None])[:, 0].tolist()
            is_best = (shares.argmax(-1) == targets).tolist()
            answers.append(list(zip(values, is_best, strict=True)))
        return answers

    def _shares(self, ids: list[int]) -> torch.Tensor:
        """Log-probabilities of what follows each of `ids`, `[length, rows]`."""
        self._check(ids)
        with torch.inference_mode():
            logits, _ = self._read(ids, self.empty, 0)
            return torch.log_softmax(logits, -1)

    def _check(self, ids: list[int]) -> None:
        require_ids(ids, self.context, self.num_rows)


def _open_session(spec: EngineSpec) -> Any:
    path = require_sound_onnx(spec.model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads or num_cpus()
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors have no common class
        first_line = " ".join(str(error).split())[:200]
        raise InputError(
            f"ONNX Runtime cannot open it ({first_line})",
            where=path,
            mend="export it again",
        ) from error


def _shape(spec: EngineSpec) -> tuple[int, int, int]:
    """Context [tokens], rows of the vocabulary, width of a head.

    Raises:
        InputError: config.json does not say them.
    """
    settings = read_json(spec.model / "config.json")
    try:
        head_size = settings.get("head_dim")
        if head_size is None:
            head_size = settings["hidden_size"] // settings["num_attention_heads"]
        return int(settings["max_position_embeddings"]), int(settings["vocab_size"]), int(head_size)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            "config.json is missing, or does not say context, vocabulary and width of a head",
            where=spec.model,
            mend="copy the folder again, whole",
        ) from error
