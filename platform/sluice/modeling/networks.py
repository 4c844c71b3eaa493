"""Neural networks in torch, and the files that hold them.

The weights stand in a safetensors file, the rest (vocabularies, sizes) as JSON. Before anything of a stated size is
made, its shape is compared with the file's: no word in the JSON can ask for memory that the file does not fill.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sluice.features.encoding import Encoder, Floats, encoder_from_body
from sluice.features.pixels import ImageShape, image_pixels
from sluice.modeling.network_layers import ImageNetwork, ImageSizes, TableNetwork, TableSizes
from sluice.problems.task import Task

WEIGHTS = "weights.safetensors"
_BATCH = 8192
IDENTITY, LOG = "identity", "log"
LARGEST_LOG = 34.5
"""The logarithm of 1e15, beyond which no label is."""


@dataclass(frozen=True)
class LabelScale:
    """What a network's output of 0 and of 1 stands for, in the label's unit: it learns labels of mean 0 and spread 1.

    Attributes:
        centre: The training labels' mean; by the link `log` its logarithm.
        spread: Their standard deviation, above 0; by the link `log` 1.
        link: `identity`, or `log` where the output is the logarithm of the forecast, which is then above 0.
    """

    centre: float
    spread: float
    link: str = IDENTITY

    def body(self) -> dict[str, Any]:
        """As JSON values; the link only where it says something, so that earlier models' bytes stay."""
        return {name: value for name, value in asdict(self).items() if name != "link" or value != IDENTITY}

    def numbers(self, outputs: Floats) -> Floats:
        """Outputs, shape (rows,), as numbers in the label's unit."""
        told = outputs * self.spread + self.centre
        return np.asarray(told if self.link == IDENTITY else np.exp(np.clip(told, -LARGEST_LOG, LARGEST_LOG)))


@dataclass(frozen=True)
class NetworkModel:
    """A network and how rows become its tensors.

    Attributes:
        task: What it predicts.
        network: On any device.
        sizes: Of the network.
        encoder: For tables.
        scale: Of the label, where it is a number.
    """

    task: Task
    network: nn.Module
    sizes: TableSizes | ImageSizes
    encoder: Encoder | None = None
    scale: LabelScale | None = None
    family = "network"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the probabilities."""
        return self.task.classes

    @property
    def size(self) -> int:
        """How many numbers were learned."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def predict_proba(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        return predict_tensors(self.network, self.tensors(rows))

    def predict(self, rows: pd.DataFrame) -> Floats:
        """See `models.Predictor`."""
        assert self.scale is not None, "a network for numbers has a scale"  # noqa: S101 - checked on reading
        return predict_numbers(self.network, self.tensors(rows), self.scale)

    def tensors(self, rows: pd.DataFrame) -> tuple[Tensor, ...]:
        """The network's inputs, on the CPU. Raises `BadInput` for a missing column or a value of a wrong type."""
        if isinstance(self.sizes, ImageSizes):
            return (torch.from_numpy(image_pixels(rows, self.task, self.sizes.image)).permute(0, 3, 1, 2).contiguous(),)
        assert self.encoder is not None, "a network for tables has an encoder"  # noqa: S101 - checked on reading
        numbers = torch.from_numpy(self.encoder.numbers(rows).astype(np.float32))
        return numbers, torch.from_numpy(self.encoder.codes(rows))

    def options(self) -> dict[str, Any]:
        """What model.json keeps."""
        kind = "image" if isinstance(self.sizes, ImageSizes) else "table"
        encoder = {"encoder": self.encoder.body()} if self.encoder else {}
        return {
            "kind": kind,
            "sizes": asdict(self.sizes),
            **encoder,
            **({"scale": self.scale.body()} if self.scale else {}),
        }

    def write_weights(self, folder: Path) -> None:
        """Write the weights, float32, in the order of their names."""
        state = self.network.state_dict()
        save_file({name: state[name].detach().cpu().contiguous() for name in sorted(state)}, folder / WEIGHTS)


