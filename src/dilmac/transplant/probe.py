"""`--init auto`: every method is trained for some dozens of steps, and the best one is taken.

The loss at step 0 does not rank methods, a probe of 50 steps does (Joshi 2026, arXiv:2608.03494).
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dilmac.core import ConfigError, read_events, say
from dilmac.tokenizer import Tokenizer
from dilmac.training import Ranks, train
from dilmac.transplant.config import TransplantConfig
from dilmac.transplant.heal.config import HealConfig
from dilmac.transplant.heal.patient import Patient
from dilmac.transplant.heal.verb import prepare_healing
from dilmac.transplant.measure import Texts, bits_by_kind
from dilmac.transplant.registry import METHODS, Registered, method_named

FLOOR = "random"  # never the best, so never tried
MICRO_BATCH_TOKENS = 8192  # in memory at once
EVAL_BYTES = 100_000  # held-out text that decides
Write = Callable[[Registered, Path], int | None]


@dataclass
class Probed:
    """Held-out bits per byte of each method at step 0 and after the probe, and the best one.

    `bits` are those of the user's texts after the best one's probe.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    bits: dict[str, float] = field(default_factory=dict)

    @property
    def best(self) -> str:
        return min(self.curves, key=lambda name: self.curves[name][-1])


def candidates(config: TransplantConfig) -> list[Registered]:
    """The methods that have what they need."""
    method_named(FLOOR)  # which registers all
    named = [method for method in METHODS.values() if method.name != FLOOR]
    return [m for m in named if all(getattr(config, need) is not None for need in m.needs)]


def probe(config: TransplantConfig, write: Write, folder: Path, texts: Texts) -> Probed:
    """Train a transplant by each method in `folder`, which is removed; what was found.

    `write` makes a model folder by a method and says where its new rows begin.

    Raises:
        ConfigError: the corpus has no held-out text to choose by.
    """
    if config.corpus and not any(config.corpus.glob("heldout-*")):
        raise ConfigError(
            "has no held-out text to choose a method by",
            where=f"--corpus {config.corpus}",
            mend="build it with --holdout-percent above 0",
        )
    found = Probed()
    for method in candidates(config):
        say(f"probe: {method.name}, {config.probe_steps} steps")
        first = write(method, folder / "model")
        bits = _trained(config, first, folder, texts)
        shutil.rmtree(folder)
        gc.collect()  # its model and moments, before there are others
        found.curves[method.name] = bits.curve
        if found.best == method.name:
            found.bits = bits.texts
    say("probe: " + ", ".join(f"{name} {curve[-1]}" for name, curve in found.curves.items()))
    return found


@dataclass(frozen=True)
class _Bits:
    curve: list[float]
    texts: dict[str, float]


def _trained(config: TransplantConfig, first: int | None, folder: Path, texts: Texts) -> _Bits:
    healing = HealConfig(
        model=folder / "model",
        corpus=config.corpus or Path(),  # the config has seen to it that there is one
        out=folder / "run",
        tokens=config.probe_steps * config.probe_batch_tokens,
        batch_tokens=config.probe_batch_tokens,
        micro_batch_tokens=min(config.probe_batch_tokens, MICRO_BATCH_TOKENS),
        patience=None,
        eval_steps=config.probe_steps,
        eval_bytes=EVAL_BYTES,
        checkpoint_steps=config.probe_steps,
        save_precision="fp32",
        seed=config.seed,
    )
    patient = Patient(healing, first)
    healing.out.mkdir(parents=True)
    with Ranks("ddp") as ranks:
        run = prepare_healing(healing, patient, ranks, healing.out, num_steps=config.probe_steps)
        with run.memory_explained():
            train(run)
            model = patient.finish(run.model)
            bits = bits_by_kind(model, Tokenizer(healing.model), texts, "after the probe")
    events = read_events(healing.out / "events.jsonl")
    return _Bits([e["bits_per_byte"] for e in events if e["event"] == "heldout"], bits)
