"""Figures of classification are those of scikit-learn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.evaluate import classification_figures

metrics = pytest.importorskip("sklearn.metrics")

LABELS = ["a", "b", "c", "d"]
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(PAIRS)
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    actual, predicted = ([pair[side] for pair in pairs] for side in (0, 1))
    found = classification_figures(actual, predicted, LABELS)
    for average in ("macro", None):
        theirs = metrics.precision_recall_fscore_support(
            actual,
            predicted,
            average=average,
            zero_division=0,
            labels=None if average else range(4),
        )
        for name, value in zip(("precision", "recall", "f1", "texts"), theirs, strict=True):
            if average:
                if name != "texts":
                    assert found[f"{name}_macro"] == pytest.approx(value, abs=1e-4)
            else:
                ours = [found["by_label"][label][name] for label in LABELS]
                assert ours == pytest.approx(list(value), abs=1e-4)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(actual, predicted), abs=1e-4)
    assert (
        found["confusion"] == metrics.confusion_matrix(actual, predicted, labels=range(4)).tolist()
    )
