"""The events of a run as TensorBoard scalars, beside `events.jsonl`, for those who ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dilmac.core import MissingDependencyError

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise MissingDependencyError(
        "needs tensorboard", where="--log-to tensorboard", mend="pip install 'dilmac[tensorboard]'"
    ) from error

TAGS = {
    "loss": "train/loss",
    "bits_per_byte": "train/bits_per_byte",
    "grad_norm": "train/grad_norm",
    "rate": "train/learning_rate",
    "tokens": "train/tokens",
    "tokens_per_second": "speed/tokens_per_second",
    "mfu": "speed/mfu",
    "memory_bytes": "speed/memory_bytes",
}


class TensorBoardLog:
    """Writes into `folder`, which `tensorboard --logdir` opens.

    A resumed run gives the step it goes on at: what stood after it is not shown any more.
    """

    def __init__(self, folder: Path, resumed_at: int = 0):
        self._writer = SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)

    def write(self, event: dict[str, Any]) -> None:
        """Take one event as it stands in `events.jsonl`; kinds without numbers become text."""
        step, when = int(event.get("step", 0)), event.get("time")
        match event["event"]:
            case "step":
                for key, tag in TAGS.items():
                    if event.get(key) is not None:
                        self._writer.add_scalar(tag, event[key], step, walltime=when)
            case "heldout":
                values = {"all": event.get("bits_per_byte"), **(event.get("by_source") or {})}
                for source, bits in values.items():
                    if bits is not None:
                        tag = f"heldout_bits_per_byte/{source}"
                        self._writer.add_scalar(tag, bits, step, walltime=when)
            case "skipped":
                self._writer.add_text("skipped", str(event.get("reason")), step, walltime=when)
            case "warning":
                self._writer.add_text("warning", str(event.get("text")), step, walltime=when)
            case "sample":
                text = str(event.get("text"))
                self._writer.add_text(f"sample/{event.get('prompt')}", text, step, walltime=when)

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()
