"""What a model did on a task, item by item, and the figures of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dilmac.core import Figures
from dilmac.evaluate.bootstrap import bootstrap_interval, ratio

# Higher is better, but for these.
LOWER_IS_BETTER = frozenset({"loop_rate", "bits_per_byte"})


@dataclass
class Outcome:
    """One model's results on one task: a value of each metric for every item.

    `weights` are 1 where a metric is a mean over items, bytes where it is a rate per byte. `chance`
    is what guessing gets of each item. `items` go into the record: ids, scores, what was said.
    """

    values: dict[str, list[float]]
    weights: list[float]
    groups: list[str]
    chance: list[float] | None = None
    num_truncated: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def figures(self, seed: int) -> Figures:
        """The task's figures: each metric with its interval, beside chance where there is one."""
        metrics = {name: self._metric(name, seed) for name in self.values}
        found: Figures = {"num_items": len(self.weights), "metrics": metrics}
        if self.num_truncated:
            found["num_truncated"] = self.num_truncated
        if len(set(self.groups)) > 1:
            found["groups"] = self._groups()
        return found

    def _metric(self, name: str, seed: int) -> Figures:
        values = self.values[name]
        low, high = bootstrap_interval(values, self.weights, seed=seed)
        found: Figures = {
            "value": round(ratio(values, self.weights), 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
        if self.chance is not None:
            guessed = ratio(self.chance, self.weights)
            found["chance"] = round(guessed, 4)
            found["chance_adjusted"] = round(
                (ratio(values, self.weights) - guessed) / (1 - guessed), 4
            )
            found["is_above_chance"] = low > guessed
        return found

    def _groups(self) -> Figures:
        places: dict[str, list[int]] = {}
        for place, group in enumerate(self.groups):
            places.setdefault(group, []).append(place)
        return {
            group: {
                "num_items": len(rows),
                **{
                    name: round(
                        ratio([values[r] for r in rows], [self.weights[r] for r in rows]), 4
                    )
                    for name, values in self.values.items()
                },
            }
            for group, rows in sorted(places.items())
        }


def differences(ours: Outcome, theirs: Outcome, seed: int) -> Figures:
    """By metric: the other model's value, ours minus theirs with its paired interval, and on how
    many items either is better."""
    found: Figures = {}
    for name, values in ours.values.items():
        others = theirs.values[name]
        apart = [mine - other for mine, other in zip(values, others, strict=True)]
        low, high = bootstrap_interval(apart, ours.weights, seed=seed)
        sign = -1 if name in LOWER_IS_BETTER else 1
        found[name] = {
            "other": round(ratio(others, theirs.weights), 4),
            "difference": round(ratio(apart, ours.weights), 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "num_better": sum(sign * one > 0 for one in apart),
            "num_worse": sum(sign * one < 0 for one in apart),
        }
    return found
