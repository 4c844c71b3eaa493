"""What monitoring hands on: the settings of a watch, and the record of a window. Forms with a version."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
Season = Literal["none", "weekday", "hour"]
Span = Literal["none", "hour", "day", "week", "month"]
WINDOWS_A_QUARTER: dict[str, float] = {"none": 13.0, "hour": 2191.0, "day": 91.3, "week": 13.0, "month": 3.0}
LESS_IS_BETTER = RELATIVE = ("log_loss", "brier", "mae", "rmse")
"""Metrics of which less is better; they have no natural scale, so an effect is a share of the reference's value."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WatchSettings(_Part):
    """How a model is watched.

    Attributes:
        metric: The metric that alarms are about.
        effect: How much worse it has to be to matter: a share of the reference's value for losses, else absolute.
        false_alarms: How many false alarms a quarter are allowed on average, all columns and tests together.
        season: Which reference rows a window is held to: all, those of the same weekdays, or of the same weekdays and
            hours.
        span: How long a window is.
        windows_a_quarter: How many windows a quarter has; by default as `span` says.
        apart: The Hellinger distance of a feature that does not matter.
        forecasts_apart: That of the forecasts.
        rows: So many rows of a window, at random, are looked at one by one; counts are of all rows.
    """

    metric: str
    effect: Annotated[float, Field(gt=0, lt=1)] = 0.02
    false_alarms: Annotated[float, Field(gt=0)] = 0.25
    season: Season = "none"
    span: Span = "none"
    windows_a_quarter: Annotated[float, Field(gt=0)] | None = None
    apart: Annotated[float, Field(ge=0, lt=1)] = 0.07
    forecasts_apart: Annotated[float, Field(ge=0, lt=1)] = 0.04
    rows: Annotated[int, Field(ge=100)] = 50_000

    @property
    def windows(self) -> float:
        """How many windows a quarter has."""
        return self.windows_a_quarter or WINDOWS_A_QUARTER[self.span]


class MetricRecord(_Part):
    """A metric of a window and of the reference; see `performance.Compared`."""

    value: float
    low: float
    high: float
    reference: float
    worse: float
    least_rows: int


class PerformanceRecord(_Part):
    """See `performance.Performance`; records from before `failed` was told have it empty."""

    how: str
    state: str
    reason: str
    rows: int
    labelled: int
    metrics: dict[str, MetricRecord]
    effective_rows: float | None
    foreign: float | None
    assumptions: tuple[str, ...]
    failed: str = ""


class FaultRecord(_Part):
    """Data that broke: which column, how, and the contract's clause on it.

    Attributes:
        column: The column; empty for the rows as a whole.
        kind: `schema`, `missing values`, `new values`, `other unit`, `out of range`, `cut off above`,
            `cut off below` or `repeated rows`.
        words: What was found, in a sentence.
        clause: Where the contract speaks of it, or what could be said there.
        evidence: How far the evidence is along its limit; from 1 on it is an alarm.
    """

    column: str
    kind: str
    words: str
    clause: str
    evidence: float


class DriftRecord(_Part):
    """How far a column moved.

    Attributes:
        column: The column.
        distance: Hellinger's, without noise.
        margin: What does not matter: the setting, or what the reference shows among its own windows.
        importance: The feature's share of what moves the forecast; 1 for a forecast itself.
        evidence: As in `FaultRecord`; of the column alone, which alone is no alarm.
    """

    column: str
    distance: float
    margin: float
    importance: float
    evidence: float


class SliceRecord(_Part):
    """A group of rows whose loss grew most: rows now, their loss now and in the reference."""

    column: str
    group: str
    rows: int
    loss: float
    before: float
    added: float


class AlarmRecord(_Part):
    """One cause for a person to look at.

    Attributes:
        severity: `page`: somebody should look now. `look`: when there is time.
        title: What happened.
        cause: The likely cause.
        clause: Where the contract speaks of it; may be empty.
        found: What else was found with it.
        slices: The worst groups.
        rows: Up to five rows as examples, masked.
        command: What to do next.
        new: Whether the window before had not this alarm already.
    """

    severity: Literal["page", "look"]
    title: str
    cause: str
    clause: str
    found: tuple[str, ...]
    slices: tuple[SliceRecord, ...]
    rows: tuple[dict[str, str], ...]
    command: str
    new: bool = True


class WindowRecord(_Part):
    """All that was found of a window."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: str
    rows: int
    reference_rows: int
    by_labels: PerformanceRecord | None
    estimated: PerformanceRecord | None
    slices: tuple[SliceRecord, ...]
    faults: tuple[FaultRecord, ...]
    outputs: tuple[DriftRecord, ...]
    inputs: tuple[DriftRecord, ...]
    evidence: dict[str, float]
    alarms: tuple[AlarmRecord, ...]
    notes: tuple[str, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class WatchState(_Part):
    """What a watch remembers from window to window: the detectors' sums, and the causes that are known already."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    sums: dict[str, float] = {}
    known: tuple[str, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
