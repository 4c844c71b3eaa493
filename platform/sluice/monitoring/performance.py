"""How good a model is on the rows of a window: by their labels where these have come, else estimated, else not told.

Three answers there are: a value with its interval; "not enough", with the number of rows that would be; and "cannot be
estimated", with the reason. None of them is "ok".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sluice.evaluation.bootstrap import bootstrap
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.monitoring.class_estimates import Estimated, estimate_classes
from sluice.monitoring.density_ratio import FOREIGN, DensityRatio, density_ratio
from sluice.monitoring.evidence import LASTING_QUANTILE
from sluice.monitoring.harder_rows import harder
from sluice.monitoring.judged_rows import Flags, Integers, JudgedRows
from sluice.monitoring.loss_estimates import estimate_numbers
from sluice.monitoring.records import LESS_IS_BETTER, RELATIVE
from sluice.monitoring.second_opinion import opinion_on
from sluice.monitoring.selective_labels import selection_words
from sluice.problems.weighted_metrics import Judged, Predictions

How = Literal["labels", "PAPE", "direct loss", "none"]
State = Literal["told", "not enough", "cannot be estimated"]

MOST_ROWS = 50_000
_RESAMPLES = 200
_CELLS = 400_000  # of a bootstrap at once: some tens of MB with all that is computed of them
_LEAST_ROWS = 100
_LEAST_EFFECTIVE = 200.0
_MOST_FOREIGN = 0.2
_POWER_QUANTILE = 1.281552  # 90 % power

CONCEPT = "A change of what the features mean for the label cannot be seen without labels, by any method."
ASSUMPTIONS: dict[str, tuple[str, ...]] = {
    "labels": ("The labels that have come are those of rows like the others.",),
    "PAPE": (
        "Labels follow from the features as they did in the reference.",
        "Rows like the present ones are in the reference, and were not chosen by how hard they are.",
        "Features are measured as they were: a column that broke is not drift.",
        CONCEPT,
    ),
    "direct loss": (
        "Errors follow from features and forecast as they did in the reference.",
        "Rows like the present ones are in the reference.",
        CONCEPT,
    ),
    "none": (),
}


@dataclass(frozen=True)
class Compared:
    """A metric now and in the reference.

    Attributes:
        value: Now.
        low: The 95 % interval's lower end.
        high: Its upper end.
        reference: In the reference, by its labels.
        worse: By how much it is worse now: above 0 is worse, whichever direction is better; a share of the reference's
            value where the metric has no scale (RELATIVE).
        lasting: The standard error of `worse` that the reference makes.
        noise: That of this window.
        least_rows: So many rows show the wanted effect with a power of 90 %; 0 where no number does.
    """

    value: float
    low: float
    high: float
    reference: float
    worse: float
    lasting: float
    noise: float
    least_rows: int


@dataclass(frozen=True)
class Performance:
    """What is known of a model's performance on a window.

    Attributes:
        how: By which method.
        state: Whether it is told.
        reason: Why not, or what else has to be known.
        rows: How many rows were looked at.
        labelled: How many of them have a label.
        metrics: By name.
        effective_rows: How many reference rows of equal weight the estimate rests on.
        foreign: The share of rows whose like the reference lacks.
        failed: Which assumption fails though a value is told, in words; empty where none is known to.
        assumptions: What the method takes for granted, in words.
    """

    how: How
    state: State
    reason: str
    rows: int
    labelled: int
    metrics: dict[str, Compared] = field(default_factory=dict)
    effective_rows: float = float("nan")
    foreign: float = float("nan")
    failed: str = ""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the method takes for granted."""
        return ASSUMPTIONS[self.how]


@dataclass(frozen=True)
class Wanted:
    """What is to be seen.

    Attributes:
        metric: The one that alarms are about.
        effect: How much worse is to be found in one window; see `Compared.worse`.
        surprise: How many standard errors make evidence in one window.
        widening: By how much errors exceed those that rows alone give, found in the reference.
    """

    metric: str
    effect: float = 0.02
    surprise: float = 4.0
    widening: float = 1.0


