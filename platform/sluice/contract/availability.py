"""When a value is known: some time after its row's time, at a named moment, or always."""

import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema
from pydantic.dataclasses import dataclass

from sluice.contract.field_checks import lag, refusal
from sluice.core.durations import duration_text, is_duration, parse_duration
from sluice.core.errors import BadInput

ALWAYS = "always"
"""The word for what is known before anything is asked: reference data, a timetable."""
_NAME = "^[A-Za-z][A-Za-z0-9_-]{0,99}$"


@plain_dataclass(frozen=True)
class Availability:
    """When a value is known.

    Attributes:
        name: A moment of the contract, a duration such as `30d`, or `always`.
        lag: How many seconds after its row's time it is known at the latest: minus infinity for what is always known,
            None where nothing says it.
        place: The moment's place in the contract's order; 0 for what is no moment.
    """

    name: str
    lag: float | None
    place: int = 0

    @property
    def always(self) -> bool:
        """Whether it is known before anything is asked."""
        return self.lag == -math.inf

    @property
    def with_its_row(self) -> bool:
        """Whether it is known at its row's time, or before."""
        return self.lag is not None and self.lag <= 0

    @property
    def order(self) -> tuple[float, int]:
        """By which what is known earlier comes first; a moment without a lag comes last."""
        return (math.inf if self.lag is None else self.lag, self.place)


KNOWN_ALWAYS = Availability(ALWAYS, -math.inf)
KNOWN_WITH_ROW = Availability("0s", 0.0)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class NamedMoment:
    """A moment in the life of what a row tells of, such as `shipped`; in a file its name, or `{name: lag}`.

    Attributes:
        name: Its name.
        known: How long after the row's time it has come at the latest, or `always`; None where nothing says it.
    """

    name: str
    known: str | None = None

    def body(self) -> Any:  # noqa: ANN401 - YAML
        """As a file has it."""
        return self.name if self.known is None else {self.name: self.known}


def _named_moment(value: Any) -> Any:  # noqa: ANN401 - YAML
    if isinstance(value, NamedMoment):
        return value
    name, known = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
    if not isinstance(name, str):
        raise refusal(f"moments: {str(value)[:40]!r} is no moment; write its name, or {{name: 24h}}")
    if name == ALWAYS or not (name[:1].isalpha() and len(name) <= 100 and _is_word(name)):
        raise refusal(
            f"moments: {name[:40]!r} cannot name a moment; use up to 100 letters, digits, '_' and '-', the first a "
            f"letter, and not `{ALWAYS}`"
        )
    return NamedMoment(name, known if known == ALWAYS else lag(f"moments: {name}", known))


def _is_word(name: str) -> bool:
    return name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()


def _moments(value: Any) -> Any:  # noqa: ANN401 - YAML
    if not isinstance(value, list | tuple):
        raise refusal("moments must be a list of names in their order, such as [planned, {started: 1h}, ended]")
    moments = tuple(_named_moment(each) for each in value)
    names = [moment.name for moment in moments]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise refusal(f"moments names {twice!r} twice; keep one")
    lags = [found for name in names if (found := known_at(name, moments)).lag is not None]
    for one, other in itertools.pairwise(lags):
        if other.order < one.order:
            raise refusal(f"moments: {other.name!r} comes after {one.name!r}, yet is known earlier; order them by time")
    return moments


_MOMENT = {
    "anyOf": [
        {"type": "string", "pattern": _NAME},
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"pattern": _NAME},
            "additionalProperties": {"type": "string"},
        },
    ]
}
Moments = Annotated[
    tuple[NamedMoment, ...], BeforeValidator(_moments), WithJsonSchema({"type": "array", "items": _MOMENT})
]
"""Moments in their order, as a contract declares them."""


def known_at(moment: str, moments: Sequence[NamedMoment]) -> Availability:
    """When a moment has come. The first one is a row's time where nothing else is said of it.

    Args:
        moment: Its name, or `always`.
        moments: All, in their order.
    """
    if moment == ALWAYS:
        return KNOWN_ALWAYS
    place = [each.name for each in moments].index(moment)
    known = moments[place].known
    if known == ALWAYS:
        return Availability(moment, -math.inf, place)
    if known is not None:
        return Availability(moment, float(parse_duration(known, signed=True)), place)
    return Availability(moment, 0.0 if place == 0 else None, place)


def availability_of(moment: str | None, known: str | None, moments: Sequence[NamedMoment]) -> Availability:
    """When a value is known.

    Args:
        moment: The moment's name, `always`, or None.
        known: The lag after its row's time, which takes the place of the moment's own; or None.
        moments: Those that the contract declares.
    """
    seconds = None if known is None else float(parse_duration(known, signed=True))
    if moment is None:
        return Availability(duration_text(seconds or 0.0), seconds)
    stated = known_at(moment, moments)
    return stated if seconds is None else replace(stated, lag=seconds)


def read_known(word: str, moments: Sequence[NamedMoment], what: str) -> Availability:
    """What `known: WORD` says: a lag, a moment's name, or `always`.

    Args:
        word: As it was written.
        moments: Those that the contract declares.
        what: Where it stands, for messages.

    Raises:
        BadInput: It is none of them.
    """
    if reason := unknown_word(word, moments):
        raise BadInput(f"{what}: {reason}")
    return availability_of(None, word, moments) if is_duration(word) else known_at(word, moments)


def unknown_word(word: str, moments: Sequence[NamedMoment]) -> str:
    """Why a word says nothing of when a value is known; empty where it does."""
    names = [moment.name for moment in moments]
    if word == ALWAYS or word in names or is_duration(word):
        return ""
    near = difflib.get_close_matches(word[:40], [*names, ALWAYS], n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return (
        f"{word[:40]!r} does not say when it is known: it is none of the contract's moments "
        f"({', '.join(names) or 'it declares none'}), no lag such as 30d, and not `{ALWAYS}`{meant}"
    )
