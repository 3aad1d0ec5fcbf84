"""Which arithmetic this machine should train in."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypeVar

import torch

from dilmac.core import ConfigError, say
from dilmac.models import multiplies_bf16

if TYPE_CHECKING:
    from transformers import TrainingArguments

Arguments = TypeVar("Arguments", bound="TrainingArguments")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def training_device(local_rank: int = 0) -> torch.device:
    """This process's GPU, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def on_one_device(arguments: Arguments) -> Arguments:
    """Trainer's arguments without `nn.DataParallel`, which it takes wherever it sees several GPUs:
    it would multiply --batch-size by their number. Several are used through torchrun.
    """
    arguments._n_gpu = min(1, arguments.n_gpu)  # transformers gives no other way
    return arguments


def resolve_precision(asked: str, device: torch.device) -> str:
    """`bf16`, `fp16` or `fp32`.

    bf16 is chosen where the hardware multiplies in it (AVX512-bf16 or AMX: 2.6 times fp32 on the
    `quick` preset here); elsewhere it is emulated and slower. GPUs without it (V100, T4) take
    fp16 with loss scaling.

    Raises:
        ConfigError: fp16 anywhere but on a GPU; a CPU makes 1-3 GFLOP/s in it.
    """
    if asked == "fp16" and device.type != "cuda":
        raise ConfigError(
            f"fp16 is for GPUs, this is {device.type}",
            where="--precision",
            mend="take bf16, fp32 or auto",
        )
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and multiplies_bf16(device) else "fp32"


# Compiling takes one to one and a half minutes where torch has not kept it from an earlier run, and
# pays with a fifth to two fifths of the time after it: from this many operations on a CPU (about
# eight minutes here) it is worth it.
WORTH_COMPILING_FLOPS = 1e14


# torch's code generators: Triton on GPUs, which builds its launchers in C, and C++ on CPUs.
COMPILERS = {"cuda": ("cc", "gcc", "clang"), "other": ("c++", "g++", "clang++")}
LEAST_CAPABILITY = (7, 0)  # Triton's [CUDA compute capability]


def require_compiling(asked: str, device: torch.device) -> None:
    """Refuse to compile where that cannot be done.

    Raises:
        ConfigError: it is asked for (`on`), and there is no compiler, or the GPU is too old.
    """
    if asked == "on" and (obstacle := _obstacle(device)):
        raise ConfigError(f"torch.compile needs {obstacle[0]}", where="--compile", mend=obstacle[1])


def resolve_compile(asked: str, device: torch.device, flops: float) -> bool:
    """Whether to use `torch.compile` for a run of that many floating-point operations.

    On a GPU that it could be used on, a line says why it is not.

    Raises:
        ConfigError: see `require_compiling`.
    """
    require_compiling(asked, device)
    if asked != "auto":
        return asked == "on"
    obstacle = _obstacle(device)
    if device.type == "cuda":
        if obstacle:
            say(f"not compiled, which is slower: torch.compile needs {obstacle[0]}")
        return obstacle is None
    return device.type == "cpu" and obstacle is None and flops > WORTH_COMPILING_FLOPS


def _obstacle(device: torch.device) -> tuple[str, str] | None:
    """What compiling lacks on this device, and the mend."""
    on_gpu = device.type == "cuda"
    if on_gpu and (found := torch.cuda.get_device_capability(device)) < LEAST_CAPABILITY:
        least, has = (".".join(map(str, pair)) for pair in (LEAST_CAPABILITY, found))
        wanted = f"a GPU of compute capability {least}, this one has {has}"
        return wanted, "leave it at auto, or use a newer GPU"
    if not any(map(shutil.which, COMPILERS["cuda" if on_gpu else "other"])):
        language, package = ("C", "gcc") if on_gpu else ("C++", "g++")
        wanted = f"a {language} compiler, none was found"
        return wanted, f"install {package}, or leave it at auto"
    return None


class LossScale:
    """Keeps fp16 gradients out of underflow: halves at an overflow, doubles after a quiet while.

    As `torch.amp.GradScaler` does (Micikevicius et al. 2018), but with a state that JSON holds, so
    that a run resumes exactly, and for several optimizers at once.
    """

    def __init__(self, value: float = 2.0**16, growth_steps: int = 2000):
        self.value, self.growth_steps = value, growth_steps
        self._quiet_steps = 0

    def update(self, *, overflowed: bool) -> None:
        """Take note of a step."""
        self._quiet_steps = 0 if overflowed else self._quiet_steps + 1
        if overflowed:
            self.value = max(1.0, self.value / 2)
        elif self._quiet_steps == self.growth_steps:
            self.value *= 2
            self._quiet_steps = 0

    def state(self) -> dict[str, float]:
        """All that the next decision depends on."""
        return {"value": self.value, "quiet_steps": self._quiet_steps}

    def load(self, state: dict[str, float]) -> None:
        """Go on from a `state()`."""
        self.value, self._quiet_steps = state["value"], int(state["quiet_steps"])