@dataclass(frozen=True)
class Measured:
    """The metrics of labelled rows: values and standard errors."""

    values: dict[str, float]
    errors: dict[str, float]
    rows: int


def measured(rows: JudgedRows, seed: int = 7) -> Measured:
    """The metrics of rows that all have a label, with their bootstrap errors."""
    part = rows.drawn(MOST_ROWS, seed)
    assert part.labels is not None, "every row has a label"  # noqa: S101 - the caller chose the rows
    judged: Judged
    if rows.regression:
        judged = NumberPredictions(part.labels, part.values)
    else:
        bars = None
        if rows.binary:  # the called class stands in the file: a bar above or below every score says the same
            bars = np.where(part.said == 1, -1.0, 2.0)
        judged = Predictions(part.labels.astype(np.int64), part.values, bars=bars)
    drawn = bootstrap({"model": judged}, _RESAMPLES, seed, cells=_CELLS).estimates("model")
    kept = (
        ("mae", "rmse")
        if rows.regression
        else ("log_loss", "brier", "accuracy", "precision", "recall", "f1", "roc_auc")
    )
    values = {name: drawn[name].value for name in kept}
    errors = {name: drawn[name].error or 0.0 for name in kept}
    scale = np.sqrt(len(part) / len(rows))
    return Measured(
        {name: float("nan") if value is None else value for name, value in values.items()},
        {name: error * float(scale) for name, error in errors.items()},
        len(rows),
    )


def true_performance(reference: Measured, current: JudgedRows, wanted: Wanted) -> Performance:
    """By the labels that have come."""
    known = current.subset(current.labelled)
    if len(known) < _LEAST_ROWS:
        return Performance(
            "labels", "not enough", f"{len(known):,} labels; {_LEAST_ROWS} at least", len(current), len(known)
        )
    if refused := selection_words(current):
        return Performance("labels", "cannot be estimated", refused, len(current), len(known))
    now = measured(known)
    estimates = {
        name: Estimated(
            value,
            value - 1.96 * now.errors[name],
            value + 1.96 * now.errors[name],
            now.errors[name],
            reference.errors[name],
            now.errors[name],
        )
        for name, value in now.values.items()
        if np.isfinite(value)
    }
    return _compared("labels", reference, estimates, current, len(known), wanted)


def estimated_performance(
    reference: JudgedRows, known: Measured, current: JudgedRows, wanted: Wanted, clusters: Integers | None = None
) -> tuple[Performance, DensityRatio | None]:
    """Without looking at a label of the present rows; and the density ratio that it found."""
    how: How = "direct loss" if reference.regression else "PAPE"
    rows = len(current)
    if rows < _LEAST_ROWS or len(reference) < _LEAST_EFFECTIVE:
        least = f"{_LEAST_ROWS} and {_LEAST_EFFECTIVE:.0f} are the least"
        words = f"{rows:,} rows against {len(reference):,} labelled ones of the reference; {least}"
        return Performance(how, "not enough", words, rows, int(current.labelled.sum())), None
    ratio = density_ratio(reference.known, current.known)
    labelled = int(current.labelled.sum())
    if words := _unsupported(ratio, len(reference)):
        return Performance(
            how, "cannot be estimated", words, rows, labelled, {}, ratio.effective_rows, ratio.foreign
        ), ratio
    failed = ""
    if reference.regression:
        estimates = estimate_numbers(reference, current, ratio.reference)
    else:
        failed, opinion = harder(reference, current).words, opinion_on(reference)
        estimates = estimate_classes(reference, current, ratio.reference, clusters, opinion=opinion, hard=bool(failed))
    found = _compared(how, known, estimates, current, labelled, wanted)
    return replace(found, effective_rows=ratio.effective_rows, foreign=ratio.foreign, failed=failed), ratio


