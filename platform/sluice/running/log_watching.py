"""Watching a registered model on the prediction log in the store, run after run: what a CronJob calls.

Each run judges the whole windows that are over since the last one, version by version, each held to the rows that it
was judged by when it was registered. Labels come late: a window that was judged is judged again when more of its labels
have come, and both records stay. Its labels count as evidence once, when most of them are there.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import BadInput, SluiceError
from sluice.core.progress import progress
from sluice.monitoring.log_states import LogState, SeenWindow, read_state, write_state
from sluice.monitoring.records import WatchSettings, WatchState, WindowRecord
from sluice.monitoring.row_tables import MOMENT, RowForm, RowTable, connection, form_of, literal, open_table
from sluice.monitoring.watching import BY_LABELS, Watch
from sluice.predictions.reader import read_predictions
from sluice.registry.predicting import OpenModel, opened_model
from sluice.running.judged_rows import judged_table
from sluice.running.logged_windows import (
    LogWindow,
    Usage,
    VersionRows,
    first_moment,
    read_window,
    recent,
    sources,
    usage_of,
    versions_in,
    windows_between,
    write_version,
)
from sluice.running.window_records import empty_window, problem_of, publish_window, settled
from sluice.storage.stores import Store

SETTLING = timedelta(minutes=2)
"""How long after its end a window is judged: a server keeps rows for a minute before the store has them."""
_MOST_WINDOWS = 400
_FIRST_WINDOWS = 31  # of the past that the first run looks at
_ENOUGH_LABELS = 0.8
_GROWN = 1.1  # so many times the labels that a window had are worth another look


@dataclass(frozen=True)
class LogOrder:
    """What is to be watched.

    Attributes:
        model: The registered model; an alias or a version watches that version alone.
        settings: How; an empty metric is chosen by the problem. The span is not `none`.
        since: Where the first run begins; None for the log's own beginning, 31 windows ago at most.
        until: The present moment; windows that are over then are judged.
        label_delay: So long after a window's end its labels count as evidence, however few of them have come; None to
            wait until four in five have.
    """

    model: str
    settings: WatchSettings
    until: datetime
    since: datetime | None = None
    label_delay: timedelta | None = None


@dataclass(frozen=True)
class WatchedVersion:
    """What was found of one version.

    Attributes:
        version: `MODEL/version`.
        digest: SHA-256 of its files.
        reference: In words.
        settings: As they were used.
        windows: The history that is known, the latest window last.
        new: Names of the windows that this run judged for the first time.
        restated: Names of those that it judged again, for labels that had come.
        published: Ids of the datasets that this run made.
        usage: What the version did, by window.
        fault: Why some alarms could not be sent; the next run tries again.
    """

    version: str
    digest: str
    reference: str
    settings: WatchSettings
    windows: list[WindowRecord]
    new: tuple[str, ...]
    restated: tuple[str, ...]
    published: tuple[str, ...]
    usage: dict[str, Usage]
    fault: SluiceError | None = None

    @property
    def page(self) -> bool:
        """Whether somebody has to look now: alarms of the latest window, and new ones of windows judged again."""
        last = [self.windows[-1]] if self.windows else []
        again = [each for each in self.windows if each.name in self.restated and any(a.new for a in each.alarms)]
        return any(alarm.severity == "page" for each in (*last, *again) for alarm in each.alarms)


Deliver = Callable[[str, WindowRecord], object]
"""Sends a window's new alarms; takes `MODEL/version` and the record."""


def watch_log(order: LogOrder, store: Store, deliver: Deliver | None = None) -> list[WatchedVersion]:
    """Watch every version that answered or was shadowed in the windows since the last run, the champion first.

    Args:
        order: What is to be watched.
        store: With the log, the labels, and the states of earlier runs.
        deliver: Sends new alarms; those that it fails to send are tried again by the next run.

    Raises:
        BadInput: The model has no log, or a version's reference cannot be found.
        EnvironmentFault: The registry or the store failed.
    """
    with opened_model(order.model) as champion:
        name, version = champion.version.model, champion.version.version
        found = [_watched(order, store, champion, deliver)]
    if order.model != name:  # one version was named
        return found
    for other in _others(order, store, name, version):
        try:
            with opened_model(f"{name}/{other}") as opened:
                found.append(_watched(order, store, opened, deliver))
        except BadInput as error:  # a version that was removed must not keep the champion's watch from its end
            progress(f"{name}/{other} is left out: {error}")
    return found


