"""The windows of a prediction log: when they begin, and a version's rows of one as the watch reads them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis

from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.monitoring.records import Span
from sluice.predictions.forms import CALLED, FORECAST, MOMENT, PROBABILITY, ROLE, SECONDS, LogForm
from sluice.predictions.joining import with_labels
from sluice.predictions.labels import LABEL_CLASS, LABEL_NUMBER
from sluice.predictions.places import PREDICTIONS, labels_files, log_files, logged_models, model_folder
from sluice.predictions.reader import LoggedRows, read_predictions
from sluice.storage.stores import Store

_STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
_NAMES = {"hour": "%Y-%m-%dT%H", "month": "%Y-%m"}
_FILES_NAMED = 500
KEPT = (MOMENT, SECONDS, ROLE)


@dataclass(frozen=True)
class LogWindow:
    """A whole hour, day, week (from Monday) or month in UTC."""

    name: str
    begin: datetime
    end: datetime


def floor(moment: datetime, span: Span) -> datetime:
    """The beginning of the window that a moment is in."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if span == "hour":
        return hour
    day = hour.replace(hour=0)
    if span == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if span == "month" else day


def after(begin: datetime, span: Span) -> datetime:
    """The beginning of the next window."""
    if span == "month":
        return (begin.replace(day=1) + timedelta(days=32)).replace(day=1)
    return begin + _STEPS[span]


def windows_between(since: datetime, until: datetime, span: Span) -> list[LogWindow]:
    """The whole windows from the one that `since` is in to the last one that is over at `until`."""
    found, begin = [], floor(since, span)
    while (end := after(begin, span)) <= until:
        found.append(LogWindow(begin.strftime(_NAMES.get(span, "%Y-%m-%d")), begin, end))
        begin = end
    return found


@dataclass(frozen=True)
class Usage:
    """What a version did in a window.

    Attributes:
        by_role: Rows by `champion`, `challenger` and `shadow`.
        hours: Rows by hour of those that callers got, by the hour's beginning.
        seconds: How long answers took, at the quantiles 0.5, 0.95 and 0.99, of all rows that callers got; none without.
    """

    by_role: Mapping[str, int] = field(default_factory=dict)
    hours: Mapping[str, int] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()


def usage_of(told: Mapping[str, Any]) -> Usage:
    """As a window's dataset keeps it."""
    return Usage(told.get("roles", {}), told.get("hours", {}), tuple(told.get("seconds", ())))


@dataclass(frozen=True)
class VersionRows:
    """A version's rows of a window, written to a file.

    Attributes:
        path: The file: raw columns, forecasts as `sluice predict` names them, the label.
        rows: How many.
        labelled: How many of them have a label.
        usage: What the version did.
        form: What the log says of the rows.
    """

    path: Path
    rows: int
    labelled: int
    usage: Usage
    form: LogForm


def read_window(store: Store, model: str, window: LogWindow) -> LoggedRows:
    """What the log has of a window; nothing but the files' names and metadata is read."""
    return read_predictions(store, model, window.begin, window.end)


def versions_in(logged: LoggedRows) -> list[str]:
    """The versions that wrote, the latest writer's first."""
    return list(dict.fromkeys(form.version for form in logged.forms))


def write_version(logged: LoggedRows, store: Store, version: str, as_of: datetime, target: Path) -> VersionRows | None:
    """Write a version's rows with the labels that were known at a moment; None where it has none.

    Raises:
        BadInput: Labels or files are not what they say.
        EnvironmentFault: The store or the disk failed.
    """
    form = next(each for each in logged.forms if each.version == version)
    raw = [each.name for each in form.fields if each.name != form.label]
    said = [PROBABILITY.format(logged.classes.index(name)) for name in form.classes] or [FORECAST]
    called = [CALLED] if form.classes else []
    with with_labels(logged, store, as_of, [*raw, *said, *called, *KEPT], versions=[version]) as table:
        if form.classes:
            named = {f"probability_{name}": table[column] for name, column in zip(form.classes, said, strict=True)}
            named["prediction"] = table[CALLED]
        else:
            named = {"prediction": table[FORECAST]}
        label = table[LABEL_CLASS if LABEL_CLASS in table.columns else LABEL_NUMBER]
        chosen = table.select(*raw, *KEPT, **named, **{form.label: label})
        counts = chosen.aggregate(rows=chosen.count(), labelled=chosen[form.label].count()).to_pyarrow().to_pylist()[0]
        if not counts["rows"]:
            return None
        usage = _usage(chosen)
        chosen.get_backend().con.sql(ibis.to_sql(chosen)).write_parquet(str(target))
    return VersionRows(target, int(counts["rows"]), int(counts["labelled"]), usage, form)


def _usage(table: Any) -> Usage:  # noqa: ANN401 - an Ibis table
    roles = table.group_by(ROLE).agg(rows=table.count()).to_pyarrow().to_pylist()
    answered = table.filter(table[ROLE] != "shadow")
    hour = answered[MOMENT].truncate("h").name("hour")
    hours = answered.group_by(hour).agg(rows=answered.count()).order_by("hour").to_pyarrow().to_pylist()
    quantiles = {f"q{place}": answered[SECONDS].quantile(q) for place, q in enumerate((0.5, 0.95, 0.99))}
    seconds = answered.aggregate(**quantiles).to_pyarrow().to_pylist()[0].values()
    return Usage(
        {str(row[ROLE]): int(row["rows"]) for row in roles},
        {row["hour"].strftime("%Y-%m-%dT%H:00Z"): int(row["rows"]) for row in hours},
        tuple(float(value) for value in seconds) if all(value is not None for value in seconds) else (),
    )


def sources(store: Store, model: str, window: LogWindow, as_of: datetime) -> dict[str, Any]:
    """Which files of the log and of the labels a window's record rests on: their names tell what they hold."""
    log = [file.key for file in log_files(store, model, window.begin, window.end)]
    labels = [file.key for file in labels_files(store, model, as_of)]
    return {"predictions": _named(log), "labels": _named(labels), "as_of": as_of.isoformat()}


def _named(keys: list[str]) -> dict[str, Any]:
    return {"files": keys[:_FILES_NAMED], "count": len(keys), "sha256": sha256_bytes("\n".join(keys).encode())}


def first_moment(store: Store, model: str) -> datetime:
    """The hour of the first row of a model's log.

    Raises:
        BadInput: Nothing of the model was ever logged.
        EnvironmentFault: The store failed.
    """
    prefix = f"{model_folder(PREDICTIONS, model)}/"
    first = next(iter(store.keys(f"{prefix}date=")), None)
    if first is None:
        names = logged_models(store)
        told = f"it has those of {', '.join(names[:10])}" if names else "it has none"
        raise BadInput(f"{store.uri} has no predictions of {model!r}; {told}{near(model, names)}")
    hour = "/".join(first.removeprefix(prefix).split("/")[:2])
    return datetime.strptime(hour, "date=%Y-%m-%d/hour=%H").replace(tzinfo=UTC)


def recent(moment: datetime, span: Span, windows: int) -> datetime:
    """The beginning of the window that is so many windows back."""
    return floor(moment - windows * _STEPS.get(span, timedelta(days=31)), span)
