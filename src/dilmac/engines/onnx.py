"""The ONNX engine: a graph with its cache, run by ONNX Runtime on the CPU.

Of several answers under way each has a step in turn; they are not batched.

Inputs `input_ids` and `attention_mask` `[1, …]`, `past_key_values.N.key` and `.value`
`[1, heads, past, width]`; outputs `logits` and `present.N.…`, which `GroupQueryAttention` writes in
place: what `dilmac export onnx` makes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch

from dilmac.core import InputError, MissingDependencyError, num_cpus, read_json
from dilmac.engines.choosing import Chooser, suppressed_rows
from dilmac.engines.interface import READING, EngineSpec, Progress, Sampling, Token, require_ids
from dilmac.engines.onnx_file import require_one_buffer, require_sound_onnx
from dilmac.tokenizer import Tokenizer

try:
    import onnxruntime

    from dilmac.engines.onnx_cache import PAST, Passage, present_name
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
        torch.set_num_threads(1)  # it only chooses
        self.session = _open_session(spec)
        trained, self.num_rows, head_size = _shape(spec)
        self.past_names, num_heads = self._past_inputs(spec)
        self.cache_shape = num_heads, head_size
        self.tokenizer = Tokenizer(spec.model)
        self.tokenizer.require_fit(self.num_rows)
        self.prompt_batch = PROMPT_BATCH
        told = read_json(spec.model / "generation_config.json").get("suppress_tokens") or []
        self.suppressed = suppressed_rows(told, self.num_rows, len(self.tokenizer))
        self.context = min(spec.context or trained, trained)
        self._turn = threading.Lock()

    def _past_inputs(self, spec: EngineSpec) -> tuple[list[str], int]:
        """Names of the inputs for keys and values, and how many heads have their own.

        Raises:
            InputError: the graph has other inputs or outputs.
        """
        shapes = {one.name: one.shape for one in self.session.get_inputs()}
        outputs = [one.name for one in self.session.get_outputs()]
        names = [name for name in shapes if name.startswith(PAST)]
        expected_outputs = {"logits", *(present_name(name) for name in names)}
        if (
            set(shapes) != {"input_ids", "attention_mask", *names}
            or set(outputs) != expected_outputs
            or not names
        ):
            raise InputError(
                "the graph has other inputs or outputs than a decoder with its cache "
                f"({', '.join([*shapes, *outputs][:6])}, …)",
                where=spec.model,
                mend="make the folder with `dilmac export onnx`",
            )
        require_one_buffer(spec.model, {name: present_name(name) for name in names})
        return names, int(shapes[names[0]][1])

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
        num_new = min(sampling.max_tokens, self.context - len(prompt))
        passage = self._passage(len(prompt) + num_new)
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

    def _passage(self, longest: int) -> Passage:
        return Passage(self.session, self.past_names, self.cache_shape, longest)

    def _read(self, passage: Passage, ids: list[int]) -> torch.Tensor:
        with self._turn:  # of several answers each has a step in turn
            return passage.read(ids)

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
            return torch.log_softmax(self._read(self._passage(len(ids)), ids), -1)

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
