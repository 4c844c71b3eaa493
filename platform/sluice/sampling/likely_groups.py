"""Likely groups: columns whose equal values mark rows that are one another's kin, such as the visits of a patient.

A split at random lays a group's rows into all parts, and a model that knows the patient again looks good until it meets
a new one. A column is a likely group where the label is far more alike within its values than between them: by the
intraclass correlation of the one-way analysis of variance (`variances.py`).

An ordinary feature can divide the label too. So three things are asked of it: many values, not a handful of categories;
of a number, that its neighbours do not tell the label as well as itself (age does, a patient's number does not); and a
very strong correlation, or one of the other features as well: a patient's rows are alike in all.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import ibis
import numpy as np
import pandas as pd

from sluice.problems.task import Task
from sluice.sampling.local_days import day_numbers, seconds_of, zone_named
from sluice.sampling.variances import Counts, Variance, analyse, correlation

LEVEL = 0.001  # of all columns together, that independent rows are taken for groups
LEAST_SEEN = 0.1  # of test rows
LEAST_EFFECTIVE = 20.0  # groups of a column of any kind
LEAST_IN_KEY = 5.0  # groups of a part of the key
LEAST_A_CLASS = 3.0  # groups, lest the classes' own names, such as folders of images, are taken for groups
STRONG, WEAK = 0.5, 0.1  # correlations of the label
OTHERS = 0.5  # mean correlation of the other features, which makes a weak one of the label suffice
NEIGHBOURS = 10
DESIGN_EFFECT = 2.0  # of days: how many times wider than independent rows' a variance is
MOST_SHOWN = 3
MOST_NUMBER = 1e100  # DuckDB's variance ends with an error where a square leaves the range of floats


@dataclass(frozen=True)
class LikelyGroup:
    """A column whose rows of one value are not independent.

    Attributes:
        column: Its name, or words for a part of it.
        groups: How many values it has.
        seen: Share of test rows whose value stands in training too.
        correlation: Of the label within a value: 1 where a value decides it, 0 where it says nothing.
        reason: `declared` (the task's cluster), `day`, or `likely`.
    """

    column: str
    groups: int
    seen: float
    correlation: float
    reason: str

    def body(self) -> dict[str, Any]:
        """As a manifest's details keep it."""
        return asdict(self)


def find_groups(assigned: ibis.Table, task: Task, part: str) -> list[LikelyGroup]:
    """Groups whose rows lie in several parts: the task's cluster, days of its time, and likely ones.

    Args:
        assigned: Rows, held by the engine.
        task: Their task.
        part: The column with each row's part.

    Returns:
        The declared one first, then the most telling.
    """
    found = []
    if task.cluster is not None and task.cluster in assigned.columns:
        counts = _counts(assigned, task, part, assigned[task.cluster])
        if len(counts.group):  # else no row has a value
            found.append(LikelyGroup(task.cluster, *_told(counts, analyse(counts)), "declared"))
    elif task.time in assigned.columns:
        found += _days(assigned, task, part)
    likely = list(_likely(assigned, task, part))
    return found + sorted(likely, key=lambda group: (-group.correlation, group.column))[:MOST_SHOWN]


def _told(counts: Counts, variance: Variance) -> tuple[int, float, float]:
    return variance.groups, _seen(counts), variance.correlation


def _seen(counts: Counts) -> float:
    trained = np.isin(counts.group, counts.group[counts.part == "train"])
    test = counts.part == "test"
    return float(counts.rows[test & trained].sum() / max(counts.rows[test].sum(), 1))


def _days(assigned: ibis.Table, task: Task, part: str) -> Iterator[LikelyGroup]:
    """The days of the task's time, where their rows are so dependent that it matters."""
    time = assigned[task.time]
    if not (time.type().is_timestamp() or time.type().is_date()):
        return
    counted = _counted(assigned, task, part, seconds_of(time) if time.type().is_timestamp() else time)
    if time.type().is_timestamp():
        counted["value"] = day_numbers(counted["value"].to_numpy(np.int64), zone_named(task.timezone))
    counts = _coded(counted)
    variance = analyse(counts)
    if 1 + (variance.size - 1) * variance.correlation >= DESIGN_EFFECT and variance.p < LEVEL:
        yield LikelyGroup(f"day of {task.time}", *_told(counts, variance), "day")


@dataclass(frozen=True)
class _Candidate:
    """A column, or the beginning of a text key, that may name a group; a part of the key does so by its nature."""

    name: str
    values: ibis.Value
    in_key: bool

    @property
    def least(self) -> float:
        """Fewer groups, counted as if of equal size, are a handful of categories."""
        return LEAST_IN_KEY if self.in_key else LEAST_EFFECTIVE


def _likely(assigned: ibis.Table, task: Task, part: str) -> Iterator[LikelyGroup]:
    candidates = _candidates(assigned, task, part)
    for candidate in candidates:
        counts = _counts(assigned, task, part, candidate.values)
        variance = analyse(counts)
        least = max(candidate.least, LEAST_A_CLASS * len(task.classes))
        enough = variance.effective >= least and _seen(counts) >= LEAST_SEEN
        if enough and variance.p < LEVEL / len(candidates) and _groups(assigned, task, candidate, counts, variance):
            yield LikelyGroup(candidate.name, *_told(counts, variance), "likely")


def _groups(assigned: ibis.Table, task: Task, candidate: _Candidate, counts: Counts, variance: Variance) -> bool:
    """Whether a column that divides the label is a group rather than an ordinary feature."""
    smooth = _of_neighbours(counts) if candidate.name in task.numeric else 0.0
    beyond = variance.correlation - smooth
    if beyond < WEAK:
        return False
    return candidate.in_key or beyond >= STRONG or _of_features(assigned, task, candidate) >= OTHERS


def _candidates(assigned: ibis.Table, task: Task, part: str) -> list[_Candidate]:
    """Columns, and beginnings of text keys, that have repeated values, and more than a handful."""
    left_out = {part, task.label, task.image, task.time, task.weight, task.cluster}
    found: list[_Candidate] = []
    for name in assigned.columns:
        kind = assigned[name].type()
        if name not in left_out and (kind.is_string() or kind.is_numeric() or kind.is_date()):
            found.append(_Candidate(name, assigned[name], name in task.key))
            if name in task.key and kind.is_string():
                found.append(_Candidate(f"{name} up to its last separator", _beginning(assigned[name]), in_key=True))
    if not found:
        return []
    distinct = {f"n{i}": candidate.values.approx_nunique() for i, candidate in enumerate(found)}
    told = assigned.agg(rows=assigned.count(), **distinct).to_pyarrow().to_pylist()[0]
    # The count is approximate, by a few per cent: the limits are wide, and the analysis has the exact one.
    return [c for i, c in enumerate(found) if 0.8 * c.least <= told[f"n{i}"] <= 0.7 * told["rows"]]


def _beginning(text: ibis.Value) -> ibis.Value:
    """A text without its last part, and without a file's ending: `ann/3_7.png` is of `ann/3`."""
    return text.re_replace(r"\.[A-Za-z0-9]{1,5}$", "").re_replace(r"[/_.:#-][^/_.:#-]*$", "")


def _counts(assigned: ibis.Table, task: Task, part: str, column: ibis.Value) -> Counts:
    return _coded(_counted(assigned, task, part, column))


def _counted(assigned: ibis.Table, task: Task, part: str, column: ibis.Value) -> pd.DataFrame:
    """Columns `value`, `label`, `part` and the number of rows `n`; rows without a value are of no group."""
    rows = assigned.select(value=column, label=assigned[task.label], part=assigned[part])
    rows = rows.filter(rows.value.notnull())
    counted: pd.DataFrame = rows.group_by("value", "label", "part").agg(n=rows.count()).to_pyarrow().to_pandas()
    return counted


def _coded(counted: pd.DataFrame) -> Counts:
    group, label = (pd.factorize(counted[name], sort=True)[0].astype(np.int64) for name in ("value", "label"))
    return Counts(group, label, counted["part"].to_numpy(str), counted["n"].to_numpy(np.int64))


def _of_neighbours(counts: Counts) -> float:
    """The label's correlation within runs of neighbouring values."""
    merged = Counts(counts.group // NEIGHBOURS, counts.label, counts.part, counts.rows)
    return max(analyse(merged).correlation, 0.0)


def _of_features(assigned: ibis.Table, task: Task, candidate: _Candidate) -> float:
    """The mean intraclass correlation of the other numeric features."""
    others = [feature for feature in task.numeric if feature != candidate.name]
    if not others:
        return 0.0
    rows = assigned.select(
        value=candidate.values, **{f"x{i}": assigned[o].cast("float64") for i, o in enumerate(others)}
    )
    rows = rows.filter(rows.value.notnull())
    moments: dict[str, ibis.Value] = {}
    for i, _ in enumerate(others):
        x = ibis.ifelse(rows[f"x{i}"].abs() < MOST_NUMBER, rows[f"x{i}"], ibis.null("float64"))
        moments |= {f"n{i}": x.count(), f"s{i}": x.sum(), f"v{i}": x.var(how="pop")}
    found = rows.group_by("value").agg(**moments).to_pyarrow().to_pandas()
    return float(
        np.mean([correlation(*(found[f"{k}{i}"].to_numpy(float) for k in "nsv")) for i, _ in enumerate(others)])
    )
