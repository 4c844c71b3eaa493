"""The layers of our neural networks, and the sizes that describe them."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sluice.core.bounds import MODEL_LAYERS
from sluice.features.pixels import ImageShape


@dataclass(frozen=True)
class TableSizes:
    """The sizes of a network for tables.

    Attributes:
        numeric: How many numeric features.
        bins: Into how many pieces each numeric feature's range is cut.
        cardinalities: How many codes each string feature has.
        embeddings: How long the vector of each string feature is.
        hidden: The widths of the hidden layers.
        classes: How many outputs: one a class, or one for a number.
        dropout: The share of activations left out in training.
    """

    numeric: int
    bins: int
    cardinalities: tuple[int, ...]
    embeddings: tuple[int, ...]
    hidden: tuple[int, ...]
    classes: int
    dropout: float


@dataclass(frozen=True)
class ImageSizes:
    """The sizes of a convolutional network.

    Attributes:
        image: The shape of its images.
        channels: The widths of the convolutions; after each but the first the image is halved.
        hidden: The width of the layer before the last.
        classes: How many outputs: one a class, or one for a number.
        dropout: The share of activations left out in training.
    """

    image: ImageShape
    channels: tuple[int, ...]
    hidden: int
    classes: int
    dropout: float


def check_layers(count: int) -> None:
    """Refuse a network of too many layers: each takes memory before a single weight is there.

    Raises:
        BadInput: There are more than the bound.
    """
    MODEL_LAYERS.check(count, "the network's layers", "train a smaller one")


class PiecewiseLinear(nn.Module):  # type: ignore[misc]  # mypy skips torch
    """Numbers as positions between quantiles: one output a bin, 0 below it, 1 above it, linear inside.

    This lets a small network bend at the right places (Y. Gorishniy, I. Rubachev and A. Babenko, *On Embeddings for
    Numerical Features in Tabular Deep Learning*, NeurIPS 2022). One more output a feature says that it is missing.
    """

    low: Tensor
    slope: Tensor

    def __init__(self, features: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(features, bins))
        self.register_buffer("slope", torch.zeros(features, bins))

    def forward(self, numbers: Tensor) -> Tensor:
        """Shape (rows, features) with NaN for missing to (rows, features * (bins + 1))."""
        missing = numbers.isnan()
        known = torch.where(missing, 0.0, numbers).unsqueeze(2)
        inside = ((known - self.low) * self.slope).clamp(0, 1) * ~missing.unsqueeze(2)
        return torch.cat([inside.flatten(1), missing.to(numbers.dtype)], dim=1)


class TableNetwork(nn.Module):  # type: ignore[misc]  # mypy skips torch
    """A multilayer perceptron over piecewise-linear numbers and embedded codes."""

    def __init__(self, sizes: TableSizes) -> None:
        super().__init__()
        check_layers(len(sizes.hidden) + len(sizes.embeddings))
        self.numbers = PiecewiseLinear(sizes.numeric, sizes.bins)
        pairs = zip(sizes.cardinalities, sizes.embeddings, strict=True)
        self.embeddings = nn.ModuleList(nn.Embedding(count, length) for count, length in pairs)
        width = sizes.numeric * (sizes.bins + 1) + sum(sizes.embeddings)
        self.layers = nn.Sequential(*_dense(width, sizes.hidden, sizes.dropout, sizes.classes))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Logits, shape (rows, classes).

        Args:
            numbers: float32, shape (rows, numeric features).
            codes: int64, shape (rows, string features).
        """
        embedded = [table(codes[:, place]) for place, table in enumerate(self.embeddings)]
        return self.layers(torch.cat([self.numbers(numbers), *embedded], dim=1))


class ImageNetwork(nn.Module):  # type: ignore[misc]  # mypy skips torch
    """Three-by-three convolutions with halvings between them, then one hidden layer."""

    def __init__(self, sizes: ImageSizes) -> None:
        super().__init__()
        check_layers(len(sizes.channels))
        layers: list[nn.Module] = []
        before, height, width = sizes.image.channels, sizes.image.height, sizes.image.width
        for place, channels in enumerate(sizes.channels):
            if place:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                height, width = -(-height // 2), -(-width // 2)
            layers += [nn.Conv2d(before, channels, 3, padding=1), nn.ReLU()]
            before = channels
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        self.layers = nn.Sequential(*_dense(before * height * width, (sizes.hidden,), sizes.dropout, sizes.classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, shape (rows, classes), from pixels, float32 of shape (rows, channels, height, width)."""
        return self.layers(self.convolutions(pixels))


def _dense(width: int, hidden: tuple[int, ...], dropout: float, classes: int) -> Iterator[nn.Module]:
    for next_width in hidden:
        yield from (nn.Linear(width, next_width), nn.ReLU(), nn.Dropout(dropout))
        width = next_width
    yield nn.Linear(width, classes)
