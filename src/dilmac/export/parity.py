"""The proof that goes with an export: the same ids, and the same log-probabilities.

Ids are compared on real lines and fuzz strings, as content. Log-probabilities are compared
teacher-forced on real text, over the most probable tokens of each position (llama.cpp's server
gives no more); greedy continuations of a toy model would prove nothing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dilmac.core import Figures, InputError, ParityError, Steps, bundled_prose, read_measured_texts
from dilmac.engines import Engine, EngineSpec
from dilmac.export.config import GgufConfig, ProofConfig
from dilmac.export.fuzz import fuzz_strings
from dilmac.export.loss import compare_loss
from dilmac.export.rounding import rounding_differences
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer

IMPORTANCE_LENGTH = 256  # tokens of a row that an importance is counted on
TOP = 64  # tokens of each position that are compared
# Largest difference of a log-probability [nats], with keys and values in f32 on both sides. Seen
# on the `quick` shape over 2,000 positions x 64 tokens: f32 0.000015, f16 0.0125. bf16
# has three bits less than f16, so 8 times its bound (seen on 2 random layers, 64 wide: f16
# 0.006, bf16 0.04). For quantized types there is no bound to hold (seen with q8_0: 0.10); their
# agreement is reported.
BOUNDS = {"f32": 0.001, "f16": 0.05, "bf16": 0.4}
# In ONNX Runtime (seen: fp32 0.000033 on dilmac-mini, int8 0.34, int4 5.3).
BOUNDS |= {"fp32": 0.001}
RUNTIMES = {"llamacpp": "llama.cpp", "onnx": "ONNX Runtime", "transformers": "the exported folder"}
HALVES = {"f16": "float16", "bf16": "bfloat16"}  # their names in torch
# Where f16 or bf16 exceeds its bound, the source itself is rounded and compared with itself: a
# model with large weights moves further by that alone. The runtime rounds at other places, so as
# far again is allowed.
ROUNDING_FACTOR = 2.0
MAX_BOUND = {"f16": 0.5, "bf16": 2.0}
# A rounding that makes a router choose another expert moves a position by all that the expert
# does, and no two runtimes round alike. So of a model with experts the bound is what rounding does
# to 95 % of the positions; beyond it may be twice as many as rounding alone brings there, at least
# 1 % and at most 10 %. (Random weights, 4 experts, f16: 0.4 at 2 of 500 positions, 0.0008 on
# average; the same in f32: 0.000007.)
QUANTILE_WITH_EXPERTS = 0.95
MIN_SHARE_BEYOND, MAX_SHARE_BEYOND = 0.01, 0.10


@dataclass
class Agreement:
    """What a teacher-forced comparison found."""

    bound: float | None
    length: int = 256  # of the rows that were compared [tokens]
    differences: list[float] = field(default_factory=list, repr=False)  # largest of each position
    same_best: int = 0
    other_best: list[float] = field(default_factory=list, repr=False)  # the source's margin there
    rounding: float | None = None  # what the type alone changes, where that had to be known
    num_allowed: int = 0  # positions that may be beyond the bound
    total: float = field(default=0.0, repr=False)
    compared: int = 0

    def add(self, source: Any, theirs: list[tuple[int, float]]) -> None:
        """One position: the source's log-probabilities `[vocab]`, and the other runtime's top."""
        margin, best = _margin(source)
        self.same_best += theirs[0][0] == best
        if theirs[0][0] != best:
            self.other_best.append(margin)
        found = [abs(float(source[token]) - logprob) for token, logprob in theirs]
        found = [math.inf if math.isnan(difference) else difference for difference in found]
        self.differences.append(max(found))
        self.total += sum(found)
        self.compared += len(found)

    @property
    def positions(self) -> int:
        return len(self.differences)

    @property
    def largest(self) -> float:
        return max(self.differences, default=0.0)

    @property
    def wrong_best(self) -> int:
        """Best tokens that differ although the source's margin exceeds twice the bound."""
        bound = math.inf if self.bound is None else self.bound
        return sum(margin > 2 * bound for margin in self.other_best)

    @property
    def num_beyond(self) -> int:
        """Positions that are further off than the bound."""
        bound = math.inf if self.bound is None else self.bound
        return sum(difference > bound for difference in self.differences)

    @property
    def holds(self) -> bool:
        """Whether everything is within the bound, but for what is allowed beyond it."""
        if self.bound is None:
            return True
        is_finite = math.isfinite(self.largest)
        return is_finite and max(self.num_beyond, self.wrong_best) <= self.num_allowed

    def allow_rounding(self, rounding: list[float], max_bound: float, *, has_experts: bool) -> None:
        """Widen the bound by what rounding alone does to the source, `[positions]`."""
        self.rounding = max(rounding) if all(map(math.isfinite, rounding)) else math.inf
        if self.bound is None or math.isinf(self.rounding):
            return
        quantile = QUANTILE_WITH_EXPERTS if has_experts else 1.0
        usual = sorted(rounding)[math.ceil(quantile * len(rounding)) - 1]
        self.bound = min(max_bound, max(self.bound, ROUNDING_FACTOR * usual))
        if has_experts:
            beyond = sum(difference > self.bound for difference in rounding)
            share = ROUNDING_FACTOR * beyond / len(rounding)
            share = min(MAX_SHARE_BEYOND, max(MIN_SHARE_BEYOND, share))
            self.num_allowed = math.ceil(share * self.positions)

    def figures(self) -> Figures:
        known: Figures = {}
        if self.rounding is not None:
            known["rounding_alone"] = round(self.rounding, 6)
        if self.num_allowed:
            known |= {"beyond_bound": self.num_beyond, "may_be_beyond_bound": self.num_allowed}
        return known | {
            "positions": self.positions,
            "tokens_per_position": TOP,
            "bound": self.bound,
            "largest_difference": round(self.largest, 6),
            "mean_difference": round(self.total / max(1, self.compared), 6),
            "same_best_percent": round(100 * self.same_best / max(1, self.positions), 3),
            "best_differs_beyond_margin": self.wrong_best,
        }


