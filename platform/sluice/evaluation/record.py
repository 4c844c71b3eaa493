"""The record of an evaluation: the JSON document that register, report, MLflow and the model card read.

Every number stands with its interval, the rows that it is of (`n`) and how the interval was found (`method`).
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.core.digests import sha256_json

SCHEMA = 3
"""The version that this Sluice writes and reads."""

Method = Literal["bootstrap", "paired bootstrap", "wilson", "inverse variance", "none"]
"""`bootstrap`: percentile interval over resamples of clusters, widened for few of them (`Record.bootstrap` has the
design). `paired bootstrap`: the same of a difference on the same resamples. `wilson`: a share's score interval, with as
many rows as are independent. `inverse variance`: of a pooled difference. `none`: no interval could be had."""


class Part(BaseModel):
    """What every part of the record is: frozen, and without a field that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Number(Part):
    """A number that rows were asked for.

    Attributes:
        value: None where it is undefined on these rows.
        low: The 95 % interval's lower end.
        high: Its upper end.
        error: The standard error.
        n: How many rows it is of.
        method: How the interval was found.
    """

    value: float | None
    low: float | None
    high: float | None
    error: float | None = None
    n: int
    method: Method


class MetricRow(Part):
    """How a metric is to be read."""

    name: str
    title: str
    direction: Literal["less", "more"]
    in_label_units: bool = False


class PopulationRecord(Part):
    """Which rows the numbers speak of."""

    dataset: str
    rows: int
    drawn: int
    draws: int
    weighted: bool
    text: str
    effective_rows: float


class EvidenceRecord(Part):
    """How much the test rows tell."""

    rows: int
    effective_rows: float
    clusters: int
    units: float
    cluster: str
    rarest: int


class Folds(Part):
    """How a recipe was judged fold by fold: all numbers of the winner are those of the recipe, out of fold.

    Attributes:
        number: How many folds there are.
        winners: Which candidate the recipe chose without each fold.
        widening: By how much errors exceed those that the rows alone give; intervals are so much wider.
        winner_alone: The registered candidate's own metrics out of fold, whatever was chosen there.
        text: All of it in words.
    """

    number: int
    winners: tuple[str, ...]
    widening: float
    winner_alone: dict[str, Number]
    text: str


class Bootstrap(Part):
    """How intervals were found."""

    resamples: int
    seed: int
    level: float
    cluster: str
    clusters: int
    block: int


class CandidateRow(Part):
    """One trained model, on the test rows.

    `validation` is the metric that models are chosen by, on the validation rows.
    """

    name: str
    family: str
    baseline: bool
    rank: int
    size: int
    parameters: dict[str, Any]
    cut: str = ""
    called: str = ""
    settings: dict[str, Any] = {}
    validation: Number
    threshold: float | None = None
    threshold_rule: str = ""
    metrics: dict[str, Number]


class SelectionRecord(Part):
    """How the winner was chosen on the validation rows."""

    rule: str
    metric: str
    winner: str
    best: str
    excess: dict[str, Number]
    best_baseline: str


class CalibrationBin(Part):
    """Rows of like confidence: their mean probability, and the share that came true."""

    predicted: float
    observed: Number


class CalibrationRecord(Part):
    """How far the winner's probabilities can be taken at their word."""

    error: Number
    bias: Number
    base: float
    gap: float
    relative: float
    p_value: float
    words: str
    bins: tuple[CalibrationBin, ...]


class ResidualBinRecord(Part):
    """Rows of like forecasts: their mean forecast, and their mean label."""

    forecast: float
    observed: Number


class ResidualsRecord(Part):
    """How the winner's forecasts of numbers err."""

    bias: Number
    error: Number
    relative: float
    slope: Number
    quantiles: dict[str, float]
    words: str
    bins: tuple[ResidualBinRecord, ...]


class SliceRow(Part):
    """A group of rows, or a month: `base_rate` is the share of the positive class, `mean` the mean of a number."""

    column: str
    group: str
    rows: int
    base_rate: float | None
    mean: float | None = None
    judged: bool
    metrics: dict[str, dict[str, Number]]
    differences: dict[str, dict[str, Number]]
    units: dict[str, float]


class StratumRecord(Part):
    """Two groups inside one group of another column."""

    group: str
    rates: tuple[float, float]
    rows: tuple[int, int]


class ReversalRecord(Part):
    """Two groups whose order turns round within another column's groups."""

    column: str
    groups: tuple[str, str]
    by: str
    overall: StratumRecord
    pooled: float
    strata: tuple[StratumRecord, ...]
    p_value: float


class ModelReversalRecord(Part):
    """Two models whose order may turn round within a column's groups."""

    column: str
    rival: str
    overall: Number
    pooled: Number
    slices: dict[str, float]
    reversed: bool


class Simpson(Part):
    """Simpson's paradox in the data and between models; empty for numbers, of which shares cannot be taken."""

    data: tuple[ReversalRecord, ...] = ()
    models: tuple[ModelReversalRecord, ...] = ()


class ChampionRow(Part):
    """The champion before this evaluation, on the test rows that it did not learn from."""

    version: str
    digest: str
    seen: float | None = None
    problem: str | None = None
    metrics: dict[str, Number] | None = None
    differences: dict[str, Number] | None = None


class CheckRow(Part):
    """A question of the gate, and its answer; `origin` and `settings` are of one that is not Sluice's own."""

    name: str
    status: Literal["passed", "failed", "undecided", "not judged"]
    passed: bool
    value: float | None
    threshold: float | None
    message: str
    origin: str = ""
    settings: dict[str, Any] = {}


class EvaluationRecord(Part):
    """All that an evaluation found; the same for the same inputs, whenever it is made.

    `problem` is the form of forecasts, `problem_name` what the project calls a problem that is none of the three.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, title="EvaluationRecord")

    schema_version: Annotated[Literal[3], Field(alias="schema")]
    task: dict[str, Any]
    problem: Literal["binary", "multiclass", "regression"]
    problem_name: str = ""
    metric: MetricRow
    own_metrics: tuple[MetricRow, ...] = ()
    code: str = ""
    datasets: dict[str, str]
    rows: int
    folds: Folds | None = None
    population: PopulationRecord
    overlap: tuple[str, ...]
    evidence: EvidenceRecord
    bootstrap: Bootstrap
    gate: dict[str, float]
    look: int
    candidates: tuple[CandidateRow, ...]
    selection: SelectionRecord
    winner: str
    winner_digest: str
    calibration: CalibrationRecord | None = None
    residuals: ResidualsRecord | None = None
    slices: tuple[SliceRow, ...]
    months: tuple[SliceRow, ...]
    simpson: Simpson
    champion: ChampionRow | None
    checks: tuple[CheckRow, ...]
    decision: Literal["promote", "refuse", "undecided", "unchanged"]
    reason: str

    def body(self) -> dict[str, Any]:
        """As JSON values: what the document holds and its digest is of."""
        younger = set() if self.problem_name else {"problem_name"}  # without it, so that earlier digests stay
        return self.model_dump(mode="json", by_alias=True, exclude=younger)

    @property
    def digest(self) -> str:
        """SHA-256 of the document: what a promotion's evidence names."""
        return sha256_json(self.body())

    @property
    def winner_row(self) -> CandidateRow:
        """What is known of the winner."""
        return next(row for row in self.candidates if row.name == self.winner)

    def judged_by(self, name: str) -> MetricRow | None:
        """How an own metric is to be read; None for a built-in one."""
        return next((metric for metric in self.own_metrics if metric.name == name), None)


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a document, with its place, in one line."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"])) or "the document"
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
