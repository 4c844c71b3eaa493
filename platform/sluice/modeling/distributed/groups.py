"""The processes that train together: who they are, and their one conversation, `torch.distributed`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from sluice.core.errors import EnvironmentFault
from sluice.core.settings import settings
from sluice.core.variable_groups.training import TrainingVariables
from sluice.modeling.network_fitting import choose_device

_PATIENCE = timedelta(seconds=300)
"""A peer that says nothing for so long is lost; the store's own retries, which hold up rank 0, take less."""
_SIGNS = ("gloo", "nccl", "connection", "peer", "socket", "store", "timed out", "timeout")


class PeerLost(EnvironmentFault):
    """Another process went away; it says itself why."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together.

    Attributes:
        rank: This one's number, from 0.
        size: How many there are.
        device: Where this one computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which alone writes and talks."""
        return self.rank == 0

    def shard(self, rows: int) -> slice:
        """This process's share of so many rows: every `size`-th, so that a table in time order is spread evenly."""
        return slice(self.rank, rows, self.size)

    def total(self, *values: float) -> list[float]:
        """Sums over all processes; the same numbers come back in each."""
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def share(self, data: bytes) -> bytes:
        """Rank 0's bytes, in every process."""
        if self.size == 1:
            return data
        length = torch.tensor([len(data)], dtype=torch.int64, device=self.device)
        dist.broadcast(length, src=0)
        content = torch.zeros(int(length), dtype=torch.uint8)
        if self.first and data:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        shared: Tensor = content.to(self.device)
        dist.broadcast(shared, src=0)
        return bytes(shared.cpu().numpy().tobytes())


@contextmanager
def joined() -> Iterator[ProcessGroup]:
    """Join the group that torchrun's variables describe, for the time of the `with` block.

    Raises:
        PeerLost: The others cannot be reached, or were lost on the way.
        BadInput: CUDA is wanted and not there, or SLUICE_DEVICE is none.
    """
    given = settings().training
    rank, size = given.rank, given.size
    device = choose_device(given.device)
    if device.type == "cuda":
        device = torch.device("cuda", given.local_rank)
        torch.cuda.set_device(device)
    with peer_faults():
        if size > 1:
            backend = "nccl" if device.type == "cuda" else "gloo"
            dist.init_process_group(backend, store=_store(given), rank=rank, world_size=size, timeout=_PATIENCE)
        try:
            yield ProcessGroup(rank, size, device)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()


def _store(given: TrainingVariables) -> dist.Store:
    """Where the processes find each other.

    torchrun keeps one store over all its starts. Each start has a prefix of its own in it, else a process would find
    the addresses of dead ones there, and wait for them.
    """
    store = dist.TCPStore(
        given.host,
        given.port,
        is_master=given.rank == 0 and given.agent_store != "True",
        timeout=_PATIENCE,
        use_libuv=given.libuv == "1",  # Debian's torch has none
    )
    return dist.PrefixStore(f"start-{given.restarts}", store)


@contextmanager
def peer_faults() -> Iterator[None]:
    """Turn what the transports say when a peer goes into one line; torch tells it from a defect only by its words.

    Raises:
        PeerLost: It did.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, dist.DistError) and not any(sign in text.lower() for sign in _SIGNS):
            raise
        raise PeerLost(f"lost contact with another worker ({text.splitlines()[0][:200]})") from error
