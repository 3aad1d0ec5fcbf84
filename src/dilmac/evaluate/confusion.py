"""How well labels were found: accuracy, precision, recall, F1, and what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dilmac.core import Figures

DIGITS = 4


def classification_figures(
    actual: Sequence[int], predicted: Sequence[int], labels: Sequence[str]
) -> Figures:
    """Figures of predictions, by label and in the mean.

    `actual` and `predicted` are places in `labels`, one for each text. `confusion[i][j]` counts
    texts of label `i` that were taken for `j`. Macro figures are means over the labels that occur
    on either side, and a quotient without a denominator is 0: both as scikit-learn has it.
    """
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (np.asarray(actual, dtype=np.int64), np.asarray(predicted, np.int64)), 1)
    hits, of_label, taken = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    precision, recall = _share(hits, taken), _share(hits, of_label)
    f1 = _share(2 * hits, of_label + taken)
    occurs = (of_label + taken) > 0
    by_label = {
        label: {
            "precision": _round(precision[place]),
            "recall": _round(recall[place]),
            "f1": _round(f1[place]),
            "texts": int(of_label[place]),
        }
        for place, label in enumerate(labels)
    }
    return {
        "texts": int(counts.sum()),
        "accuracy": _round(hits.sum() / max(1, counts.sum())),
        "precision_macro": _mean(precision[occurs]),
        "recall_macro": _mean(recall[occurs]),
        "f1_macro": _mean(f1[occurs]),
        "by_label": by_label,
        "confusion": counts.tolist(),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is no whole."""
    shares: np.ndarray = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares


def _mean(values: np.ndarray) -> float:
    return _round(values.mean()) if len(values) else 0.0


def _round(value: float) -> float:
    return round(float(value), DIGITS)