def _margin(logprobs: Any) -> tuple[float, int]:
    values, tokens = logprobs.topk(2)
    return float(values[0] - values[1]), int(tokens[0])


def prove(config: ProofConfig, gguf_file: Path) -> Figures:
    """Compare the GGUF with the model folder it was made from; of quantized types also the loss.

    Raises:
        ParityError: see `prove_engine`.
    """
    spec = EngineSpec(kind="llamacpp", model=gguf_file, exact=True)
    return prove_engine(config, spec, with_loss=config.type not in BOUNDS)


def prove_engine(
    config: ProofConfig, spec: EngineSpec, *, model: Any = None, with_loss: bool = False
) -> Figures:
    """Compare what an engine runs with `model`, or with the model folder it was made from;
    `with_loss` also bits per byte.

    Raises:
        ParityError: an id differs, a text does not round-trip, or a log-probability is further
            off than the type's bound, and than rounding explains.
    """
    import torch

    lines = _real_lines(config)
    tokenizer = Tokenizer(config.model)
    with Engine(spec) as engine:
        ids = prove_ids(tokenizer, engine, lines[: config.num_lines], config)
        model = load_model(config.model).eval() if model is None else model
        scores = _compare_scores(config, tokenizer, engine, lines, model)
        loss = _compare_loss(config, tokenizer, engine, lines, model) if with_loss else {}
    if config.type in HALVES and not scores.holds:
        rows = _rows(config, tokenizer, lines, scores.length)
        dtype = getattr(torch, HALVES[config.type])
        has_experts = bool(getattr(model.config, "num_experts", 0))
        rounding = rounding_differences(model, rows, TOP, dtype)
        scores.allow_rounding(rounding, MAX_BOUND[config.type], has_experts=has_experts)
    if not scores.holds:
        raise ParityError(
            f"log-probabilities differ by up to {scores.largest:.4f} (bound {scores.bound:.4f}), "
            f"{scores.wrong_best} best tokens differ",
            where=spec.model.name if spec.model.is_file() else config.out.name,
            mend="this is a fault of dilmaç: please report it with the model's config.json",
        )
    return {"ids": ids, "logprobs": scores.figures(), **loss}


