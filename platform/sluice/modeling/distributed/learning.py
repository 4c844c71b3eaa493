"""Distributed data-parallel learning (DDP): every process has its own rows, all have the same weights.

A step's gradient is the mean over the rows of all processes, each with its weight, as if one process had seen them
together. What is random follows from (seed, step, rank) alone, so a training that goes on from a checkpoint takes the
very steps that an undisturbed one takes. The model is the moving average of the weights, as in
`sluice.modeling.network_fitting`.
"""

import hashlib
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sluice.modeling.distributed.groups import ProcessGroup
from sluice.modeling.distributed.job_settings import Learning, network_settings
from sluice.modeling.network_fitting import batch_rows, mean_loss, summed_loss, weight_tensor
from sluice.modeling.networks import NetworkModel, predict_tensors
from sluice.modeling.parts import Part, Parts, row_losses

_NETWORK, _AVERAGE, _BEST, _OPTIMIZER, _AVERAGED = "network.", "average.", "best.", "optimizer.", "averaged_steps"


@dataclass(frozen=True)
class _Share:
    """One process's rows of a part: the network's inputs, the labels' codes, and what each row counts."""

    inputs: tuple[Tensor, ...]
    labels: Tensor
    weights: Tensor | None

    def weights_of(self, places: Tensor) -> Tensor | None:
        """The weights of some of the rows."""
        return None if self.weights is None else self.weights[places]


