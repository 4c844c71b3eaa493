"""What a pipeline takes: each of its parameters is handed on to its steps, and is stated once, by the step.

KFP reads a pipeline's signature and docstring. Both are made here out of the faces of its steps, so that types,
defaults and words stand in one place, and a step's new parameter reaches a pipeline by one line of a table.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

_Made = TypeVar("_Made")
_STEPS = object()  # in the place of a default: the step's own


@dataclass(frozen=True)
class Handed:
    """Where a parameter of a pipeline goes.

    Attributes:
        places: The steps and their own names for it; type, default and words are those of the first.
        default: Another default, where the pipeline has one.
        says: Other words, where the step's would not do for the whole pipeline.
    """

    places: tuple[tuple[str, str], ...]
    default: Any = _STEPS
    says: str = ""

    def stated(self, name: str) -> inspect.Parameter:
        """It, as a function's signature has it."""
        step, own = self.places[0]
        found = inspect.signature(_face(step).python_func).parameters[own]
        default = found.default if self.default is _STEPS else self.default
        return found.replace(name=name, default=default, kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)

    def words(self) -> str:
        """What it is, in a sentence or two."""
        step, own = self.places[0]
        return self.says or " ".join((_face(step).component_spec.inputs[own].description or "").split())


def to(*places: str, default: Any = _STEPS, says: str = "") -> Handed:  # noqa: ANN401 - of any type
    """A parameter that is handed to `STEP.NAME`; see `Handed`."""
    return Handed(tuple((step, name) for step, _, name in (place.partition(".") for place in places)), default, says)


class Given:
    """A pipeline's arguments, as KFP has them while it builds the pipeline."""

    def __init__(self, table: Mapping[str, Handed], channels: Mapping[str, Any]) -> None:
        self._table, self._channels = table, channels

    def of(self, step: str) -> dict[str, Any]:
        """What a step is handed, by its own names."""
        return {
            own: self._channels[name]
            for name, handed in self._table.items()
            for place, own in handed.places
            if place == step
        }


def takes(*tables: Mapping[str, Handed]) -> Callable[[Callable[[Given], _Made]], Callable[..., _Made]]:
    """Gives a function that builds a pipeline the signature and docstring that KFP reads.

    Args:
        tables: The pipeline's parameters by name, in the order of its form.
    """
    table = {name: handed for each in tables for name, handed in each.items()}

    def decorate(build: Callable[[Given], _Made]) -> Callable[..., _Made]:
        def pipeline(*channels: Any) -> _Made:  # noqa: ANN401 - KFP's pipeline channels
            return build(Given(table, dict(zip(table, channels, strict=True))))

        given = inspect.signature(build)
        told = "\n".join(f"    {name}: {handed.words()}" for name, handed in table.items())
        pipeline.__name__, pipeline.__module__ = build.__name__, build.__module__
        pipeline.__doc__ = f"{inspect.getdoc(build)}\n\nArgs:\n{told}\n"
        stated = [handed.stated(name) for name, handed in table.items()]
        signature = inspect.Signature(stated, return_annotation=given.return_annotation)
        pipeline.__signature__ = signature  # type: ignore[attr-defined]
        return pipeline

    return decorate


def _face(step: str) -> Any:  # noqa: ANN401 - KFP's component
    return getattr(importlib.import_module(f"sluice.components.{step}.component"), step)
