"""A classifier folder in use: texts to probabilities of labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dilmac.core import InputError, read_json
from dilmac.models import load_classifier
from dilmac.tokenizer import Tokenizer

Probabilities = NDArray[np.float32]


def limit_of(folder: Path, model_config: Any) -> int:
    """The longest text that a classifier reads [tokens]: its tokenizer's, at most its context."""
    context = int(model_config.max_position_embeddings)
    stated = read_json(folder / "tokenizer_config.json").get("model_max_length", context)
    return min(context, int(stated)) if isinstance(stated, int | float) else context


class Classifier:
    """A folder of `dilmac classify train`, or any other sequence classifier."""

    def __init__(self, folder: Path, device: Any = "cpu"):
        """Load it.

        Raises:
            InputError: the folder holds no classifier, or no tokenizer that fits it.
        """
        self.model: Any = load_classifier(folder).to(device).eval()
        self.tokenizer = Tokenizer(folder)
        self.tokenizer.require_fit(self.model.get_input_embeddings().num_embeddings)
        names = self.model.config.id2label
        self.labels = [str(names[place]) for place in range(len(names))]
        self.max_tokens = limit_of(folder, self.model.config)
        self.pad_id = self.model.config.pad_token_id
        if not isinstance(self.pad_id, int):
            raise InputError("its config names no pad_token_id", where=folder)

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids of texts, cut at `max_tokens`; a control string in a text is text."""
        return [ids[: self.max_tokens] for ids in self.tokenizer.encode_stream(texts)]

    def probabilities(self, texts: Sequence[str], batch_size: int = 16) -> Probabilities:
        """Probabilities `[texts, labels]` of every label.

        Raises:
            InputError: a text is empty or no Unicode.
        """
        rows = self.encode(texts)
        if empty := [place for place, row in enumerate(rows) if not row]:
            raise InputError(f"text {empty[0] + 1} of {len(rows)} is empty")
        return self.of_rows(rows, batch_size)

    def of_rows(self, rows: Sequence[Sequence[int]], batch_size: int = 16) -> Probabilities:
        """The same of ids; texts of like length go together, so that little is padding."""
        import torch

        found = np.zeros((len(rows), len(self.labels)), np.float32)
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            ids, mask = padded([rows[place] for place in places], self.pad_id)
            with torch.inference_mode():
                logits = self.model(
                    input_ids=ids.to(self.model.device), attention_mask=mask.to(self.model.device)
                ).logits
            found[places] = logits.float().softmax(dim=-1).cpu().numpy()
        return found


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Any, Any]:
    """Ids and mask `[rows, length]` of rows that are filled up on the right."""
    import torch

    length = max(map(len, rows))
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), length), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        mask[place, : len(row)] = 1
    return ids, mask
