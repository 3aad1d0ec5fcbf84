"""What dilmac-mini does at every task, beside chance: no claim against a peer, a state of things.

    python benchmarks/evaluate_mini.py --task-data DIR --text FILE [FILE …] --limit 100

`--task-data` as in docs/evaluate.md: XCOPA, ARC and TruthfulQA in Turkish, TQuAD; `--text` are
files of no training. `--model` measures another model. `--html` writes the page too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dilmac.evaluate import EvaluateConfig, evaluate
from dilmac.evaluate.table import reading
from dilmac.models import DEFAULT_MODEL
from support.measuring import heading
from support.tables import print_json, print_table

HEADS = ("task", "items", "metric", "value", "95 % interval", "chance", "reading")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path(DEFAULT_MODEL))
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--task-data", type=Path)
    parser.add_argument("--text", nargs="*", default=())
    parser.add_argument("--text-field", default="text")
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--html", type=Path)
    chosen = parser.parse_args()
    config = EvaluateConfig(
        model=chosen.model,
        tasks=(chosen.tasks,),
        task_data=chosen.task_data,
        text=tuple(chosen.text),
        text_field=chosen.text_field,
        limit=chosen.limit,
        seed=chosen.seed,
        html=chosen.html,
    )
    figures = evaluate(config)
    print(heading("python benchmarks/evaluate_mini.py --task-data DIR --text FILE …"))
    print_table(
        HEADS,
        [
            [
                name,
                task["num_items"],
                metric,
                value["value"],
                f"{value['low']:.3f} … {value['high']:.3f}",
                value.get("chance", ""),
                reading(value),
            ]
            for name, task in figures["tasks"].items()
            for metric, value in task["metrics"].items()
        ],
    )
    print_json(figures)


if __name__ == "__main__":
    main()