class Learner:
    """One process's half of the work, and its copy of the weights."""

    def __init__(self, model: NetworkModel, parts: Parts, learning: Learning, group: ProcessGroup) -> None:
        """Take this process's share of the rows.

        Args:
            model: The network before its first step; the same in every process.
            parts: All rows; only this process's share is turned into tensors.
            learning: Batch, rate, seed.
            group: The processes; its members must call `step` and `losses` in the same order.
        """
        self._group, self._learning, self._model = group, learning, model
        self._set = network_settings(learning, parts.task)
        self._network = model.network.to(group.device).train()  # and stays so: losses are those of the average
        self._train, self._sample, self._validation = (
            self._share(part) for part in (parts.train, parts.sample, parts.validation)
        )
        self._totals = [_total(part) for part in (parts.sample, parts.validation)]
        self.rows = rows = len(parts.train.labels)
        self._sizes = [len(range(rank, rows, group.size)) for rank in range(group.size)]
        self.batch = max(1, (learning.batch_rows or batch_rows(rows)) // group.size)
        self.steps_an_epoch = -(-self._sizes[0] // self.batch)
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=learning.learning_rate, weight_decay=self._set.weight_decay, fused=True
        )
        self._average = AveragedModel(self._network, multi_avg_fn=get_ema_multi_avg_fn(self._set.weight_averaging))
        self._best: dict[str, Tensor] = {}
        self._order = torch.empty(0, dtype=torch.int64)
        self._parallel = _in_parallel(self._network) if group.size > 1 else self._network

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings it learns with, as JSON values."""
        rates = {**self._set.model_dump(), "learning_rate": self._learning.learning_rate}
        rows = {"batch_rows": self.batch * self._group.size, "processes": self._group.size}
        return {"optimizer": "AdamW", **rates, **rows, "device": self._group.device.type}

    def step(self, number: int) -> None:
        """Make one optimiser step.

        Args:
            number: How many were made before it; it decides the rows and the dropout.
        """
        epoch, place = divmod(number, self.steps_an_epoch)
        if place == 0 or not len(self._order):
            self._order = self._shuffled(epoch)
        chosen = self._order[place * self.batch : (place + 1) * self.batch]
        self._seed(number)
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._parallel(*(tensor[chosen] for tensor in self._train.inputs))
        # DDP takes the mean of the processes' gradients: that over all rows where each has as many of them, and else
        # where each one's sum is weighted so.
        rows = self._rows_of_step(place)
        labels, weights = self._train.labels[chosen], self._train.weights_of(chosen)
        if len(chosen) * self._group.size == rows:
            mean_loss(logits, labels, weights).backward()
        else:
            (summed_loss(logits, labels, weights) * (self._group.size / rows)).backward()
        self._optimizer.step()
        self._average.update_parameters(self._network)

    def losses(self) -> tuple[float, float]:
        """Log losses of the averaged weights, in nats: on the training sample, and on the validation rows."""
        sums = [_summed_log_loss(self._average.module, share) for share in (self._sample, self._validation)]
        sample, validation = (
            summed / total for summed, total in zip(self._group.total(*sums), self._totals, strict=True)
        )
        return sample, validation

    def keep(self) -> None:
        """Remember the averaged weights as the best."""
        self._best = {name: value.detach().clone() for name, value in self._average.module.state_dict().items()}

    def model(self) -> NetworkModel:
        """The best weights, on the CPU. The learner cannot go on after that."""
        self._network.load_state_dict(self._best)
        self._network.to("cpu")
        return self._model

    def state(self) -> dict[str, Tensor]:
        """Everything that decides the next step, as tensors by name."""
        found = {_AVERAGED: self._average.n_averaged}
        parts = {_NETWORK: self._network.state_dict(), _AVERAGE: self._average.module.state_dict(), _BEST: self._best}
        for prefix, tensors in parts.items():
            found |= {prefix + name: value for name, value in tensors.items()}
        for place, entries in self._optimizer.state_dict()["state"].items():
            found |= {f"{_OPTIMIZER}{place}.{name}": value for name, value in entries.items()}
        return found

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` gave.

        Raises:
            RuntimeError: The tensors are those of another network.
        """
        self._network.load_state_dict(_under(state, _NETWORK))
        self._average.module.load_state_dict(_under(state, _AVERAGE))
        self._average.n_averaged.copy_(state[_AVERAGED])
        self._best = {name: value.to(self._group.device) for name, value in _under(state, _BEST).items()}
        entries: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(state, _OPTIMIZER).items():
            place, _, entry = name.partition(".")
            entries.setdefault(int(place), {})[entry] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": entries, "param_groups": groups})

    def _share(self, part: Part) -> "_Share":
        """This process's rows of a part; their weights stay as they are in the whole part, where their mean is 1."""
        mine, device = self._group.shard(len(part.labels)), self._group.device
        inputs = tuple(tensor.to(device) for tensor in self._model.tensors(part.rows.iloc[mine]))
        labels = torch.from_numpy(np.ascontiguousarray(part.labels[mine])).to(device)
        return _Share(inputs, labels, weight_tensor(None if part.weights is None else part.weights[mine], device))

    def _rows_of_step(self, place: int) -> int:
        """The rows of a step over all processes: the last step of an epoch has fewer."""
        return sum(min(max(size - place * self.batch, 0), self.batch) for size in self._sizes)

    def _shuffled(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(self._number("rows", epoch))
        return torch.randperm(len(self._train.labels), generator=generator).to(self._group.device)

    def _seed(self, step: int) -> None:
        """Seed the generator of the dropout. `torch.manual_seed` would do so for devices that are not there, too."""
        device = self._group.device
        generator = torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator
        generator.manual_seed(self._number("step", step))

    def _number(self, purpose: str, count: int) -> int:
        text = f"{self._learning.seed}/{purpose}/{count}/{self._group.rank}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest())


def _in_parallel(network: nn.Module) -> nn.Module:
    """The network under DDP. Its buffers never change: sending them before each step would be waste."""
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # renamed by 2.15
    return DistributedDataParallel(network, gradient_as_bucket_view=True, **{buffers: False})


def _summed_log_loss(network: nn.Module, share: _Share) -> float:
    """As `parts.log_loss`, summed instead of averaged."""
    losses = row_losses(share.labels.cpu().numpy(), predict_tensors(network, share.inputs))
    weights = 1.0 if share.weights is None else share.weights.double().cpu().numpy()
    return float((losses * weights).sum())


def _total(part: Part) -> float:
    """What the rows of a part count together, over all processes."""
    return float(len(part.labels) if part.weights is None else part.weights.sum())


def _under(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
