"""A history asked again: each row at its own moment, of the version that stood then, through the server's own judge.

What a replay makes is a prediction log like a server's, labels that come late, and the windows of a watch, all in a
store of its own. A version stands from the first whole window on whose rows it is not held to: the test rows before
are its reference. Values that are known only later than their row's moment are not handed over.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.provenance import ancestry, find_bundle
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset
from sluice.features.preparations import Preparation
from sluice.monitoring.records import AlarmRecord, Span, WatchSettings, WindowRecord
from sluice.monitoring.row_tables import connection, literal
from sluice.predictions.labels import keep_labels
from sluice.predictions.reader import latest_form
from sluice.predictions.request_ids import new_request_id
from sluice.registry.predicting import OpenModel, opened_model
from sluice.registry.versions import Version, find_version, registered_models, versions
from sluice.running.judged_rows import judged_table
from sluice.running.logged_windows import LogWindow, Usage, after, floor, windows_between
from sluice.running.served_versions import served_version
from sluice.running.version_watch import SETTLING, Reference, VersionWatch
from sluice.sampling.folds import folds_of
from sluice.serving.exchange import Answer, Exchange, Loaded
from sluice.serving.judges import open_judge
from sluice.serving.judging import FormJudge
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.serving.row_schema import Columns, InvalidRows, RowSchema
from sluice.storage.stores import Store, open_store

_TEST = "test"
_ROOM = 2**30  # bytes in which rows may wait for the log: a replay has no caller that would wait for it
_LABEL, _MOMENT = "sluice_replayed_label", "sluice_replayed_moment"


@dataclass(frozen=True)
class ReplayOrder:
    """What is to be replayed.

    Attributes:
        model: A registered model, all of whose versions may stand; or one version of it.
        every: How long a window is.
        label_delay: How long after its row's moment a label comes.
        settings: How windows are watched.
        since: Where the replay begins; None for as soon as a version stands.
        until: Where it ends; None for the end of the rows.
    """

    model: str
    every: Span
    label_delay: timedelta
    settings: WatchSettings
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Raised:
    """An alarm, and when the replay heard of it first."""

    window: str
    moment: datetime
    alarm: AlarmRecord


@dataclass(frozen=True)
class ReplayedVersion:
    """What a version did in the windows in which it stood.

    Attributes:
        version: `MODEL/version`.
        reference: What its windows were held to, in words.
        settings: As they were used.
        windows: By time, each as it was known at the end.
        usage: What the version did, by window.
        raised: Its alarms.
        refused: Rows that the server would have refused.
        parents: Ids of the folders behind it.
    """

    version: str
    reference: str
    settings: WatchSettings
    windows: list[WindowRecord]
    usage: Mapping[str, Usage]
    raised: tuple[Raised, ...]
    refused: int
    parents: tuple[str, ...]


@dataclass(frozen=True)
class _Stand:
    """A version and the windows in which it stands."""

    version: Version
    begins: datetime
    windows: list[LogWindow] = field(default_factory=list)


def replay(order: ReplayOrder) -> list[ReplayedVersion]:
    """Replay.

    Raises:
        BadInput: The rows have no moment, a version was judged in folds, or no whole window is left to replay.
        EnvironmentFault: The registry, the store or the disk failed.
    """
    found = []
    for stand in _stands(order):
        with opened_model(f"{stand.version.model}/{stand.version.version}") as model:
            progress(f"{model.name} stands from {stand.begins:%Y-%m-%d} on: {len(stand.windows)} windows")
            found.append(_replayed(order, stand, model))
    return found


def _stands(order: ReplayOrder) -> list[_Stand]:
    """The versions with their windows, by time: in each window the newest one that could stand then."""
    several = order.model in registered_models()
    stands = [_stand(each, order) for each in (versions(order.model) if several else [find_version(order.model)])]
    known = [each for each in stands if each is not None]
    if not known:
        raise BadInput(
            f"{order.model} was judged in folds, so its rows have no moment at which they could be asked again; name "
            "the rows' moment (`rows: {time: COLUMN}`) and split by time to replay, or hold later rows to it by "
            f"`sluice monitor {order.model} FILE`"
        )
    last = order.until or max(_last_moment(each.version) for each in known)
    windows = windows_between(min(each.begins for each in known), _whole(last, order), order.every)
    for window in windows:
        standing = [each for each in known if each.begins <= window.begin]
        max(standing, key=lambda each: (each.begins, int(each.version.version))).windows.append(window)
    if not windows:
        first = min(each.begins for each in known)
        raise BadInput(
            f"no whole {order.every} is left to replay between {first:%Y-%m-%d}, when {order.model} could stand, and "
            f"{last:%Y-%m-%d}, where its rows end; train on fewer rows (`-p shares=[0.25,0.08,0.67]`), or make windows "
            "shorter by --every"
        )
    return [each for each in known if each.windows]


def _whole(last: datetime, order: ReplayOrder) -> datetime:
    """The end of the last window; one whose rows end within its last day counts as whole."""
    end = after(floor(last, order.every), order.every)
    return end if order.until is None and end - last <= timedelta(days=1) else last


def _stand(version: Version, order: ReplayOrder) -> _Stand | None:
    with opened_model(f"{version.model}/{version.version}") as model:
        bundle = find_bundle(model.store, version.tags["sluice.splits"])
        if folds_of(bundle) is not None:  # its rows have no moment: others of the model may
            return None
        time = _time(model)
        with read_dataset(bundle.uri) as (_, tables):
            if _TEST not in tables or time not in tables[_TEST].columns:
                raise BadInput(f"{model.name}: its test rows have no column {time!r}, so nothing tells when it stood")
            first = _aware(tables[_TEST][time].min().to_pyarrow().as_py())
            learned = [
                _aware(table[time].max().to_pyarrow().as_py()) for name, table in tables.items() if name != _TEST
            ]
    first = max([first, *learned])  # split at random, a version learned from rows up to the end: it never stands
    begins = floor(first, order.every)  # the window after the first whole one: that has the reference's rows
    begins = after(begins if begins == first else after(begins, order.every), order.every)
    while order.since and begins < order.since:
        begins = after(begins, order.every)
    return _Stand(version, begins)


def _time(model: OpenModel) -> str:
    made = model.preparation
    time = made.declared.rows.time if made else None
    if made is None or not time:
        raise BadInput(f"{model.name}: its rows have no moment (`rows: {{time: COLUMN}}`), so there is none to replay")
    return str(time)


def _last_moment(version: Version) -> datetime:
    with opened_model(f"{version.model}/{version.version}") as model:
        time, made = _time(model), model.preparation
        assert made is not None, "rows with a moment were prepared"  # noqa: S101 - see `_time`
        with read_dataset(made.dataset.uri) as (_, tables):
            return _aware(tables[made.table][time].max().to_pyarrow().as_py())


def _replayed(order: ReplayOrder, stand: _Stand, model: OpenModel) -> ReplayedVersion:
    made = model.preparation
    assert made is not None, "rows with a moment were prepared"  # noqa: S101 - see `_time`
    lineage = ancestry(model.store, model.version.tags["sluice.models"])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))
        opened = stack.enter_context(connection())
        opened.execute(f"SET temp_directory = {literal(str(folder))}")
        store = open_store(str(folder / "store"))
        tables = stack.enter_context(read_dataset(made.dataset.uri))[1]
        prepared = stack.enter_context(read_dataset(_prepared(lineage, made).uri, ibis.get_backend(tables[made.table])))
        asked = _asked(tables[made.table], prepared[1]["rows"], model, made)
        refused = _served(order, stand, model, asked, store, folder)
        watch = VersionWatch(
            store,
            model,
            order.settings.model_copy(update={"span": order.every}),
            (folder, opened),
            order.label_delay,
            lambda opened: _reference(opened, stand.begins),
        )
        raised: list[Raised] = []
        for moment in _moments(order, stand.windows):
            told = watch.look(moment, stand.begins, last=stand.windows[-1].end)
            raised += [
                Raised(window.name, moment, alarm)
                for window in told.windows
                if window.name in (*told.new, *told.restated)
                for alarm in window.alarms
                if alarm.new
            ]
        return ReplayedVersion(
            told.version,
            told.reference,
            told.settings,
            told.windows,
            told.usage,
            tuple(raised),
            refused,
            (made.dataset.id, model.version.tags["sluice.models"]),
        )


def _prepared(lineage: Sequence[Bundle], made: Preparation) -> Bundle:
    """The rows that step prepare made of all tables: they have the labels."""
    return next(
        each
        for each in reversed(lineage)
        if each.manifest.producer.step == "prepare" and made.dataset.id in each.manifest.parents
    )


def _reference(model: OpenModel, begins: datetime) -> Reference:
    """The test rows of before: what was known of the version when it began."""
    table, parents = judged_table(model)
    moments = table.column(_time(model)).cast(pa.timestamp("us"))
    before = table.filter(pc.less(moments, pa.scalar(begins.replace(tzinfo=None), pa.timestamp("us"))))
    words = f"the {len(before):,} test rows of {model.name} before {begins:%Y-%m-%d}"
    return before, parents, words


def _moments(order: ReplayOrder, windows: Sequence[LogWindow]) -> list[datetime]:
    """When somebody looks: at each window's end, and when its labels have come."""
    ends = {window.end for window in windows}
    return sorted(end + SETTLING for end in ends | {end + order.label_delay for end in ends})


