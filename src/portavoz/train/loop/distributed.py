"""Data-parallel training: each process computes its part of every batch, and the gradients are summed.

Started by ``torchrun --nproc-per-node 2 -m portavoz train …``. A piece's share of a batch's losses is already divided
by the whole batch, so the sum over processes is the gradient of one process with the whole batch. The first process
alone writes.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

from ...errors import SpecError


class ProcessGroup:
    """The rank of this process and the number of processes. With one process every method is a no-op."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(distributed.destroy_process_group)

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first process runs the block alone, the others afterwards."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def shard(self, rows: Sequence[Any]) -> Sequence[Any]:
        """This process' part of a batch. Raises SpecError for a batch of fewer rows than processes."""
        if len(rows) < self.size:
            raise SpecError(f"a batch of {len(rows)} for {self.size} processes: set batch to {self.size} at least")
        return rows[self.rank :: self.size]

    def sum_gradients(self, tensors: Iterable[Tensor], losses: dict[str, float]) -> dict[str, float]:
        """Sum the gradients of all processes in one all-reduce; gives the sums of the losses."""
        if self.size == 1:
            return losses
        with_gradient = list(tensors)
        parts = [torch.zeros_like(t) if t.grad is None else t.grad for t in with_gradient]
        numbers = torch.tensor([losses[k] for k in sorted(losses)], dtype=parts[0].dtype, device=parts[0].device)
        flat = torch.cat([*(p.reshape(-1) for p in parts), numbers])
        distributed.all_reduce(flat)
        at = 0
        for t, part in zip(with_gradient, parts):
            t.grad = flat[at : at + part.numel()].view_as(part)
            at += part.numel()
        return dict(zip(sorted(losses), flat[at:].tolist()))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.size == 1:
            return flag
        found = torch.tensor([float(flag)], device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return bool(found.item())

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            distributed.barrier()
