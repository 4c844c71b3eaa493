"""Neural networks: AdamW with dropout, an epoch a round.

The model is a moving average of the weights over the last steps (B. T. Polyak and A. B. Juditsky, *Acceleration of
Stochastic Approximation by Averaging*, 1992): the last step's own weights lean to the rows it saw last, and early
stopping would pick the epoch that leans the right way by chance.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sluice.core.environment import set_default
from sluice.core.errors import BadInput
from sluice.core.variable_groups.system import SystemVariables
from sluice.features.encoding import Encoder, Floats, learn_encoder
from sluice.features.pixels import ImageShape
from sluice.modeling.column_inputs import learn_inputs
from sluice.modeling.network_layers import ImageSizes, TableNetwork, TableSizes
from sluice.modeling.networks import (
    LOG,
    LabelScale,
    NetworkModel,
    build_network,
    outputs_for,
    predict_numbers,
    predict_tensors,
)
from sluice.modeling.parts import Parts, quantiles
from sluice.modeling.rounds import MOST_ROUNDS
from sluice.modeling.training_settings import TrainingSettings
from sluice.parameters.candidate_settings import ImageNetworkSettings, TableNetworkSettings
from sluice.problems.losses import ABSOLUTE, GAMMA, POISSON, QUANTILE, SQUARED, Loss

_STEPS_AN_EPOCH = 64
_LEAST_BATCH, _MOST_BATCH = 32, 4096
_BINS, _LONGEST_EMBEDDING = 16, 16
_MOST_CHANNELS, _SMALLEST_SIDE = 256, 8
_TABLE, _IMAGE = TableNetworkSettings(), ImageNetworkSettings()
_SQUARED_ERROR = Loss(SQUARED)
_BY_LOG = (POISSON, GAMMA)


class NetworkFitting:
    """A network on its way."""

    round_limit = MOST_ROUNDS

    def __init__(
        self,
        model: NetworkModel,
        parts: Parts,
        settings: TrainingSettings,
        chosen: TableNetworkSettings | ImageNetworkSettings,
    ) -> None:
        self._set = chosen
        self._device = choose_device(settings.device)
        self._model = model
        self._network = model.network.to(self._device)
        self._train, self._sample, self._validation = (
            tuple(tensor.to(self._device) for tensor in model.tensors(part.rows))
            for part in (parts.train, parts.sample, parts.validation)
        )
        self._loss = settings.loss(parts.task)
        self._labels = label_tensor(parts.train.labels, model.scale).to(self._device)
        self._weights = weight_tensor(parts.train.weights, self._device)
        self._batch = chosen.batch_rows or batch_rows(len(parts.train.labels))
        self._optimizer = torch.optim.AdamW(
            self._network.parameters(), lr=chosen.learning_rate, weight_decay=chosen.weight_decay, fused=True
        )
        self._average = AveragedModel(self._network, multi_avg_fn=get_ema_multi_avg_fn(chosen.weight_averaging))
        self._best: dict[str, Tensor] = {}

    @property
    def parameters(self) -> dict[str, Any]:
        """See `rounds.Fitting`."""
        learned = {"batch_rows": self._batch, "device": self._device.type}
        return {"optimizer": "AdamW", **self._set.model_dump(), **learned, **self._loss.told}

    def advance(self) -> None:
        """See `rounds.Fitting`. The order of rows and the dropout follow from the seed set before the first weight."""
        order = torch.randperm(len(self._labels)).to(self._device)
        self._network.train()
        for places in order.split(self._batch):
            self._optimizer.zero_grad(set_to_none=True)
            logits = self._network(*(part[places] for part in self._train))
            weights = None if self._weights is None else self._weights[places]
            mean_loss(logits, self._labels[places], weights, self._loss).backward()
            self._optimizer.step()
            self._average.update_parameters(self._network)

    def forecasts(self) -> tuple[Floats, Floats]:
        """See `rounds.Fitting`."""
        network, scale = self._average.module, self._model.scale
        if scale is not None:
            return predict_numbers(network, self._sample, scale), predict_numbers(network, self._validation, scale)
        return predict_tensors(network, self._sample), predict_tensors(network, self._validation)

    def keep(self) -> None:
        """See `rounds.Fitting`."""
        self._best = {name: value.detach().clone() for name, value in self._average.module.state_dict().items()}

    def model(self) -> NetworkModel:
        """See `rounds.Fitting`."""
        self._network.load_state_dict(self._best)
        self._network.to("cpu")
        return self._model


def table_network(parts: Parts, settings: TrainingSettings) -> NetworkFitting:
    """The network for a table, on its way."""
    chosen = TableNetworkSettings(**settings.of_candidate)
    return NetworkFitting(table_model(parts, settings.seed, chosen, settings.loss(parts.task)), parts, settings, chosen)


def image_network(parts: Parts, settings: TrainingSettings) -> NetworkFitting:
    """The network for images, on its way."""
    chosen = ImageNetworkSettings(**settings.of_candidate)
    return NetworkFitting(image_model(parts, settings.seed, chosen, settings.loss(parts.task)), parts, settings, chosen)


def table_model(
    parts: Parts, seed: int, chosen: TableNetworkSettings = _TABLE, loss: Loss = _SQUARED_ERROR
) -> NetworkModel:
    """A multilayer perceptron over embedded codes and piecewise-linear numbers, before its first step."""
    encoder = learn_encoder(parts.train.rows, parts.task)
    sizes = TableSizes(
        numeric=len(encoder.numeric),
        bins=_BINS,
        cardinalities=encoder.cardinalities,
        embeddings=tuple(min(_LONGEST_EMBEDDING, math.isqrt(count - 1) + 1) for count in encoder.cardinalities),
        hidden=tuple(chosen.hidden),
        classes=outputs_for(parts.task),
        dropout=chosen.dropout,
    )
    torch.manual_seed(seed)
    network = build_network(sizes)
    _set_bins(network, encoder, parts)
    return NetworkModel(parts.task, network, sizes, encoder, label_scale(parts, loss))


def image_model(
    parts: Parts, seed: int, chosen: ImageNetworkSettings = _IMAGE, loss: Loss = _SQUARED_ERROR
) -> NetworkModel:
    """A convolutional network, before its first step; larger images get more halvings, to a side of about 8 pixels."""
    shape = learn_inputs(parts)
    assert isinstance(shape, ImageShape), "the task has images"  # noqa: S101 - the catalogue asks for them
    halvings = max(1, math.ceil(math.log2(max(shape.width, shape.height) / _SMALLEST_SIDE)))
    sizes = ImageSizes(
        image=shape,
        channels=tuple(
            min(chosen.channels * 2**place, max(_MOST_CHANNELS, chosen.channels)) for place in range(halvings + 1)
        ),
        hidden=chosen.hidden,
        classes=outputs_for(parts.task),
        dropout=chosen.dropout,
    )
    torch.manual_seed(seed)
    return NetworkModel(parts.task, build_network(sizes), sizes, scale=label_scale(parts, loss))


def choose_device(wanted: str) -> torch.device:
    """The device to train on.

    Raises:
        BadInput: CUDA is wanted and not there.
    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise BadInput("device is 'cuda', but torch finds no CUDA device here; use 'auto' or 'cpu'")
    if wanted == "cpu" or not found:
        return torch.device("cpu")
    set_default(SystemVariables.cublas.name, ":4096:8")  # without it cuBLAS is not reproducible
    return torch.device("cuda")