def _asked(table: ibis.Table, prepared: ibis.Table, model: OpenModel, made: Preparation) -> ibis.Table:
    """The raw rows with their moments, and beside them the labels, which nobody is told yet."""
    known = prepared.select(*made.key, **{_LABEL: prepared[model.task.label]})
    if shared := [name for name in (_LABEL, _MOMENT) if name in table.columns]:
        raise BadInput(f"column {shared[0]!r} of the rows has a name that the replay needs; rename it")
    asked = table.left_join(known, list(made.key))
    asked = asked.select(*table.columns, _LABEL)
    return asked.mutate(asked[_time(model)].cast("timestamp").name(_MOMENT)).order_by(_MOMENT, *made.key)


def _served(order: ReplayOrder, stand: _Stand, model: OpenModel, asked: ibis.Table, store: Store, folder: Path) -> int:
    """Ask for every row of the windows and keep the labels, each with the moment when it comes; how many were refused.

    Rows of one day (of one hour, where windows are hours) are one request: what is known only later is not in it.
    """
    version, files = served_version(model.name)
    refused = 0
    with closing(open_judge(files, threads=2, store=model.store)) as judge:
        loaded = Loaded(f"{version.model}/{version.version}", judge)
        settings = LogSettings(
            spool=folder / "spool", queue_bytes=_ROOM, spool_bytes=_ROOM, seconds=3600.0, drain_seconds=3600.0
        )
        log = PredictionLog(settings, store)
        log.start()
        labels: list[tuple[list[dict[str, Any]], datetime]] = []
        step: Span = "hour" if order.every == "hour" else "day"
        for window in stand.windows:
            progress(f"{model.name}: {window.name} is served")
            rows = _between(asked, window).cache()
            for day in windows_between(window.begin, window.end, step):
                table = _between(rows, day).to_pyarrow()
                refused += _answer(table, judge, loaded, log, _late(model))
                labels.append((_labels(table, model), day.end + order.label_delay))
        if not log.stop():
            raise BadInput("the log of the replay did not come to its end; try again")
    form = latest_form(store, version.model)
    for told, moment in labels:
        if told:
            keep_labels(store, form, told, "the replay's labels", moment)
    return refused