def _others(order: LogOrder, store: Store, model: str, champion: str) -> list[str]:
    """Versions that wrote in the latest windows."""
    begin = order.since or recent(order.until, order.settings.span, _FIRST_WINDOWS)
    if begin >= order.until:
        return []
    logged = read_predictions(store, model, begin, order.until)
    return [version for version in versions_in(logged) if version != champion]


def _windows(order: LogOrder, state: LogState | None, store: Store, model: str) -> list[LogWindow]:
    """The windows to be judged now."""
    span, until = order.settings.span, order.until - SETTLING
    if state:
        return windows_between(max(order.since, state.until) if order.since else state.until, until, span)
    if order.since:
        first_moment(store, model)  # a model without a log is no calm one
        return windows_between(order.since, until, span)
    return windows_between(first_moment(store, model), until, span)[-_FIRST_WINDOWS:]


def _watched(order: LogOrder, store: Store, model: OpenModel, deliver: Deliver | None) -> WatchedVersion:
    name, version = model.version.model, model.version.version
    state = _checked(read_state(store, name, version, order.settings.span), order, model)
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder, connection() as opened:
        opened.execute(f"SET temp_directory = {literal(folder)}")
        return _VersionWatch(order, store, model, state, Path(folder), opened).run(
            _windows(order, state, store, name), deliver
        )


def _checked(state: LogState | None, order: LogOrder, model: OpenModel) -> LogState | None:
    """The state, unless it is of other files: evidence that was gathered otherwise is none for this watch."""
    if state is None or state.digest != model.version.digest:
        return None
    given = (
        order.settings if order.settings.metric else order.settings.model_copy(update={"metric": state.settings.metric})
    )
    if state.settings == given:
        return state
    progress(f"{model.name} is watched otherwise than before: its evidence begins anew, its windows stay known")
    return state.model_copy(update={"watch": WatchState(), "settings": given})