def batch_rows(rows: int) -> int:
    """Rows a step: a power of two that gives about 64 steps an epoch, between 32 and 4,096."""
    wanted = min(max(rows // _STEPS_AN_EPOCH, _LEAST_BATCH), _MOST_BATCH)
    return 1 << (wanted.bit_length() - 1)


def weight_tensor(weights: Floats | None, device: torch.device) -> Tensor | None:
    """The rows' weights as float32 on a device; None where every row counts the same."""
    return None if weights is None else torch.from_numpy(weights.astype(np.float32)).to(device)


def label_scale(parts: Parts, loss: Loss = _SQUARED_ERROR) -> LabelScale | None:
    """The training labels' mean and standard deviation, each row with its weight; None where they are classes.

    Where the loss asks for forecasts above 0 the network learns the logarithm of the forecast over the mean.
    """
    if not parts.task.regression:
        return None
    labels, weights = parts.train.labels, parts.train.weights
    centre = float(np.average(labels, weights=weights))
    if loss.name in _BY_LOG:
        return LabelScale(math.log(centre), 1.0, LOG)
    return LabelScale(centre, math.sqrt(float(np.average((labels - centre) ** 2, weights=weights))))


def label_tensor(labels: npt.NDArray[Any], scale: LabelScale | None) -> Tensor:
    """Class codes as they are, or numbers as float32 of mean 0 and spread 1, by a log link of mean 1; shape (rows,)."""
    if scale is None:
        return torch.from_numpy(labels)
    if scale.link == LOG:
        return torch.from_numpy((labels / math.exp(scale.centre)).astype(np.float32))
    return torch.from_numpy(((labels - scale.centre) / scale.spread).astype(np.float32))


def mean_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, loss: Loss = _SQUARED_ERROR) -> Tensor:
    """The mean over a batch of each row's log loss (or of the problem's, where labels are numbers) times its weight.

    It is divided by the batch's rows, not by its weights: their mean over all rows is 1, so the steps of an epoch add
    up to the gradient of the weighted log loss, however the rows fall into batches, and are as long as those without.
    """
    if weights is None and not labels.is_floating_point():
        return nn.functional.cross_entropy(logits, labels)
    return summed_loss(logits, labels, weights, loss) / len(labels)


def summed_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, loss: Loss = _SQUARED_ERROR) -> Tensor:
    """The sum over a batch of each row's log loss (or of the problem's, where labels are numbers) times its weight."""
    if labels.is_floating_point():
        errors = _row_losses(logits[:, 0], labels, loss)
        return (errors if weights is None else errors * weights).sum()
    if weights is None:
        return nn.functional.cross_entropy(logits, labels, reduction="sum")
    return (nn.functional.cross_entropy(logits, labels, reduction="none") * weights).sum()


