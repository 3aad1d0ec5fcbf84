"""The ONNX engine: a graph with its cache, run by ONNX Runtime on the CPU.

Of several answers under way each has a step in turn; they are not batched.

Inputs `input_ids` and `attention_mask` `[1, …]`, `past_key_values.N.key` and `.value`
`[1, heads, past, width]`; outputs `logits` and `present.N.…`, which `GroupQueryAttention` writes in
place: what `dilmac export onnx` makes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dilmac.core import InputError, MissingDependencyError, num_cpus, read_json
from dilmac.engines.choosing import Array, Chooser, largest, suppressed_rows
from dilmac.engines.interface import READING, EngineSpec, Progress, Sampling, Token, require_ids
from dilmac.engines.onnx_file import require_one_buffer, require_sound_onnx
from dilmac.tokenizer import Tokenizer

try:
    import onnxruntime

    from dilmac.engines.onnx_cache import PAST, Graph, Passage, present_name
except ImportError as error:
    raise MissingDependencyError(
        "an ONNX model needs onnx and onnxruntime", mend="pip install 'dilmac[onnx]'"
    ) from error

# Tokens of a prompt that are read at once: between two such parts a cancelled request ends.
PROMPT_BATCH = 128
ERRORS_ONLY = 3  # of ONNX Runtime's severities


class Onnx:
    """A folder with `model.onnx`, run by ONNX Runtime."""

    def __init__(self, spec: EngineSpec):
        path = require_sound_onnx(spec.model)
        trained, self.num_rows, head_size = _shape(spec)
        self.graph = _graph(_open_session(spec, path), path, head_size, self.num_rows)
        self.tokenizer = Tokenizer(spec.model)
        self.tokenizer.require_fit(self.num_rows)
        self.prompt_batch = PROMPT_BATCH
        told = read_json(spec.model / "generation_config.json").get("suppress_tokens") or []
        self.suppressed = suppressed_rows(told, self.num_rows, len(self.tokenizer))
        self.context = min(spec.context or trained, trained)
        self._turn = threading.Lock()

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
        chooser = Chooser(sampling, self.suppressed, prompt)
        num_new = min(sampling.max_tokens, self.context - len(prompt))
        passage = Passage(self.graph, len(prompt) + num_new)
        size = self.prompt_batch
        *parts, ids = [prompt[at : at + size] for at in range(0, len(prompt), size)]
        for part in parts:
            if is_cancelled():
                yield "cancelled"
                return
            self._read(passage, part)
            yield READING
        for _ in range(num_new):
            if is_cancelled():
                yield "cancelled"
                return
            token = chooser(self._read(passage, ids)[-1])
            if token.id in sampling.stop_ids:
                yield "stop"
                return
            yield token
            ids = [token.id]
        yield "length"

    def _read(self, passage: Passage, ids: list[int]) -> Array:
        with self._turn:  # of several answers each has a step in turn
            return passage.read(ids)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [self.tokenizer.encode(text) for text in texts]

    def detokenize(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids)

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        answers = []
        for shares in self._shares(ids)[:-1]:
            best = largest(shares, top)
            answers.append(list(zip(best.tolist(), shares[best].tolist(), strict=True)))
        return answers

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        # Row by row: the graph gives logits of every position, a vocabulary each.
        answers = []
        for ids, start in rows:
            shares = self._shares(ids)[start - 1 : -1]
            targets = np.array(ids[start:])
            values = np.take_along_axis(shares, targets[:, None], -1)[:, 0].tolist()
            is_best = (shares.argmax(-1) == targets).tolist()
            answers.append(list(zip(values, is_best, strict=True)))
        return answers

    def _shares(self, ids: list[int]) -> Array:
        """Log-probabilities of what follows each of `ids`, `[length, rows]`."""
        self._check(ids)
        logits = self._read(Passage(self.graph, len(ids)), ids)
        logits = logits - logits.max(-1, keepdims=True)
        sums: Array = np.exp(logits).sum(-1, keepdims=True, dtype=np.float64)
        shares: Array = logits - np.log(sums).astype(np.float32)
        return shares

    def _check(self, ids: list[int]) -> None:
        require_ids(ids, self.context, self.num_rows)


def _graph(session: Any, path: Path, head_size: int, num_rows: int) -> Graph:
    """The graph of a folder, ready to run.

    Raises:
        InputError: it has other inputs or outputs than those of a decoder with its cache.
    """
    inputs, outputs = (
        {one.name: one.shape for one in ends}
        for ends in (session.get_inputs(), session.get_outputs())
    )
    cache = {name: present_name(name) for name in inputs if name.startswith(PAST)}
    expected = {"input_ids", "attention_mask", *cache}, {"logits", *cache.values()}
    if not cache or (set(inputs), set(outputs)) != expected:
        raise InputError(
            "the graph has other inputs or outputs than a decoder with its cache "
            f"({', '.join([*inputs, *outputs][:6])}, …)",
            where=path,
            mend="make the folder with `dilmac export onnx`",
        )
    if outputs["logits"][-1] != num_rows:
        raise InputError(
            f"the graph has {outputs['logits'][-1]} rows, config.json {num_rows}",
            where=path,
            mend="copy the folder again, whole",
        )
    require_one_buffer(path, cache)
    num_heads = int(inputs[next(iter(cache))][1])
    return Graph(session, list(cache), num_heads, head_size, num_rows)


def _open_session(spec: EngineSpec, path: Path) -> Any:
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
