"""What a person may set about each kind of candidate, and how an entry of the list `candidates` is read.

An entry is a name, or one name with its settings: `trees`, `{trees: {learning_rate: 0.05}}`. A class of a project's own
takes its settings as the arguments that it is made with, `{mine.py:Net: {width: 64}}`, and checks them itself.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.extensions import split_reference
from sluice.core.json_documents import with_whole_numbers
from sluice.core.parameter_checks import Range, StepParameters, check_with
from sluice.core.words import near
from sluice.extending.families import FAMILIES
from sluice.problems.candidate_names import (
    BASELINE_BY_NAME,
    CONVOLUTIONS,
    EMBEDDINGS,
    LINEAR,
    LOGISTIC,
    NETWORK,
    SHORT_LINEAR,
    SHORT_TREES,
    TREES,
)

_WIDEST, _MOST_LAYERS = 4_096, 20  # together a gigabyte of weights
_AN_ENTRY = "give a name, or one name with its settings, such as {trees: {learning_rate: 0.05}}"


class Wanted(NamedTuple):
    """One entry of the list `candidates`: a name, and what is set of it."""

    name: str
    settings: dict[str, Any]

    def entry(self) -> str | dict[str, Any]:
        """As the list has it."""
        return {self.name: self.settings} if self.settings else self.name


def check_widths(name: str, widths: Any) -> None:  # noqa: ANN401 - whatever was given
    """See that hidden layers can have these widths.

    Args:
        name: The setting's, for messages.
        widths: As they were given.

    Raises:
        BadInput: There are none or too many, or one is no width.
    """
    if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= _MOST_LAYERS:
        raise BadInput(f"parameter {name!r} is {widths!r}; give 1 to {_MOST_LAYERS} widths, such as [128, 64]")
    for width in widths:
        Range(1, _WIDEST, whole=True)(name, width)


class NoSettings(StepParameters):
    """A baseline has nothing to set."""


class LinearSettings(StepParameters):
    """Logistic and linear regression."""

    penalty: Annotated[float, Range(0, 1e9, above=True)] = Field(
        default=1.0,
        description="Strength of the L2 penalty. With classes it holds for all rounds (one over scikit-learn's C); "
        "with a number it is the first round's for each training row, which the rounds weaken.",
    )


class TreesSettings(StepParameters):
    """Gradient-boosted trees."""

    learning_rate: Annotated[float, Range(0, 1, above=True)] = Field(
        default=0.1, description="By which share of its correction each tree moves the forecasts."
    )
    max_leaf_nodes: Annotated[int, Range(2, 65_536, whole=True)] = Field(
        default=31, description="The most leaves of a tree."
    )
    max_depth: Annotated[int, Range(0, 1_000, whole=True)] = Field(
        default=0, description="The most splits from a tree's root to a leaf; 0 for no limit."
    )
    min_samples_leaf: Annotated[int, Range(0, 1_000_000_000, whole=True)] = Field(
        default=0, description="The least training rows of a leaf; 0 for a 500th of them, from 20 to 200."
    )
    l2_regularization: Annotated[float, Range(0, 1e12)] = Field(
        default=10.0, description="The penalty on leaves' values; more makes them smaller."
    )
    max_features: Annotated[float, Range(0, 1, above=True)] = Field(
        default=0.3, description="The share of the features that each split may choose from."
    )


class _NetworkSettings(StepParameters):
    """What both networks have."""

    learning_rate: Annotated[float, Range(0, 1, above=True)] = Field(default=0.001, description="Of AdamW.")
    weight_decay: Annotated[float, Range(0, 1)] = Field(default=0.01, description="Of AdamW.")
    weight_averaging: Annotated[float, Range(0, 0.999999)] = Field(
        default=0.98, description="The model is a moving average of the weights; the share that each step keeps of it."
    )
    batch_rows: Annotated[int, Range(0, 1_000_000_000, whole=True)] = Field(
        default=0, description="Rows of one step; 0 chooses about 64 steps an epoch."
    )


class TableNetworkSettings(_NetworkSettings):
    """The network for tables."""

    hidden: Annotated[list[int], check_widths] = Field(default=[128, 64], description="Widths of the hidden layers.")
    dropout: Annotated[float, Range(0, 0.95)] = Field(
        default=0.2, description="The share of activations left out in training."
    )


class ImageNetworkSettings(_NetworkSettings):
    """The network for images."""

    channels: Annotated[int, Range(1, 1_024, whole=True)] = Field(
        default=32, description="Width of the first convolution; each halving of the image doubles it, up to 256."
    )
    hidden: Annotated[int, Range(1, _WIDEST, whole=True)] = Field(
        default=128, description="Width of the layer before the last."
    )
    dropout: Annotated[float, Range(0, 0.95)] = Field(
        default=0.3, description="The share of activations left out in training."
    )


SETTINGS: dict[str, type[StepParameters]] = dict.fromkeys(BASELINE_BY_NAME, NoSettings) | {
    LOGISTIC: LinearSettings,
    LINEAR: LinearSettings,
    SHORT_LINEAR: LinearSettings,
    TREES: TreesSettings,
    SHORT_TREES: TreesSettings,
    EMBEDDINGS: TableNetworkSettings,
    CONVOLUTIONS: ImageNetworkSettings,
    NETWORK: TableNetworkSettings,
}
"""By every name that a candidate can be called by; `network` means that for tables where nothing else is known."""


def is_own(name: str) -> bool:
    """Whether an entry names a class of a project's own, `mine.py:Net`, or a family of an installed package."""
    return split_reference(name) is not None or (name not in BASELINE_BY_NAME and name in FAMILIES.names())