def _between(rows: ibis.Table, window: LogWindow) -> ibis.Table:
    return rows.filter((rows[_MOMENT] >= _naive(window.begin)) & (rows[_MOMENT] < _naive(window.end)))


def _late(model: OpenModel) -> frozenset[str]:
    """Columns whose values nobody has when the question is asked."""
    made = model.preparation
    assert made is not None, "rows with a moment were prepared"  # noqa: S101 - see `_time`
    return made.known_later


def _answer(table: pa.Table, judge: FormJudge, loaded: Loaded, log: PredictionLog, late: frozenset[str]) -> int:
    """Ask for rows at once, and log each moment's as a request of its own; how many rows were refused."""
    if not len(table):
        return 0
    given = {
        name: [None] * len(table) if name in late else table.column(name).to_pylist()
        for name in table.column_names
        if name in judge.schema.names or name in {each.name for each in judge.served.carried}
    }
    given = {name: [_plain(value) for value in values] for name, values in given.items()}
    refused = 0
    carried = RowSchema(judge.served.carried)
    for places, columns, answer in _accepted(judge, given, np.arange(len(table))):
        if answer is None:
            refused += len(places)
            continue
        columns = columns | carried.given_columns(_taken(given, places), len(places))
        moments = np.asarray(table.column(_MOMENT).cast(pa.int64()).to_numpy())[places]
        for moment in np.unique(moments):
            inside = np.flatnonzero(moments == moment)
            called = None if answer.called is None else answer.called[inside]
            part = Answer(answer.values[inside], called)
            own = {name: values[inside] for name, values in columns.items()}
            log.observed(Exchange(new_request_id(), float(moment) / 1e6, loaded, own, part))
    return refused


Accepted = tuple[np.ndarray[Any, Any], Columns, Answer | None]


def _accepted(judge: FormJudge, given: Mapping[str, list[Any]], places: np.ndarray[Any, Any]) -> Iterator[Accepted]:
    """The rows that the server takes, with its answers; those that it refuses, found by halves, without one."""
    try:
        columns = judge.schema.given_columns(_taken(given, places), len(places))
        yield places, columns, judge.judge(columns)
    except InvalidRows:
        if len(places) == 1:
            yield places, {}, None
            return
        for half in np.array_split(places, 2):
            yield from _accepted(judge, given, half)


def _taken(given: Mapping[str, list[Any]], places: np.ndarray[Any, Any]) -> dict[str, list[Any]]:
    return {name: [values[place] for place in places] for name, values in given.items()}


def _labels(table: pa.Table, model: OpenModel) -> list[dict[str, Any]]:
    """Labels by the row's key, as somebody would send them."""
    there = table.filter(pc.is_valid(table.column(_LABEL)))
    made = model.preparation
    assert made is not None, "rows with a moment were prepared"  # noqa: S101 - see `_time`
    keys = {name: [_plain(value) for value in there.column(name).to_pylist()] for name in made.key}
    labels = there.column(_LABEL).to_pylist()
    names = labels if model.task.regression else [model.task.classes[int(label)] for label in labels]
    return [
        {name: values[place] for name, values in keys.items()} | {"label": label} for place, label in enumerate(names)
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of any type of the contract
    """As JSON has it."""
    return value.isoformat() if isinstance(value, datetime | date) else value


def _naive(moment: datetime) -> ibis.Value:
    return ibis.literal(moment.astimezone(UTC).replace(tzinfo=None))


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


__all__ = ["Raised", "ReplayOrder", "ReplayedVersion", "replay"]
