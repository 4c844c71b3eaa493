"""What the parts of the server hand to each other: who answers, and what was asked and answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sluice.exporting.served_files import ServedModel
from sluice.serving.carried_columns import CarriedColumns
from sluice.serving.row_schema import Columns, RowSchema


@dataclass(frozen=True)
class Answer:
    """What a model says of rows.

    Attributes:
        values: Probabilities, shape (rows, classes), or numbers, shape (rows,).
        called: The class called, by its place, shape (rows,); None for numbers.
    """

    values: npt.NDArray[np.float64]
    called: npt.NDArray[np.int64] | None


class Judge(Protocol):
    """A model in this process, loaded and warm; calls may come from several threads."""

    @property
    def served(self) -> ServedModel:
        """What it is."""
        ...

    @property
    def schema(self) -> RowSchema:
        """What a row of it holds."""
        ...

    def judge(self, columns: Columns) -> Answer:
        """Forecast rows whose columns `RowSchema.columns` made; raises `InvalidRows` where there is none for a row."""
        ...

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> Answer:
        """Check rows and forecast them; raises `InvalidRows`."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A version that can answer.

    Attributes:
        name: `MODEL/version`.
        judge: The model.
        role: `champion`, `challenger` or `shadow`.
    """

    name: str
    judge: Judge
    role: str = "champion"

    @property
    def digest(self) -> str:
        """SHA-256 of the registered files."""
        return self.judge.served.digest

    @cached_property
    def carried(self) -> CarriedColumns:
        """Reads what a row holds beside."""
        return CarriedColumns(self.judge.served.carried)


@dataclass(frozen=True)
class Exchange:
    """One request that was answered.

    Attributes:
        request: Its id.
        moment: When it was answered, in seconds since 1970 (UTC).
        loaded: Who answered.
        columns: The raw rows, by column; with what they carry beside, such as a key, which no model takes.
        answer: What was said of them.
        seconds: How long the answer took.
        subject: What the caller named as the subject of the request (`x-request-subject`), or empty.
        trace: The caller's `traceparent` (W3C Trace Context), or empty.
    """

    request: str
    moment: float
    loaded: Loaded
    columns: Columns = field(repr=False)
    answer: Answer = field(repr=False)
    seconds: float = 0.0
    subject: str = ""
    trace: str = ""


class Observer(Protocol):
    """Who sees each answer after it was sent: a log, a shadow, statistics. It neither raises nor makes anybody wait."""

    def observed(self, exchange: Exchange) -> None:
        """One request was answered."""
        ...


class Traffic(Protocol):
    """Who decides which version answers; it changes when an alias moves, in the midst of requests."""

    def chosen(self, request: str, subject: str) -> Loaded:
        """The version that answers a request.

        Args:
            request: Its id.
            subject: Requests with the same subject get the same version, where it is not empty.
        """
        ...


@dataclass(frozen=True)
class OneVersion:
    """A traffic that always goes to the same version."""

    loaded: Loaded

    def chosen(self, request: str, subject: str) -> Loaded:  # noqa: ARG002 - see Traffic
        """See `Traffic`."""
        return self.loaded


class NoModel(Exception):
    """No version can answer now: none is appointed, or it is still being loaded. The caller is told to try again."""


@runtime_checkable
class Versions(Protocol):
    """A traffic that has more than one version, each of which may be asked for by its name."""

    def versions(self) -> Sequence[Loaded]:
        """Those that can answer now; the champion first."""
        ...


@runtime_checkable
class Started(Protocol):
    """A part (a traffic, an observer) that has work beside requests."""

    def start(self) -> None:
        """Begin; called once, in a thread, before the server says that it is ready."""
        ...

    def stop(self) -> None:
        """End; called once, in a thread, after the last answer. The process waits for it."""
        ...


@runtime_checkable
class Detailed(Protocol):
    """A part that has something to say at `/readyz`."""

    def details(self) -> Mapping[str, Any]:
        """By its own names."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A part that has numbers for Prometheus."""

    def measure(self, registry: Any) -> None:  # noqa: ANN401 - prometheus_client.CollectorRegistry
        """Register its metrics; called once, before `start`. Labels must be bounded (see `sluice.serving.metrics`)."""
        ...