def predict_tensors(network: nn.Module, inputs: tuple[Tensor, ...]) -> Floats:
    """Class probabilities, shape (rows, classes), computed in batches on the network's own device."""
    return np.asarray(_outputs(network, inputs).softmax(dim=1).numpy())


def predict_numbers(network: nn.Module, inputs: tuple[Tensor, ...], scale: LabelScale) -> Floats:
    """Numbers in the label's unit, shape (rows,), computed like `predict_tensors`."""
    return scale.numbers(_outputs(network, inputs)[:, 0].numpy())


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """The last layer's outputs, float64 on the CPU, shape (rows, outputs)."""
    device = next(network.parameters()).device
    network.eval()
    with torch.no_grad():
        found = [network(*(part.to(device) for part in batch)).cpu() for batch in _batches(inputs)]
    return torch.cat(found).double()


def read_network(folder: Path, task: Task, options: Mapping[str, Any]) -> NetworkModel:
    """Read what `NetworkModel` wrote.

    Raises:
        Exception: Anything on damaged files; `models.load_model` turns it into words.
    """
    sizes = _sizes_from_body(options["kind"], options["sizes"])
    encoder = encoder_from_body(options["encoder"], task) if isinstance(sizes, TableSizes) else None
    _check_sizes(sizes, task, encoder)
    with torch.device("meta"):  # shapes without memory
        network = build_network(sizes)
    state = load_file(folder / WEIGHTS)
    for name, wanted in network.state_dict().items():
        found = state.get(name)
        if found is None or found.shape != wanted.shape or found.dtype != torch.float32:
            raise ValueError(f"weight {name!r} should be float32 of shape {tuple(wanted.shape)}")
        if not found.isfinite().all():
            raise ValueError(f"weight {name!r} holds a number that is not finite")
    network.load_state_dict(state, strict=True, assign=True)
    return NetworkModel(task, network.eval(), sizes, encoder, _scale(options["scale"]) if task.regression else None)


def outputs_for(task: Task) -> int:
    """How many outputs a network has: one for each class, or one for a number."""
    return 1 if task.regression else len(task.classes)


def _scale(body: Mapping[str, Any]) -> LabelScale:
    scale = LabelScale(float(body["centre"]), float(body["spread"]), str(body.get("link", IDENTITY)))
    if scale.link not in (IDENTITY, LOG):
        raise ValueError(f"the label's link {scale.link!r} is unknown")
    if not (math.isfinite(scale.centre) and math.isfinite(scale.spread) and scale.spread > 0):
        raise ValueError("the label's scale is no finite number, or not above 0")
    return scale


def build_network(sizes: TableSizes | ImageSizes) -> nn.Module:
    """A network with fresh random weights."""
    return TableNetwork(sizes) if isinstance(sizes, TableSizes) else ImageNetwork(sizes)


def _sizes_from_body(kind: str, body: Mapping[str, Any]) -> TableSizes | ImageSizes:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
    if kind == "table":
        return TableSizes(**fields)
    if kind != "image":
        raise ValueError(f"network {kind!r} is unknown")
    return ImageSizes(**{**fields, "image": ImageShape(**fields["image"])})


def _check_sizes(sizes: TableSizes | ImageSizes, task: Task, encoder: Encoder | None) -> None:
    if sizes.classes != outputs_for(task):
        raise ValueError("the network's outputs or classes are not the task's")
    if not isinstance(sizes, TableSizes) or encoder is None:
        return
    if (sizes.numeric, sizes.cardinalities) != (len(encoder.numeric), encoder.cardinalities):
        raise ValueError("the network's inputs are not the encoder's")


def _batches(inputs: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    for start in range(0, max(len(inputs[0]), 1), _BATCH):
        yield tuple(part[start : start + _BATCH] for part in inputs)