def _unsupported(ratio: DensityRatio, rows: int) -> str:
    if ratio.effective_rows < _LEAST_EFFECTIVE:
        return (
            f"the present rows lie beside the reference: its {rows:,} rows tell as much about them as "
            f"{ratio.effective_rows:,.0f} would, and {_LEAST_EFFECTIVE:,.0f} are needed"
        )
    if ratio.foreign > _MOST_FOREIGN:
        return (
            f"{ratio.foreign:.0%} of the rows are at least {FOREIGN:.0f} times as frequent now as in the reference, "
            f"which so has nothing to learn from for them; at most {_MOST_FOREIGN:.0%} may be"
        )
    return ""


def _compared(
    how: How, reference: Measured, found: Mapping[str, Estimated], rows: JudgedRows, labelled: int, wanted: Wanted
) -> Performance:
    told = {
        name: _one(name, each, reference, len(rows) if how != "labels" else labelled, wanted)
        for name, each in found.items()
        if np.isfinite(each.value) and np.isfinite(reference.values.get(name, float("nan")))
    }
    main = told.get(wanted.metric)
    if main is None:
        words = f"{wanted.metric} is undefined on these rows or on the reference"
        return Performance(how, "cannot be estimated", words, len(rows), labelled, told)
    count = labelled if how == "labels" else len(rows)
    if _plainly_worse(main, wanted):
        return Performance(how, "told", "", len(rows), labelled, told)
    if not main.least_rows:
        words = f"the reference has too few rows ({reference.rows:,}) to tell {wanted.effect:.0%} from its own noise"
        return Performance(how, "not enough", words, len(rows), labelled, told)
    if count < main.least_rows:
        words = f"{count:,} rows; {main.least_rows:,} show {_effect(wanted)} with a power of 90 %"
        return Performance(how, "not enough", words, len(rows), labelled, told)
    return Performance(how, "told", "", len(rows), labelled, told)


def _plainly_worse(main: Compared, wanted: Wanted) -> bool:
    """Whether this window alone is evidence: then it had rows enough."""
    left = main.worse - LASTING_QUANTILE * main.lasting
    return main.worse >= wanted.effect and left > wanted.surprise * main.noise


def _effect(wanted: Wanted) -> str:
    unit = "" if wanted.metric in RELATIVE else " (absolute)"
    return f"a {wanted.metric} that is {wanted.effect:.0%} worse{unit}"


def _one(name: str, now: Estimated, reference: Measured, rows: int, wanted: Wanted) -> Compared:
    before = reference.values[name]
    scale = abs(before) if name in RELATIVE and before else 1.0
    sign = 1 if name in LESS_IS_BETTER else -1
    lasting = now.lasting / scale
    noise = now.noise * wanted.widening / scale
    room = wanted.effect - LASTING_QUANTILE * lasting
    least = int(np.ceil(rows * ((wanted.surprise + _POWER_QUANTILE) * noise / room) ** 2)) if room > 0 else 0
    return Compared(
        now.value,
        now.low,
        now.high,
        before,
        sign * (now.value - before) / scale,
        lasting,
        noise,
        max(least, 1) if room > 0 else 0,
    )


def widening(reference: JudgedRows, windows: Integers, metric: str, least: int = 200) -> float:
    """By how much the metric differs from window to window of the reference, against what its rows alone would give.

    Args:
        reference: Labelled rows.
        windows: Each row's window, shape (rows,).
        metric: The one to look at.
        least: A smaller window is left out.

    Returns:
        At least 1; 1 where there are fewer than three windows to tell it by.
    """
    groups: list[Flags] = [windows == each for each in np.unique(windows)]
    found = [measured(reference.subset(inside)) for inside in groups if inside.sum() >= least]
    if len(found) < 3:
        return 1.0
    values = np.array([each.values[metric] for each in found])
    errors = np.array([each.errors[metric] for each in found])
    usable = np.isfinite(values) & (errors > 0)
    if usable.sum() < 3:
        return 1.0
    values, errors = values[usable], errors[usable]
    middle = np.average(values, weights=errors**-2)
    return float(max(1.0, np.sqrt((((values - middle) / errors) ** 2).sum() / (len(values) - 1))))
