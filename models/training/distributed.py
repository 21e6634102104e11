"""One training on several processes, started by torchrun: ranks, and how a batch is shared.

Gradients are averaged by DistributedDataParallel; batch norms see their own process's share of the
batch, as in the authors' training. Without torchrun there is one process and none of this acts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from models.errors import RecipeError


@dataclass(frozen=True)
class Processes:
    """This process's rank of `count`; the first one, rank 0, writes files and measures."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's rows of a batch that all processes have drawn alike."""
        return batch[self.rank :: self.count]

    def check_batch(self, batch: int) -> None:
        """Raises RecipeError if processes would get unequal shares."""
        if batch % self.count:
            raise RecipeError(
                f"expected a batch that {self.count} processes can share evenly; found {batch}. "
                f"Give a multiple of {self.count}."
            )

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over all processes."""
        if self.count == 1:
            return network
        cuda = next(network.parameters()).is_cuda
        return DistributedDataParallel(network, device_ids=[self.local_rank] if cuda else None)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            distributed.barrier()


def device_of(name: str, processes: Processes) -> torch.device:
    """cpu, or this process's own GPU."""
    return torch.device("cuda", processes.local_rank) if name == "cuda" else torch.device(name)


def prepare(device: torch.device) -> None:
    """On a GPU float32 is float32: accuracy is measured in it, and TF32 has 10 bits of 23.

    The fastest of cuDNN's convolutions are found by trying, once for each shape.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True


@contextmanager
def join_processes(device: str) -> Iterator[Processes]:
    """Joins the group that torchrun's environment describes: NCCL for GPUs, else gloo."""
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield Processes()
        return
    processes = Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if device == "cuda":
        torch.cuda.set_device(processes.local_rank)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
