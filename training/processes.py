"""The processes of a training: one alone, or those that ``torchrun`` started, which share each batch."""

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """Which process of a training this is, and of how many.

    Attributes:
        device: where this one computes.
        rank: its number, from 0 on.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that validates and writes."""
        return self.rank == 0

    def shared(self, objective: nn.Module, idle: bool) -> nn.Module:
        """The objective with gradients averaged over all processes.

        Args:
            objective: of this process.
            idle: whether a step may leave parameters without gradients.
        """
        if self.count == 1:
            return objective
        return DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=idle)

    def agree(self, decision: bool) -> bool:
        """The first process's decision, in every process. They wait for each other here."""
        if self.count == 1:
            return decision
        shared = torch.tensor(float(decision), device=self.device)
        distributed.broadcast(shared, 0)
        return bool(shared)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def processes(device: str | None = None):
    """The `Processes` of this training, until the block ends.

    Args:
        device: of torch, such as ``"cpu"`` or ``"cuda"``; by default a GPU if there is one.

    Raises:
        ValueError: there is no such device.

    >>> with processes("cpu") as found:
    ...     found.count, found.first
    (1, True)
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind.partition(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"the device is cpu, cuda, or one of several such as cuda:1, not {kind!r}")
    if kind.startswith("cuda"):
        if not torch.cuda.is_available():
            raise ValueError("torch finds no CUDA device here; train with --device cpu")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    if not distributed.is_torchelastic_launched():
        yield Processes(torch.device(kind))
        return
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(kind)
    distributed.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        yield Processes(torch.device(kind), distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