def read_entry(parameter: str, entry: Any) -> Wanted:  # noqa: ANN401 - whatever was given
    """One entry of a list of candidates; its name is one of ours, a package's, or a class of a project's own.

    Args:
        parameter: The list's name, for messages.
        entry: As it was given.

    Raises:
        BadInput: It has not the form of one, or its name is unknown.
    """
    name, settings = entry, None
    if isinstance(entry, Mapping):
        if len(entry) != 1:
            raise BadInput(f"parameter {parameter!r} holds {dict(entry)!r}; {_AN_ENTRY}")
        name, settings = next(iter(entry.items()))
    if not isinstance(name, str) or not isinstance(settings, Mapping | None):
        raise BadInput(f"parameter {parameter!r} holds {entry!r}; {_AN_ENTRY}")
    if name not in BASELINE_BY_NAME and not is_own(name):
        known = [*BASELINE_BY_NAME, *FAMILIES.names()]
        raise BadInput(f"parameter {parameter!r} names {name!r}{near(name, known)}; choose from {', '.join(known)}")
    return Wanted(name, {str(key): with_whole_numbers(value) for key, value in (settings or {}).items()})


def read_entries(entries: Sequence[Any], parameter: str = "candidates") -> list[Wanted]:
    """All entries of such a list.

    Raises:
        BadInput: See `read_entry`.
    """
    return [read_entry(parameter, entry) for entry in entries]


def checked_settings(wanted: Wanted, parameter: str = "candidates", *, images: bool | None = None) -> dict[str, Any]:
    """What is set of a candidate, with its own types, and no more than what was given.

    Args:
        wanted: The candidate; what is set of a project's own class is given back as it is.
        parameter: The list's name, for messages.
        images: Whether `network` means that for images, or that for tables; None where that is not known yet.

    Raises:
        BadInput: A setting is unknown or out of its range; the message names it.
    """
    if is_own(wanted.name):
        return wanted.settings
    if wanted.name == NETWORK and images is None:
        try:
            return _checked(ImageNetworkSettings, wanted, parameter)
        except BadInput:
            return _checked(TableNetworkSettings, wanted, parameter)
    image_network = wanted.name == NETWORK and images
    return _checked(ImageNetworkSettings if image_network else SETTINGS[wanted.name], wanted, parameter)


def _checked(model: type[StepParameters], wanted: Wanted, parameter: str) -> dict[str, Any]:
    place = f"{parameter}.{wanted.name}"
    if wanted.settings and not model.model_fields:
        raise BadInput(f"parameter {place!r} has settings, and a baseline has nothing to set; leave them out")
    for name in wanted.settings:
        if name not in model.model_fields:
            known = ", ".join(model.model_fields)
            hint = near(name, model.model_fields)
            raise BadInput(f"parameter {place!r} has the setting {name!r}, which is unknown{hint}; it has {known}")
    checks = {f"{place}.{name}": check for name, check in model.checks().items()}
    check_with(checks, {f"{place}.{name}": value for name, value in wanted.settings.items()})
    return model(**wanted.settings).model_dump(include=set(wanted.settings))