def last_rows(config: GgufConfig) -> list[list[int]]:
    """Rows of ids with `importance_tokens` tokens of the text's end.

    The proof reads its beginning, so that a quantization is not measured on what it was made with;
    unless there is no more text than that.

    Raises:
        InputError: there is no text.
    """
    tokenizer = Tokenizer(config.model)
    # A token is a character at least, so this many lines hold enough of them.
    lines = list(deque(_lines(config), config.importance_tokens)) or _real_lines(config)
    rows = _sequences(tokenizer, lines, IMPORTANCE_LENGTH)
    return rows[-max(1, config.importance_tokens // IMPORTANCE_LENGTH) :]


def _real_lines(config: ProofConfig) -> list[str]:
    enough = max(config.num_lines, config.num_positions)
    found = list(islice(_lines(config), enough))
    if not found:
        raise InputError("no text for the parity proof", where="--text")
    return found


def _lines(config: ProofConfig) -> Iterator[str]:
    texts = read_measured_texts(config.text or bundled_prose(), config.text_field)
    return (line for text in texts for line in text.split("\n") if line)


def prove_ids(
    tokenizer: Tokenizer, engine: Engine, lines: list[str], config: ProofConfig
) -> Figures:
    """Ids of every string in both runtimes, and the way back.

    Raises:
        ParityError: the first string that differs.
    """
    strings = lines + fuzz_strings(config.num_fuzz, config.seed)
    with Steps("parity: ids", total=len(strings), unit="strings") as steps:
        for start in range(0, len(strings), 500):
            batch = strings[start : start + 500]
            for text, theirs in zip(batch, engine.tokenize(batch), strict=True):
                ours = tokenizer.encode(text)
                if ours != theirs:
                    runtime = RUNTIMES[engine.spec.kind]
                    raise ParityError(
                        f"{runtime} reads {text!r} as {theirs}, the model folder as {ours}"
                    )
                if tokenizer.decode(ours) != tokenizer.normalized(text):
                    raise ParityError(f"{text!r} does not come back from its ids")
            steps.advance(len(batch))
    return {"lines": len(lines), "fuzz_strings": config.num_fuzz, "different": 0, "lossy": 0}


def _compare_scores(
    config: ProofConfig, tokenizer: Tokenizer, engine: Engine, lines: list[str], model: Any
) -> Agreement:
    import torch

    agreement = Agreement(BOUNDS.get(config.type), length=min(engine.context, 256))
    with Steps("parity: log-probabilities", total=config.num_positions, unit="positions") as steps:
        for ids in _rows(config, tokenizer, lines, agreement.length):
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
            ours = torch.log_softmax(logits.float(), -1)
            for source, theirs in zip(ours, engine.score(ids, TOP), strict=False):
                agreement.add(source, theirs)
            steps.advance(len(ids) - 1)
    return agreement


def _compare_loss(
    config: ProofConfig, tokenizer: Tokenizer, engine: Engine, lines: list[str], model: Any
) -> Figures:
    length = min(engine.context, 256)
    positions = config.num_positions
    found = compare_loss(model, engine, tokenizer, lines, num_tokens=positions, length=length)
    return {"loss": found}


def _rows(
    config: ProofConfig, tokenizer: Tokenizer, lines: list[str], length: int
) -> Iterator[list[int]]:
    """Rows of real text with as many positions as are asked for."""
    left = config.num_positions
    for row in _sequences(tokenizer, lines, length):
        ids = row[: left + 1]
        left -= len(ids) - 1
        yield ids
        if left <= 0:
            return


def _sequences(tokenizer: Tokenizer, lines: list[str], length: int) -> list[list[int]]:
    """Real text as rows of at most `length` ids, each begun like a document."""
    start = tokenizer.document_start_id
    text_ids = [row for ids in tokenizer.encode_stream(lines) for row in ids]
    step = length - 1
    rows = [[start, *text_ids[at : at + step]] for at in range(0, len(text_ids), step)]
    return [row for row in rows if len(row) > 1]
