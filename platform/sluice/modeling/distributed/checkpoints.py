"""Checkpoints: everything that a training needs to go on where it was, in one object of the store.

One object is whole or not there, so no reader sees half a checkpoint, and the newest replaces the one before it. It is
a safetensors file whose header holds the progress as JSON and a digest over all of it; nothing in it can run code. What
is random follows from the seed, the step and the rank (see `learning`), so no generator's state has to be kept.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sluice.core.bounds import MODEL_BYTES
from sluice.core.errors import BadInput
from sluice.modeling.rounds import Point
from sluice.storage.stores import Store

NAME = "checkpoint.safetensors"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        step: Optimiser steps made.
        seconds: Spent on them, over all starts.
        cpu_seconds: What all processes computed until the end of the last epoch, over all starts.
        curve: The epochs so far.
        kept: The number of the best epoch, 0 before the first.
    """

    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    curve: tuple[Point, ...] = ()
    kept: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A training's state: the progress, and tensors by name."""

    progress: Progress
    tensors: dict[str, Tensor]


class Checkpoints:
    """The checkpoint of one job in a store."""

    def __init__(self, store: Store, key: str, job: str) -> None:
        """Nothing is read yet.

        Args:
            store: Where.
            key: The job's place in it.
            job: The digest of what decides the job's numbers.
        """
        self._store, self._key, self._job = store, f"{key}/{NAME}", job

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint; a reader sees the old one or the new one.

        Raises:
            EnvironmentFault: The store failed.
        """
        self._store.put_bytes(self._key, encode(checkpoint, self._job))

    def read(self) -> bytes:
        """The checkpoint as it was written, empty where there is none yet.

        Raises:
            EnvironmentFault: The store failed.
        """
        return self._store.get_bytes(self._key, MODEL_BYTES) if self._store.exists(self._key) else b""

    def decode(self, data: bytes) -> Checkpoint:
        """What `read` gave, checked.

        Raises:
            BadInput: It is damaged, or another job's.
        """
        return decode(data, self._job, f"{self._store.uri}/{self._key}")

    def delete(self) -> None:
        """Remove it, once the result is published."""
        self._store.delete(self._key)


def encode(checkpoint: Checkpoint, job: str) -> bytes:
    """A checkpoint as bytes."""
    progress = json.dumps(asdict(checkpoint.progress), sort_keys=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {"job": job, "progress": progress}
    return bytes(save(tensors, {**header, "sha256": _digest(header, save(tensors))}))


def decode(data: bytes, job: str, where: str) -> Checkpoint:
    """The inverse of `encode`.

    Raises:
        BadInput: It is damaged, or another job's.
    """
    way_out = "delete it to begin the training anew"
    try:
        header, tensors = _header(data), load(data)
        stated = header.pop("sha256")
        if _digest(header, save(tensors)) != stated:
            raise ValueError("its content differs from its SHA-256")
        progress = json.loads(header["progress"])
        points = tuple(Point(**point) for point in progress["curve"])
        found = Checkpoint(Progress(**{**progress, "curve": points}), tensors)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} is no readable checkpoint ({error}); {way_out}") from None
    if header["job"] != job:
        raise BadInput(f"{where} is the checkpoint of another job (other data or settings); {way_out}")
    return found


def _header(data: bytes) -> dict[str, str]:
    """The header's own entries; safetensors reads them only from files, so they are taken from the JSON itself."""
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    body: Mapping[str, Any] = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    return {str(name): str(value) for name, value in body["__metadata__"].items()}


def _digest(header: Mapping[str, str], tensors: bytes) -> str:
    return hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode() + tensors).hexdigest()
