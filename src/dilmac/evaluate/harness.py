"""lm-eval underneath: its tasks and metrics, asked of our own engines."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dilmac.core import InputError, MissingDependencyError, Steps
from dilmac.evaluate.outcome import Outcome
from dilmac.evaluate.subject import Subject
from dilmac.evaluate.tasks.files import TaskFile
from dilmac.evaluate.tasks.records import Items
from dilmac.evaluate.tasks.scoring import SCORES

try:
    import datasets
    from lm_eval.api.model import LM
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate
except ImportError as error:
    raise MissingDependencyError(
        "needs lm-eval", where="--tasks", mend="pip install 'dilmac[eval]'"
    ) from error


class SubjectLM(LM):  # type: ignore[misc]
    """A subject as lm-eval's model class."""

    def __init__(self, subject: Subject, title: str):
        super().__init__()
        self.subject, self.title = subject, title
        self.screen = sys.stderr

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Log-probabilities of continuations [nats], and whether greedy decoding gives them."""
        found = []
        with self._steps(len(requests)) as steps:
            for likelihood in self.subject.likelihoods([request.args for request in requests]):
                found.append((likelihood.logprob, likelihood.is_greedy))
                steps.advance()
        return found

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        """Not used: bits per byte are measured by the house itself."""
        raise NotImplementedError(f"{len(requests)} rolling requests")

    def generate_until(self, requests: list[Any]) -> list[str]:
        """Greedy continuations."""
        found = []
        with self._steps(len(requests)) as steps:
            for request in requests:
                prompt, settings = request.args
                until, max_tokens = settings["until"], settings["max_gen_toks"]
                found.append(self.subject.complete(prompt, until, max_tokens))
                steps.advance()
        return found

    @contextmanager
    def _steps(self, total: int) -> Iterator[Steps]:
        # lm-eval's own bars are kept off the screen (`run_task`); ours belong there.
        with (
            contextlib.redirect_stderr(self.screen),
            Steps(self.title, total=total, unit="requests") as steps,
        ):
            yield steps


def lm_eval_task(task: TaskFile, items: Items) -> Any:
    """lm-eval's task of a YAML file and its items; any of lm-eval's model classes can be asked.

    Raises:
        InputError: lm-eval makes no task of what the file says.
    """
    splits = {"test": items.asked, "fewshot": items.examples or items.asked[:1]}
    config = {
        **task.lm_eval,
        "custom_dataset": lambda **_: {
            name: datasets.Dataset.from_list(documents) for name, documents in splits.items()
        },
    }
    if task.kind in SCORES:
        config["process_results"] = SCORES[task.kind]
    config.setdefault("num_fewshot", len(items.examples))
    with _quiet():
        try:
            return ConfigurableTask(config=config)
        except Exception as error:  # of many kinds: jinja2's, datasets', Python's own
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise InputError(
                f"lm_eval: lm-eval makes no task of it ({said})",
                where=f"--tasks {task.name}",
                mend="see docs/evaluate.md for an example",
            ) from error


def run_task(task: TaskFile, items: Items, subject: Subject) -> Outcome:
    """Ask every item of a task, and score what comes back."""
    subject.num_truncated = 0
    made = lm_eval_task(task, items)
    model = SubjectLM(subject, f"{task.name}, {subject.name}")
    with _quiet(), contextlib.redirect_stderr(io.StringIO()):
        results = evaluate(
            lm=model, task_dict={"tasks": {task.name: made}, "groups": {}}, bootstrap_iters=0
        )
    samples = sorted(results["samples"][task.name], key=lambda sample: sample["doc_id"])
    return Outcome(
        values={name: [float(sample[name]) for sample in samples] for name in task.metrics},
        weights=[1.0] * len(samples),
        groups=[document["group"] for document in items.asked],
        chance=_chance(items),
        num_truncated=subject.num_truncated,
        items=[
            _item(document, sample, task)
            for document, sample in zip(items.asked, samples, strict=True)
        ],
    )


def _chance(items: Items) -> list[float] | None:
    """What guessing gets of each item; None where nothing is chosen."""
    if "choices" not in items.asked[0]:
        return None
    return [1 / len(document["choices"]) for document in items.asked]


def _item(document: dict[str, Any], sample: dict[str, Any], task: TaskFile) -> dict[str, Any]:
    scores = {name: sample[name] for name in task.metrics}
    if not task.needs_scores:
        said = sample["filtered_resps"][0]
        return {"id": document["id"], **scores, "said": said, "answers": document["answers"]}
    logprobs = [round(float(logprob), 4) for logprob, _ in sample["filtered_resps"]]
    return {"id": document["id"], **scores, "label": document["label"], "logprobs": logprobs}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without lm-eval's warnings, which are about its own defaults."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
