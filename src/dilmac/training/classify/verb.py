"""`dilmac classify train`: labeled texts to a classifier that plain transformers opens."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dilmac.core import Artifact, Build, Figures, building, num_cpus, say
from dilmac.evaluate import Classifier, classification_figures
from dilmac.models import (
    require_bitsandbytes,
    require_model_folder,
    require_plain_weights,
    with_model_folder,
    write_model_card,
)
from dilmac.tokenizer import Tokenizer
from dilmac.training.allocator import keep_freed_memory
from dilmac.training.classify.config import ClassifyConfig
from dilmac.training.classify.data import (
    Parts,
    Row,
    encode_labeled,
    labels_of,
    num_also_learned,
    read_parts,
)
from dilmac.training.classify.model import (
    base_classifier,
    max_tokens_of,
    pad_token_of,
    prepared,
)
from dilmac.training.classify.report import write_classify_report
from dilmac.training.classify.save import save_classifier
from dilmac.training.classify.trainer import make_trainer
from dilmac.training.data.read import data_sources
from dilmac.training.data.records import data_files
from dilmac.training.precision import resolve_precision, training_device
from dilmac.training.tune.watch import newest_checkpoint

PROBE_TEXTS = 8


def classify_train(config: ClassifyConfig, *, force: bool = False) -> Artifact:
    """Train a classifier; with an adapter the folder is the merged model, and it in `adapter/`.

    An interrupted run goes on at its last checkpoint when the same command is given again.

    Raises:
        InputError: model or data cannot be read, or do not fit together.
        MissingDependencyError: `--method qlora` without bitsandbytes.
    """
    config = with_model_folder(config)
    require_plain_weights(require_model_folder(config.model), config.model)
    if config.method == "qlora":
        require_bitsandbytes("--method qlora")
    parts = read_parts(config)
    tokenizer = Tokenizer(config.model)
    inputs: dict[str, Any] = {"model": [config.model]}
    for name in ("data", "validation", "test"):
        inputs[name] = data_files(getattr(config, name))
    with building("classifier", config, inputs, force=force, resumable=True) as build:
        if build.done:
            return build.done
        torch.set_num_threads(num_cpus())
        keep_freed_memory()
        figures, timings = _Training(config, parts, tokenizer, build).run()
        write_model_card(
            build, figures, how="classified", base=config.model, sources=data_sources(parts)
        )
        return build.finish(figures, **timings)


class _Training:
    """One run: texts to rows, rows to a trained model, the model to its folder and figures."""

    def __init__(self, config: ClassifyConfig, parts: Parts, tokenizer: Tokenizer, build: Build):
        self.config, self.parts, self.folder = config, parts, build.path
        self.labels = labels_of(parts.train)
        self.pad_token = pad_token_of(config.model, tokenizer)
        self.pad_id = tokenizer.control_id(self.pad_token)
        self.max_tokens = max_tokens_of(config)
        self.precision = resolve_precision(config.precision, training_device())
        base = self._base()
        tokenizer.require_fit(base.get_input_embeddings().num_embeddings)
        encoded = [
            encode_labeled(part, self.labels, tokenizer, self.max_tokens)
            for part in (parts.train, parts.validation, parts.test)
        ]
        self.train, self.validation, self.test = (rows for rows, _ in encoded)
        self.num_cut = sum(num_cut for _, num_cut in encoded)
        self.model = prepared(base, config)

    def _base(self) -> Any:
        return base_classifier(self.config, self.labels, self.pad_id, precision=self.precision)

    def run(self) -> tuple[Figures, Figures]:
        """Figures, which repeat exactly, and timings, which need not."""
        trainable = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        self._say_what_there_is(trainable)
        trainer, peak = make_trainer(
            self.model,
            self.train,
            self.validation,
            labels=self.labels,
            config=self.config,
            folder=self.folder,
            pad_id=self.pad_id,
        )
        checkpoint = newest_checkpoint(self.folder / "checkpoints")
        started = time.monotonic()
        trainer.train(resume_from_checkpoint=checkpoint)
        timings: Figures = {
            "train_seconds": round(time.monotonic() - started, 1),
            "peak_memory_bytes": peak.num_bytes,
        }
        if checkpoint:
            timings["resumed_at_step"] = int(Path(checkpoint).name.split("-")[1])
        # Without the mixed-precision wrapper that the trainer put around `forward`.
        model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
        proof, opened = self._saved(model)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        figures = self._counts() | {
            "steps": trainer.state.global_step,
            "best_step": _best_step(trainer.state),
            "trainable_parameters": trainable,
            **proof,
            "precision": self.precision,
            "validation": self._measured(opened, self.validation),
            "test": self._measured(opened, self.test),
        }
        write_classify_report(self.folder, figures, self.labels)
        return figures, timings

    def _saved(self, model: Any) -> tuple[Figures, Classifier]:
        return save_classifier(
            model,
            self.config,
            self.folder,
            base=self._base,
            pad_token=self.pad_token,
            max_tokens=self.max_tokens,
            probe_rows=[row.input_ids for row in self.train[:PROBE_TEXTS]],
        )

    def _say_what_there_is(self, trainable: int) -> None:
        say(
            f"classify: {len(self.train):,} texts of {len(self.labels)} labels, "
            f"{len(self.validation):,} for validation, {len(self.test):,} for the test; "
            f"{trainable:,} parameters are trained"
        )
        if self.num_cut:
            say(f"classify: {self.num_cut:,} texts are cut at {self.max_tokens} tokens")
        if not self.validation:
            say("classify: no text to validate on, so the last step's weights are kept")

    def _counts(self) -> Figures:
        parts = self.parts
        by_label = Counter(row.label for row in self.train)
        shared = num_also_learned((*parts.validation, *parts.test), parts.train)
        if shared:
            say(f"classify: {shared:,} measured texts are learned, too; their score says nothing")
        return {
            "texts": len(self.train),
            "texts_validation": len(self.validation),
            "texts_test": len(self.test),
            "texts_truncated": self.num_cut,
            "texts_measured_and_learned": shared,
            "max_tokens": self.max_tokens,
            "labels": {label: by_label[place] for place, label in enumerate(self.labels)},
        }

    def _measured(self, classifier: Classifier, rows: Sequence[Row]) -> Figures:
        """Figures of a part by the folder as it was opened again; empty for an empty part."""
        if not rows:
            return {}
        found = classifier.of_rows([row.input_ids for row in rows], self.config.batch_size)
        actual = [row.label for row in rows]
        figures = classification_figures(actual, found.argmax(axis=-1).tolist(), self.labels)
        # What one gets by always saying the label that was learned most often.
        most = Counter(row.label for row in self.train).most_common(1)[0][0]
        figures["accuracy_of_commonest"] = round(actual.count(most) / len(actual), 4)
        return figures


def _best_step(state: Any) -> int:
    """The step whose weights were kept: the best measured, or the last."""
    best = state.best_model_checkpoint
    return int(Path(best).name.split("-")[1]) if best else int(state.global_step)
