"""The watch of one version on the prediction log, from run to run.

Labels come late: a window that was judged is judged again when more of its labels have come, and both records stay. Its
labels count as evidence once: when most of them are there, or so long after its end as a person said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.artifacts.provenance import find_bundle
from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.monitoring.log_states import LogState, SeenWindow, read_state, write_state
from sluice.monitoring.records import WatchSettings, WatchState, WindowRecord
from sluice.monitoring.row_tables import MOMENT, RowForm, RowTable, form_of, open_table
from sluice.monitoring.watching import BY_LABELS, Watch
from sluice.predictions.places import labels_files
from sluice.registry.predicting import OpenModel
from sluice.running.judged_rows import judged_table
from sluice.running.logged_windows import (
    LogWindow,
    Usage,
    VersionRows,
    first_moment,
    read_window,
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
FIRST_WINDOWS = 31
"""So many windows of the past the first run looks at."""
_MOST_WINDOWS = 400
_MOST_OPEN = 60  # windows whose labels are still waited for
_ENOUGH_LABELS = 0.8
_GROWN = 1.1  # so many times the labels that a window had are worth another look


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
Reference = tuple[pa.Table, tuple[str, ...], str]
"""The rows that windows are held to, the ids of what they rest on, and what they are in words."""


def own_test_rows(model: OpenModel) -> Reference:
    """The rows that a version was judged by when it was registered."""
    table, parents = judged_table(model)
    return table, parents, f"the {len(table):,} test rows of {model.name}"


class VersionWatch:
    """A version's watch: `look` judges what is over by a moment; what it has to know stands in the store."""

    def __init__(
        self,
        store: Store,
        model: OpenModel,
        settings: WatchSettings,
        place: tuple[Path, duckdb.DuckDBPyConnection],
        label_delay: timedelta | None = None,
        reference: Callable[[OpenModel], Reference] = own_test_rows,
    ) -> None:
        """Read what earlier runs left.

        Args:
            store: With the log, the labels, and the states of earlier runs.
            model: The version.
            settings: How to watch; an empty metric is chosen by the problem.
            place: A folder for files, and the DuckDB that reads them.
            label_delay: See `log_watching.LogOrder`.
            reference: Gives the rows that windows are held to; asked once, when the first window has rows.
        """
        self._store, self._model, self._delay, self._reference = store, model, label_delay, reference
        self._folder, self._opened = place
        self.settings = settled(settings, problem_of(model.task))
        self._state = self._checked(read_state(store, model.version.model, model.version.version, settings.span))
        self._usage: dict[str, Usage] = {}
        self._published: list[str] = []
        self._watch: Watch | None = None
        self._form: RowForm | None = None
        self._parents = self._state.reference if self._state else ()
        self._words = f"the test rows of {model.name}"

    def _checked(self, state: LogState | None) -> LogState | None:
        """The state, unless it is of other files: evidence that was gathered otherwise is none for this watch."""
        if state is None or state.digest != self._model.version.digest:
            return None
        if state.settings == self.settings:
            return state
        progress(f"{self._model.name} is watched otherwise than before: its evidence begins anew, its windows stay")
        return state.model_copy(update={"watch": WatchState(), "settings": self.settings})

    def look(
        self,
        until: datetime,
        since: datetime | None = None,
        deliver: Deliver | None = None,
        last: datetime | None = None,
    ) -> WatchedVersion:
        """Judge the windows that are over by a moment and were not yet, and those again whose labels have come.

        Args:
            until: The moment; labels that came later are not known.
            since: Windows before are left out.
            deliver: Sends new alarms; those that it fails to send are tried again by the next run.
            last: Windows that end later are left out.

        Raises:
            BadInput: The model has no log, or the reference cannot be found.
            EnvironmentFault: The store failed.
        """
        self._published = []
        seen = {each.name: each for each in self._state.windows} if self._state else {}
        records = dict(self._earlier(seen))
        again = self._again(seen, records, until)
        new = []
        for window in self._windows(min(until - SETTLING, last or until), since):
            records[window.name], seen[window.name] = self._judged(window, until)
            new.append(window.name)
        kept = sorted(seen.values(), key=lambda each: each.begin)[-_MOST_WINDOWS:]
        waiting = self._state.unsent if self._state else ()
        unsent, fault = self._delivered([*waiting, *again, *new], records, deliver)
        if new or again or waiting != unsent:
            self._keep(until, tuple(kept), unsent)
        return WatchedVersion(
            self._model.name,
            self._model.version.digest,
            self._words,
            self.settings,
            [records[each.name] for each in kept if each.name in records],
            tuple(new),
            tuple(again),
            tuple(self._published),
            dict(self._usage),
            fault,
        )

    def _windows(self, end: datetime, since: datetime | None) -> list[LogWindow]:
        """The windows to be judged now."""
        span = self.settings.span
        if self._state:
            return windows_between(max(since, self._state.until) if since else self._state.until, end, span)
        first = first_moment(self._store, self._model.version.model)  # a model without a log is no calm one
        return windows_between(since, end, span) if since else windows_between(first, end, span)[-FIRST_WINDOWS:]

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
                deliver(self._model.name, record)
            except SluiceError as error:
                unsent, fault = [*unsent, name], error
        return tuple(unsent), fault

    def _keep(self, until: datetime, windows: tuple[SeenWindow, ...], unsent: tuple[str, ...]) -> None:
        begun = self._state.watch if self._state else WatchState()
        self._state = LogState(
            digest=self._model.version.digest,
            settings=self.settings,
            reference=self._parents,
            until=max(each.end for each in windows),
            looked=until,
            watch=self._watch.state if self._watch else begun,
            windows=windows,
            unsent=unsent,
        )
        write_state(self._store, self._model.version.model, self._model.version.version, self._state)

    def _earlier(self, seen: dict[str, SeenWindow]) -> Iterator[tuple[str, WindowRecord]]:
        """The records of earlier windows, out of the store."""
        for each in list(seen.values())[-_MOST_WINDOWS:]:
            if each.datasets:
                details = find_bundle(self._store, each.datasets[-1]).manifest.details
                self._usage[each.name] = usage_of(details.get("usage", {}))
                yield each.name, WindowRecord.model_validate(details["monitoring"])

    def _again(self, seen: dict[str, SeenWindow], records: dict[str, WindowRecord], until: datetime) -> list[str]:
        """Judge those windows again for which labels came."""
        if not self._state:
            return []
        looked, found = self._state.looked, list[str]()
        came = any(file.last > looked for file in labels_files(self._store, self._model.version.model, until))
        for each in [each for each in seen.values() if not each.weighed and each.rows][-_MOST_OPEN:]:
            over = self._delay is not None and until >= each.end + self._delay
            if not came and not over:
                continue
            window = LogWindow(each.name, each.begin, each.end)
            rows = self._rows(window, until)
            if rows is None:
                continue
            due = self._due(window, rows, until)
            if not due and rows.labelled < max(each.labelled * _GROWN, each.labelled + 1):
                continue
            record = self._learned(rows).judge_labels(self._table(rows), window.name, records[each.name], weigh=due)
            dataset = self._publish(record, window, rows.usage, until)
            records[each.name] = record
            seen[each.name] = each.model_copy(
                update={"labelled": rows.labelled, "weighed": due, "datasets": (*each.datasets, dataset)}
            )
            found.append(each.name)
        return found

    def _judged(self, window: LogWindow, until: datetime) -> tuple[WindowRecord, SeenWindow]:
        progress(f"{self._model.name}: window {window.name}")
        rows = self._rows(window, until)
        seen = SeenWindow(name=window.name, begin=window.begin, end=window.end, rows=0)
        if rows is None:
            record = empty_window(window.name)
            return record, seen.model_copy(
                update={"weighed": True, "datasets": (self._publish(record, window, Usage(), until),)}
            )
        due = self._due(window, rows, until)
        record = self._learned(rows).judge(self._table(rows), window.name, unweighed=() if due else (BY_LABELS,))
        self._usage[window.name] = rows.usage
        dataset = self._publish(record, window, rows.usage, until)
        return record, seen.model_copy(
            update={"rows": rows.rows, "labelled": rows.labelled, "weighed": due, "datasets": (dataset,)}
        )

    def _due(self, window: LogWindow, rows: VersionRows, until: datetime) -> bool:
        """Whether the window's labels count as evidence now."""
        if self._delay is not None:
            return until >= window.end + self._delay
        return rows.labelled >= _ENOUGH_LABELS * rows.rows

    def _rows(self, window: LogWindow, until: datetime) -> VersionRows | None:
        logged = read_window(self._store, self._model.version.model, window)
        version = self._model.version.version
        if version not in versions_in(logged):
            return None
        target = self._folder / "window.parquet"
        return write_version(logged, self._store, version, until, target)

    def _learned(self, rows: VersionRows) -> Watch:
        """The watch, which learns its reference when it is needed first."""
        if self._watch is None:
            table, self._parents, self._words = self._reference(self._model)
            target = self._folder / "reference.parquet"
            pq.write_table(table, target)
            reference = open_table(target, self._opened)
            time = str(rows.form.time) if rows.form.time in reference.columns else ""
            self._form = form_of(reference, self._model.task.label, time, self._columns(rows, reference))
            contract = self._model.preparation.columns if self._model.preparation else {}
            begun = self._state.watch if self._state else None
            self._watch = Watch(reference, self._form, self.settings, contract, begun, self._model.name)
        return self._watch

    def _columns(self, rows: VersionRows, reference: RowTable) -> list[str]:
        """The columns to watch: those that the log has as they were, without what only says which row it is.

        Left out is also what the contract says to be known only after the row's moment, for nobody can send it then: a
        project's code takes such a column as history, of earlier rows.
        """
        made, form = self._model.preparation, rows.form
        used = {name for names in made.sources.values() for name in names} if made else set[str]()
        named = {*form.key, form.time} - (used - {form.time})
        clear = [each.name for each in form.fields if not each.hashed and each.name in reference.columns]
        if made:
            named |= made.known_later
        return [name for name in clear if name not in named]

    def _table(self, rows: VersionRows) -> RowTable:
        table = open_table(rows.path, self._opened, champion=False)
        assert self._form is not None, "the reference was learned"  # noqa: S101 - see `_learned`
        if self._form.time and self._form.time not in table.columns:
            table = table.with_names({self._form.time: MOMENT})
        return table

    def _publish(self, record: WindowRecord, window: LogWindow, usage: Usage, until: datetime) -> str:
        model = self._model.version.model
        details = sources(self._store, model, window, until) | {
            "version": self._model.version.version,
            "digest": self._model.version.digest,
            "usage": {"roles": usage.by_role, "hours": usage.hours, "seconds": list(usage.seconds)},
        }
        bundle = publish_window(
            self._store, record, self.settings, self._model.name, self._words, self._parents, details
        )
        self._published.append(bundle.id)
        return bundle.id
