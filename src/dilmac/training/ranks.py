"""The processes of one run: one alone, or those that `torchrun` started (DDP, FSDP2)."""

from __future__ import annotations

import itertools
import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from dilmac.core import ConfigError, DilmacError, console
from dilmac.training.choices import Parallel
from dilmac.training.loss import TrainedModel
from dilmac.training.precision import training_device

_RUNS = itertools.count()
WAIT = timedelta(days=1)  # for the main process, which may have a large corpus to encode


class Ranks:
    """This process's place among those of the run; a context that joins and leaves them.

    `torchrun` names the place in the environment; without it there is one process.
    """

    def __init__(self, parallel: Parallel):
        self.parallel = parallel
        self.rank = int(os.environ.get("RANK", "0"))
        self.num_ranks = int(os.environ.get("WORLD_SIZE", "1"))
        self.num_local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self.device = training_device(int(os.environ.get("LOCAL_RANK", "0")))

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    @property
    def is_sharded(self) -> bool:
        """Whether no process holds the whole model."""
        return self.num_ranks > 1 and self.parallel == "fsdp"

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.num_ranks > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            store, rank, num_ranks = next(rendezvous("env://"))
            # torchrun's store outlives a run: a second one in this process needs names of its own.
            self._store = dist.PrefixStore(f"dilmac-{next(_RUNS)}", store)
            dist.init_process_group(backend, store=self._store, rank=rank, world_size=num_ranks)
            self._talk = dist.new_group(backend="gloo", timeout=WAIT)
            console.quiet = not self.is_main
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.num_ranks == 1:
            return
        if error is None:
            dist.barrier(group=self._talk)
            dist.destroy_process_group()
            return
        # The others wait in a collective, where torchrun ends them or they lose this process; or
        # they found the same. The first one tells what it is.
        try:
            is_first = self._store.add("errors", 1) == 1
        except dist.DistError:  # the process that held the store is gone
            is_first = False
        console.quiet = not is_first
        if not is_first and isinstance(error, Exception):
            raise DilmacError("another process of this run failed") from error

    def require_rows(self, batch_size: int) -> None:
        """Refuse a batch that cannot be dealt evenly.

        Raises:
            ConfigError: the windows of a step are no multiple of the processes.
        """
        if batch_size % self.num_ranks:
            raise ConfigError(
                f"{batch_size} windows in a step cannot be dealt evenly to {self.num_ranks} "
                "processes",
                where="--batch-tokens",
                mend="give a multiple of --context times the number of processes",
            )

    def wrap(self, trained: TrainedModel) -> nn.Module:
        """The model as this run trains it, on its device: as it is, replicated (DDP) or sharded.

        FSDP2 moves and shards one layer after the other, so a device never holds the whole.
        """
        if not self.is_sharded:
            trained.to(self.device)
            return trained if self.num_ranks == 1 else DistributedDataParallel(trained)
        mesh = init_device_mesh(self.device.type, (self.num_ranks,))
        for part in (*cast("Any", trained.model.get_decoder()).layers, trained):
            fully_shard(part, mesh=mesh)
            if self.device.type != "cuda":
                # Asked for a mean, gloo's reduce-scatter gives the sum (pytorch's issue 162338).
                part.set_force_sum_reduction_for_comms(True)
        return trained

    def without_sync(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
        """Where gradients only accumulate; they are averaged over the processes at the last."""
        if self.num_ranks == 1:
            return nullcontext()
        if self.is_sharded:
            cast("Any", wrapped).set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else cast("DistributedDataParallel", wrapped).no_sync()

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over all processes, in place."""
        if self.num_ranks > 1:
            dist.all_reduce(values)
        return values

    def share(self, value: Any) -> Any:
        """The main process's value, in every process."""
        if self.num_ranks == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self._talk)
        return values[0]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of all processes together, on the CPU; every process must ask."""
    if isinstance(tensor, DTensor):
        tensor = tensor.full_tensor()
    return tensor.detach().cpu().contiguous()


def join(tensor: torch.Tensor) -> None:
    """Take part where another process asks for a `whole` tensor; nothing is kept."""
    if isinstance(tensor, DTensor):
        tensor.full_tensor()


def like(tensor: torch.Tensor, example: torch.Tensor) -> torch.Tensor:
    """A whole tensor, placed and sharded as `example` is; scalars stay whole."""
    tensor = tensor.to(example.device)
    if isinstance(example, DTensor) and tensor.shape == example.shape:
        mesh, placements = example.device_mesh, example.placements
        return distribute_tensor(tensor, mesh, placements, src_data_rank=None)  # all have it
    return tensor
