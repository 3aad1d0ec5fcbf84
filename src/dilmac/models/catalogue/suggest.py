"""`dilmac models suggest`: the model that fits, and why the others do not.

The rule, in this order:

1. It fits: weights, KV cache, state and buffers within the memory, in 4 bits at least; the
   conversation within its context. What is superseded is left out.
2. A model made for the task before one that can do it as well.
3. The most parameters. Those within a tenth of the most are taken as equally large; of these a CPU,
   which waits for memory, leaves out what reads more than twice the weights a token. Of what is
   left the newest, then the largest, then the one of the longest context.
4. The finest format of that model that fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from dilmac.core import ConfigError, Figures
from dilmac.models.catalogue.config import SuggestConfig
from dilmac.models.catalogue.entries import Entry, catalogue
from dilmac.models.catalogue.find import known_key
from dilmac.models.catalogue.sizes import gib, parse_bytes, parse_context
from dilmac.models.running import (
    BUFFER_BYTES,
    Format,
    Running,
    active_bytes,
    running_bytes,
)

# From fine to coarse. A CPU multiplies bf16; fp16 is slow there, so it is never advised.
FINEST_FIRST: tuple[Format, ...] = ("bf16", "q8_0", "q5_k_m", "q4_k_m")
COARSEST: Format = "q4_k_m"
SAME_SIZE = 0.9  # 30.5B beside 32.8B is no smaller model
FAST = 2.0  # experts read a tenth of the weights; dense models of one size all read as many
# Two channels of DDR4-3200: 2 × 8 bytes × 3,200 million a second.
CPU_BYTES_PER_SECOND = 51.2e9


@dataclass(frozen=True)
class Candidate:
    """A model in the finest format that fits."""

    entry: Entry
    weights: Format
    running: Running


def suggest_model(config: SuggestConfig) -> Figures:
    """The model to take, what else fits, what does not, and why.

    Raises:
        ConfigError: nothing fits, or a setting is none; the mend says what would fit.
    """
    memory, context = parse_bytes(config.memory), parse_context(config.context)
    license = config.license and known_key(config.license, catalogue().licenses, "--license")
    fits: list[Candidate] = []
    left_out: Figures = {}
    for entry in catalogue().models.values():
        if config.task not in entry.tasks or entry.is_history:
            continue
        found = _judge(entry, memory, context, license, config)
        if isinstance(found, Candidate):
            fits.append(found)
        else:
            left_out[entry.name] = found
    if not fits:
        raise _nothing_fits(config, context, left_out)
    chosen = choose(fits, config)
    asked = config.model_dump(include={"task", "device", "slots", "kv_type"})
    return {
        **asked,
        "memory_bytes": memory,
        "context": context,
        "choice": _figures(chosen, config) | {"why": _why(chosen, fits, memory, context, config)},
        "fits": {one.entry.name: _figures(one, config) for one in fits},
        "does_not_fit": left_out,
    }


def choose(fits: list[Candidate], config: SuggestConfig) -> Candidate:
    """Rules 2 and 3 (see the top of this file)."""
    made_for_it = [one for one in fits if one.entry.tasks[0] == config.task] or fits
    most = max(one.entry.size or 0 for one in made_for_it)
    alike = [one for one in made_for_it if (one.entry.size or 0) >= SAME_SIZE * most]
    if config.device == "cpu":
        fewest = min(_reads(one) for one in alike)
        alike = [one for one in alike if _reads(one) <= FAST * fewest]
    return max(
        alike,
        key=lambda one: (one.entry.generation, one.entry.size or 0, one.entry.context or 0),
    )


def _reads(one: Candidate) -> int:
    """Weights of one token; all of them where it is not known."""
    return one.entry.active_size or one.entry.size or 0


def _judge(
    entry: Entry, memory: int, context: int, license: str | None, config: SuggestConfig
) -> Candidate | Figures:
    """The model in the finest format that fits, or why it does not."""
    if license is not None and entry.license != license:
        return {"why": f"its license is {entry.license}"}
    longest = entry.longest_context or entry.context
    if longest is not None and context > longest:
        return {"why": f"its context is {longest:,} tokens"}
    least = _running(entry, COARSEST, context, config)
    if least is None:
        return {"why": f"cannot be judged: {_unknown(entry)} unknown"}
    if least.total > memory:
        return {
            "why": f"needs {gib(least.total)} even in {COARSEST}: weights {gib(least.weights)}, "
            f"KV cache {gib(least.kv_cache)}, the rest {gib(least.buffers + least.state)}",
            "least_bytes": least.total,
        }
    for weights in FINEST_FIRST:
        running = _running(entry, weights, context, config)
        if running is not None and running.total <= memory:
            return Candidate(entry, weights, running)
    raise AssertionError("the coarsest format fits, and is among them")


def _running(entry: Entry, weights: Format, context: int, config: SuggestConfig) -> Running | None:
    return running_bytes(entry, weights, context, slots=config.slots, kv_type=config.kv_type)


def _unknown(entry: Entry) -> str:
    missing = [
        name
        for name, value in (
            ("parameters", entry.size),
            ("layers", entry.layers),
            ("KV heads", entry.kv_heads),
            ("width of a head", entry.head_dim),
        )
        if value is None
    ]
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'}"


def _figures(one: Candidate, config: SuggestConfig) -> Figures:
    return {
        "model": one.entry.name,
        "format": one.weights,
        "hub": one.entry.hub,
        "license": one.entry.license,
        "made_for_it": one.entry.tasks[0] == config.task,
        "parameters": one.entry.size,
        "read_per_token_bytes": active_bytes(one.entry, one.weights),
        **one.running.parts(),
    }


def _why(
    chosen: Candidate, fits: list[Candidate], memory: int, context: int, config: SuggestConfig
) -> list[str]:
    entry, running = chosen.entry, chosen.running
    license = catalogue().licenses[entry.license]
    lines = [
        f"{gib(running.total)} of {gib(memory)}: weights {gib(running.weights)} "
        f"({chosen.weights}), KV cache {gib(running.kv_cache)} ({context:,} tokens × "
        f"{config.slots}), buffers {gib(running.buffers)} (a tenth and {gib(BUFFER_BYTES)})",
        _size_reason(chosen, fits, config),
        _format_reason(chosen, context, config),
        f"license: {license.title}: {license.terms}",
    ]
    if "license" in entry.unconfirmed:
        lines.append("the license is what a secondary source says: read the model's page")
    if running.kv_cache > running.weights:
        lines.append(
            f"the KV cache is {running.kv_cache / running.weights:.1f} times the weights: "
            "--kv-type q8_0, a shorter --context, or a model with fewer KV heads"
        )
    if entry.context is not None and context > entry.context:
        lines.append(
            f"trained with {entry.context:,} tokens: beyond that YaRN, "
            f"`dilmac models rescale --context {context}`"
        )
    if config.device == "cpu" and (read := active_bytes(entry, chosen.weights)):
        lines.append(
            f"a token reads {gib(read)} of weights: two channels of DDR4-3200 (51.2 GB/s) cannot "
            f"answer faster than {CPU_BYTES_PER_SECOND / read:,.0f} tokens/s"
        )
    return lines


def _size_reason(chosen: Candidate, fits: list[Candidate], config: SuggestConfig) -> str:
    entry = chosen.entry
    made = [one for one in fits if one.entry.tasks[0] == config.task]
    if not made:
        return f"no model made for {config.task} fits; this one can do it as well"
    reason = f"{len(made)} of {len(fits)} models that fit were made for {config.task}"
    largest = max(made, key=lambda one: one.entry.size or 0)
    if largest.entry.name == entry.name:
        return f"{reason}; this one has the most parameters"
    if config.device == "cpu" and _reads(largest) > FAST * _reads(chosen):
        what = "reads fewer weights a token"
    elif entry.generation > largest.entry.generation:
        what = "is newer"
    else:
        what = "has the longer context"
    return f"{reason}; {largest.entry.name} is about as large, and this one {what}"


def _format_reason(chosen: Candidate, context: int, config: SuggestConfig) -> str:
    place = FINEST_FIRST.index(chosen.weights)
    if place == 0:
        return "bf16 is how it was published: nothing is lost by quantization"
    finer = _running(chosen.entry, FINEST_FIRST[place - 1], context, config)
    needed = gib(finer.total) if finer else "more"
    return (
        f"{chosen.weights} is the finest format that fits: {FINEST_FIRST[place - 1]} needs {needed}"
    )


def _nothing_fits(config: SuggestConfig, context: int, left_out: Figures) -> ConfigError:
    needs = {name: why["least_bytes"] for name, why in left_out.items() if "least_bytes" in why}
    where = "--memory" if needs else f"--task {config.task}"
    found = f"no model for {config.task} fits in {config.memory} with {context:,} tokens"
    if not needs:
        reasons = [f"{name}: {why['why']}" for name, why in left_out.items()]
        mend = "; ".join(reasons[:3]) or "no model of the catalogue is for that"
        return ConfigError(found, where=where, mend=mend)
    least = min(needs, key=lambda name: int(needs[name]))
    mend = f"{least} needs {gib(needs[least])}; a shorter --context or --kv-type q8_0 needs less"
    return ConfigError(found, where=where, mend=mend)
