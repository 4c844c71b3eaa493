"""What served versions said in a past that is lived again, and the monitor's judgement of it, week by week.

What is left in the store is what `sluice monitor` leaves of a server's log: a record of each window, and the state of
the watch of each version. A window is judged when it is over, and once more when its labels have come.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.artifacts.provenance import find_bundle
from sluice.engine.datasets import read_dataset
from sluice.monitoring.log_states import LogState, SeenWindow, write_state
from sluice.monitoring.records import WatchSettings, WindowRecord
from sluice.monitoring.row_tables import RowTable, form_of, open_table
from sluice.monitoring.watching import BY_LABELS, Watch
from sluice.operator.on_laptop.asked_rows import AskedRows
from sluice.problems.task import Task
from sluice.registry.predicting import OpenModel, opened_model
from sluice.registry.pyfunc_loader import DECISION, added_column
from sluice.running.logged_windows import LogWindow
from sluice.running.window_records import problem_of, publish_window, settled

_TEST = "test"
_LEAST_ROWS = 100  # of a window: fewer say nothing


@dataclass
class _Waiting:
    """A window whose labels are still to come."""

    window: LogWindow
    path: Path
    rows: pd.DataFrame
    record: WindowRecord
    seen: SeenWindow


@dataclass
class _Version:
    """A version that answered."""

    model: OpenModel
    watch: Watch
    parents: tuple[str, ...]
    words: str
    told: list[pd.DataFrame] = field(default_factory=list)
    waiting: list[_Waiting] = field(default_factory=list)
    seen: list[SeenWindow] = field(default_factory=list)


class WatchedVersions:
    """Versions of one model that answer rows and are watched.

    Args:
        name: The registered model.
        asked: All rows.
        settings: How windows are watched.
        label_delay: How long after its row's moment a label comes.
        place: A folder for files, and the DuckDB that reads them.
        stack: Closes what is opened.
    """

    def __init__(
        self,
        name: str,
        asked: AskedRows,
        settings: WatchSettings,
        label_delay: timedelta,
        place: tuple[Path, duckdb.DuckDBPyConnection],
        stack: ExitStack,
    ) -> None:
        self._name, self._asked, self._delay = name, asked, label_delay
        self.settings = settled(settings, problem_of(asked.task))
        self._folder, self._opened = place
        self._stack = stack
        self._versions: dict[str, _Version] = {}

    def answer(self, version: str, since: datetime, until: datetime) -> int:
        """A version answers the rows of a time; how many."""
        rows = self._asked.between(since, until)
        if len(rows):
            entry = self._version(version)
            entry.told.append(_said(entry.model, rows, self._asked.task))
        return len(rows)

    def window_ends(self, window: LogWindow) -> int:
        """Judge a window that is over, for each version that answered in it; how many were judged."""
        judged = 0
        for number, entry in self._versions.items():
            if not entry.told:
                continue
            rows = pd.concat(entry.told, ignore_index=True)
            entry.told = []
            if len(rows) >= _LEAST_ROWS:
                self._judge(number, entry, window, rows)
                judged += 1
        return judged

    def labels_come(self, now: datetime) -> int:
        """Judge again the windows all of whose labels have come by now; how many."""
        judged = 0
        for number, entry in self._versions.items():
            for each in [each for each in entry.waiting if each.window.end + self._delay <= now]:
                self._write(each.rows, each.path)
                record = entry.watch.judge_labels(self._table(each.path), each.window.name, each.record, weigh=True)
                dataset = self._published(number, entry, record, len(each.rows))
                changed = {"labelled": record.by_labels.labelled if record.by_labels else 0, "weighed": True}
                again = each.seen.model_copy(update=changed | {"datasets": (*each.seen.datasets, dataset)})
                entry.seen = [again if seen.name == again.name else seen for seen in entry.seen]
                entry.waiting.remove(each)
                self._keep(number, entry, now)
                judged += 1
        return judged

    def _judge(self, number: str, entry: _Version, window: LogWindow, rows: pd.DataFrame) -> None:
        path = self._folder / f"{number}-{window.name}.parquet"
        self._write(rows.drop(columns=[self._asked.task.label]), path)
        record = entry.watch.judge(self._table(path), window.name, unweighed=(BY_LABELS,))
        dataset = self._published(number, entry, record, len(rows))
        seen = SeenWindow(
            name=window.name, begin=window.begin, end=window.end, rows=len(rows), labelled=0, datasets=(dataset,)
        )
        entry.seen.append(seen)
        entry.waiting.append(_Waiting(window, path, rows, record, seen))
        self._keep(number, entry, window.end)

    def _published(self, number: str, entry: _Version, record: WindowRecord, rows: int) -> str:
        details = {"version": number, "digest": entry.model.version.digest, "usage": {"roles": {"champion": rows}}}
        made = publish_window(
            entry.model.store, record, self.settings, entry.model.name, entry.words, entry.parents, details
        )
        return made.id

    def _keep(self, number: str, entry: _Version, now: datetime) -> None:
        state = LogState(
            digest=entry.model.version.digest,
            settings=self.settings,
            reference=entry.parents,
            until=max(each.end for each in entry.seen),
            looked=now,
            watch=entry.watch.state,
            windows=tuple(entry.seen),
        )
        write_state(entry.model.store, self._name, number, state)

    def _version(self, number: str) -> _Version:
        if number not in self._versions:
            model = self._stack.enter_context(opened_model(f"{self._name}/{number}"))
            self._versions[number] = self._opened_version(number, model)
        return self._versions[number]

    def _opened_version(self, number: str, model: OpenModel) -> _Version:
        """A version, with the rows that it was judged by as its reference."""
        bundle = find_bundle(model.store, model.version.tags["sluice.splits"])
        task = model.task
        with read_dataset(bundle.uri) as (_, tables):
            columns = dict.fromkeys([*task.features, task.label, *([task.time] if task.time else [])])
            made = tables[_TEST].select(*columns).to_pandas()
        path = self._folder / f"{number}-reference.parquet"
        self._write(_said(model, made, task), path)
        table = self._table(path)
        form = form_of(table, task.label, task.time or "", list(task.features))
        watch = Watch(table, form, self.settings, {}, None, model.name)
        parents = (bundle.id, model.version.tags.get("sluice.models", ""))
        return _Version(model, watch, parents, f"the {len(made):,} test rows of {model.name}")

    def _table(self, path: Path) -> RowTable:
        return open_table(path, self._opened)

    def _write(self, rows: pd.DataFrame, path: Path) -> None:
        pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path)


def _said(model: OpenModel, rows: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Rows with what a model says of them, named as `sluice predict` names it."""
    features = rows[list(task.features)]
    answer, _ = model.judge(features, {} if task.regression else {DECISION: True})
    told = list(answer.columns) if task.regression else list(task.classes)
    said = rows.copy()
    if task.regression:
        said["prediction"] = answer[told[0]].to_numpy()
    else:
        said["prediction"] = answer[added_column(DECISION, told)].to_numpy()
        for name in told:
            said[f"probability_{name}"] = answer[name].to_numpy()
    return said