def _row_losses(outputs: Tensor, labels: Tensor, loss: Loss) -> Tensor:
    """Each row's loss of a number, shape (rows,); by a Poisson and a gamma loss up to what the labels alone decide."""
    if loss.name == POISSON:
        return outputs.exp() - labels * outputs
    if loss.name == GAMMA:
        return outputs + labels * (-outputs).exp()
    gaps = labels - outputs
    if loss.name == ABSOLUTE:
        return gaps.abs()
    if loss.name == QUANTILE:
        return torch.maximum(loss.level * gaps, (loss.level - 1) * gaps)
    return gaps**2


def _set_bins(network: TableNetwork, encoder: Encoder, parts: Parts) -> None:
    """Cut each number's range at its training quantiles; fewer distinct ones leave bins that always say 0."""
    for place, column in enumerate(encoder.numbers(parts.train.rows).T):
        present = ~np.isnan(column)
        if not present.any():
            continue
        weights = None if parts.train.weights is None else parts.train.weights[present]
        edges = np.unique(quantiles(column[present], np.linspace(0, 1, _BINS + 1), weights).astype(np.float32))
        network.numbers.low[place, : len(edges) - 1] = torch.from_numpy(edges[:-1])
        network.numbers.slope[place, : len(edges) - 1] = torch.from_numpy(1 / np.diff(edges))