class _VersionWatch:
    """One run of a version's watch."""

    def __init__(
        self,
        order: LogOrder,
        store: Store,
        model: OpenModel,
        state: LogState | None,
        folder: Path,
        opened: duckdb.DuckDBPyConnection,
    ) -> None:
        self.order, self.store, self.model = order, store, model
        self.state, self.folder, self.opened = state, folder, opened
        self.usage: dict[str, Usage] = {}
        self.published: list[str] = []
        self.watch: Watch | None = None
        self.parents: tuple[str, ...] = ()
        self.words = ""
        self.settings = settled(order.settings, problem_of(model.task))
        self.form: RowForm | None = None

    def run(self, windows: Sequence[LogWindow], deliver: Deliver | None) -> WatchedVersion:
        """Judge these windows, and those again whose labels have come."""
        seen = {each.name: each for each in self.state.windows} if self.state else {}
        records = dict(self._earlier(seen))
        again = self._again(seen, records)
        new = []
        for window in windows:
            records[window.name], seen[window.name] = self._judged(window)
            new.append(window.name)
        kept = sorted(seen.values(), key=lambda each: each.begin)[-_MOST_WINDOWS:]
        unsent, fault = self._delivered([*(self.state.unsent if self.state else ()), *again, *new], records, deliver)
        if new or again or (self.state and self.state.unsent != unsent):
            until = windows[-1].end if windows else kept[-1].end
            self._keep(until, tuple(kept), unsent)
        return WatchedVersion(
            self.model.name,
            self.model.version.digest,
            self.words or f"the test rows of {self.model.name}",
            self.settings,
            [records[each.name] for each in kept if each.name in records],
            tuple(new),
            tuple(again),
            tuple(self.published),
            self.usage,
            fault,
        )

    def _delivered(
        self, names: Sequence[str], records: Mapping[str, WindowRecord], deliver: Deliver | None
    ) -> tuple[tuple[str, ...], SluiceError | None]:
        """Send the new alarms of windows; the names of those that could not be sent, and why."""
        if deliver is None:
            return (), None
        unsent, fault = list[str](), None
        for name in dict.fromkeys(names):
            record = records.get(name)
            if record is None or not any(alarm.new for alarm in record.alarms):
                continue
            try:
                deliver(self.model.name, record)
            except SluiceError as error:
                unsent, fault = [*unsent, name], error
        return tuple(unsent), fault

    def _keep(self, until: datetime, windows: tuple[SeenWindow, ...], unsent: tuple[str, ...]) -> None:
        before = self.state
        state = LogState(
            digest=self.model.version.digest,
            settings=self.settings,
            reference=self.parents or (before.reference if before else ()),
            until=max(until, before.until) if before else until,
            looked=self.order.until,
            watch=self.watch.state if self.watch else (before.watch if before else WatchState()),
            windows=windows,
            unsent=unsent,
        )
        write_state(self.store, self.model.version.model, self.model.version.version, state)

    def _earlier(self, seen: dict[str, SeenWindow]) -> Iterator[tuple[str, WindowRecord]]:
        """The records of earlier windows, out of the store."""
        for each in list(seen.values())[-_MOST_WINDOWS:]:
            if each.datasets:
                details = find_bundle(self.store, each.datasets[-1]).manifest.details
                self.usage[each.name] = usage_of(details.get("usage", {}))
                yield each.name, WindowRecord.model_validate(details["monitoring"])

    def _again(self, seen: dict[str, SeenWindow], records: dict[str, WindowRecord]) -> list[str]:
        """Judge those windows again for which labels came."""
        found = []
        for each in [each for each in seen.values() if not each.weighed and each.rows]:
            window = LogWindow(each.name, each.begin, each.end)
            rows = self._rows(window)
            if rows is None:
                continue
            due = self._due(window, rows)
            if not due and rows.labelled < max(each.labelled * _GROWN, each.labelled + 1):
                continue
            record = self._watch(rows).judge_labels(self._table(rows), window.name, records[each.name], weigh=due)
            dataset = self._publish(record, window, rows.usage)
            records[each.name] = record
            seen[each.name] = each.model_copy(
                update={"labelled": rows.labelled, "weighed": due, "datasets": (*each.datasets, dataset)}
            )
            found.append(each.name)
        return found

    def _judged(self, window: LogWindow) -> tuple[WindowRecord, SeenWindow]:
        progress(f"{self.model.name}: window {window.name}")
        rows = self._rows(window)
        seen = SeenWindow(name=window.name, begin=window.begin, end=window.end, rows=0)
        if rows is None:
            record = empty_window(window.name)
            return record, seen.model_copy(
                update={"weighed": True, "datasets": (self._publish(record, window, Usage()),)}
            )
        due = self._due(window, rows)
        watch = self._watch(rows)
        record = watch.judge(self._table(rows), window.name, unweighed=() if due else (BY_LABELS,))
        self.usage[window.name] = rows.usage
        dataset = self._publish(record, window, rows.usage)
        return record, seen.model_copy(
            update={"rows": rows.rows, "labelled": rows.labelled, "weighed": due, "datasets": (dataset,)}
        )

    def _due(self, window: LogWindow, rows: VersionRows) -> bool:
        """Whether the window's labels count as evidence now."""
        if self.order.label_delay is not None:
            return self.order.until >= window.end + self.order.label_delay
        return rows.labelled >= _ENOUGH_LABELS * rows.rows

    def _rows(self, window: LogWindow) -> VersionRows | None:
        logged = read_window(self.store, self.model.version.model, window)
        version = self.model.version.version
        if version not in versions_in(logged):
            return None
        target = self.folder / "window.parquet"
        return write_version(logged, self.store, version, self.order.until, target)

    def _watch(self, rows: VersionRows) -> Watch:
        """The watch, which learns its reference when it is needed first."""
        if self.watch is None:
            table, self.parents = judged_table(self.model)
            target = self.folder / "reference.parquet"
            pq.write_table(table, target)
            self.words = f"the {len(table):,} test rows of {self.model.name}"
            reference = open_table(target, self.opened)
            time = rows.form.time if rows.form.time in reference.columns else ""
            clear = [each.name for each in rows.form.fields if not each.hashed and each.name in reference.columns]
            watched = [name for name in clear if name != time]
            form = form_of(reference, self.model.task.label, time or "", watched)
            self.form = form
            contract = self.model.preparation.columns if self.model.preparation else {}
            begun = self.state.watch if self.state else None
            self.watch = Watch(reference, form, self.settings, contract, begun, self.model.name)
        return self.watch

    def _table(self, rows: VersionRows) -> RowTable:
        table = open_table(rows.path, self.opened, champion=False)
        assert self.form is not None, "the reference was learned"  # noqa: S101 - see `_watch`
        if self.form.time and self.form.time not in table.columns:
            table = table.with_names({self.form.time: MOMENT})
        return table

    def _publish(self, record: WindowRecord, window: LogWindow, usage: Usage) -> str:
        model = self.model.version.model
        details = sources(self.store, model, window, self.order.until) | {
            "version": self.model.version.version,
            "digest": self.model.version.digest,
            "usage": {"roles": usage.by_role, "hours": usage.hours, "seconds": list(usage.seconds)},
        }
        parents = self.parents or (self.state.reference if self.state else ())
        bundle = publish_window(self.store, record, self.settings, self.model.name, self.words, parents, details)
        self.published.append(bundle.id)
        return bundle.id


__all__ = ["LogOrder", "WatchedVersion", "watch_log"]
