"""Watching a model from files, a registered model's test rows or a prediction log: one window, or all of a history."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from sluice.artifacts.bundles import Bundle
from sluice.contract.reading import Column, parse_contract
from sluice.core.errors import BadInput
from sluice.core.files import written
from sluice.core.progress import progress
from sluice.core.words import near
from sluice.monitoring.records import WatchSettings, WatchState, WindowRecord
from sluice.monitoring.reference import window_tables
from sluice.monitoring.row_tables import (
    MOMENT,
    OURS,
    RowForm,
    RowTable,
    connection,
    form_of,
    literal,
    open_table,
    quoted,
)
from sluice.monitoring.watching import Watch
from sluice.running.window_records import publish_window, settled
from sluice.storage.locations import default_store

if TYPE_CHECKING:
    from sluice.registry.predicting import OpenModel


@dataclass(frozen=True)
class WatchOrder:
    """What is to be watched.

    Attributes:
        reference: A file, a folder of Parquet files, or a registered model: then the rows that it was judged by.
        current: A file or a folder, such as a prediction log.
        model: A registered model that forecasts rows which have no forecast, and whose log rows alone are looked at.
        label: The column with the label.
        labels: A file with labels that came later, by key.
        key: The columns that rows and their labels are joined by.
        time: The column with each row's moment.
        contract: A data contract, for the clauses that faults point to.
        columns: The columns to watch; by default all numbers and texts.
        left_out: Columns that are not watched.
        state: A file that keeps what the next window has to know.
        settings: How to watch; an empty metric is chosen by the problem.
    """

    reference: str
    current: Path
    settings: WatchSettings
    model: str = ""
    label: str = ""
    labels: Path | None = None
    key: tuple[str, ...] = ()
    time: str = ""
    contract: Path | None = None
    columns: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    state: Path | None = None


@dataclass(frozen=True)
class Watched:
    """What was found.

    Attributes:
        model: `MODEL/version`, or empty.
        reference: In words.
        windows: In the order of time.
        settings: As they were used.
        parents: Ids of the published folders that it rests on.
    """

    model: str
    reference: str
    windows: list[WindowRecord]
    settings: WatchSettings
    parents: tuple[str, ...] = field(default=())

    @property
    def page(self) -> bool:
        """Whether somebody has to look now: the latest window's alarms."""
        return any(each.severity == "page" for each in self.windows[-1].alarms)


def watch(order: WatchOrder) -> Watched:
    """Watch.

    Raises:
        BadInput: A file or column is missing or wrong, or there is nothing to compare.
        EnvironmentFault: The registry or the store is down.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-") as name, connection() as opened:
        opened.execute(f"SET temp_directory = {literal(name)}")
        prepared = _Prepared(order, Path(name))
        with prepared.model() as model:
            reference_path, label, words, parents = prepared.reference(model)
            table = open_table(reference_path, opened)
            form = form_of(
                table,
                order.label or label,
                order.time if order.time in table.columns else "",
                order.columns,
                order.left_out,
            )
            current = _present(prepared.current(model, form), opened, order, model)
            if masked := [name for name in current.masked if name in form.features]:
                form = replace(form, features={n: kind for n, kind in form.features.items() if n not in masked})
            current = _aligned(current, form)
            contract = prepared.contract(model)
        _check_alike(table, form, current, order)
        settings = settled(order.settings, form.problem)
        form = replace(form, time=order.time or form.time or (MOMENT if MOMENT in current.columns else None))
        begun = _state(order.state)
        version = f"{model.version.model}/{model.version.version}" if model else ""
        reference_form = form if form.time in table.columns else replace(form, time=None)
        watcher = Watch(table, reference_form, settings, contract, begun, version)
        windows = _windows(current, form, settings)
        records = []
        for title, each in windows:
            if len(windows) > 1:
                progress(f"window {title}: {each.rows:,} rows")
            records.append(watcher.judge(each, title))
        if order.state:
            with written(order.state) as stream:
                stream.write((watcher.state.model_dump_json(by_alias=True, indent=1) + "\n").encode())
    return Watched(version, words, records, settings, parents)


def publish_windows(watched: Watched) -> list[Bundle]:
    """Publish each window's record as a dataset of the store, whose parents are what it was held to."""
    store = default_store()
    return [
        publish_window(store, each, watched.settings, watched.model, watched.reference, watched.parents)
        for each in watched.windows
    ]


@dataclass(frozen=True)
class _Prepared:
    """The files that a watch reads, made where a model has to say something first."""

    order: WatchOrder
    folder: Path

    @contextmanager
    def model(self) -> "Iterator[OpenModel | None]":
        """The registered model, where one is named or the reference is one."""
        is_file = Path(self.order.reference).exists()
        named = self.order.model or ("" if is_file else self.order.reference)
        if not named:
            yield None
            return
        if not is_file and Path(self.order.reference).suffix in (".parquet", ".csv", ".pq"):
            raise BadInput(f"{self.order.reference} is not there; check the path")
        from sluice.registry.predicting import opened_model

        with opened_model(named) as opened:
            yield opened

    def reference(self, model: "OpenModel | None") -> tuple[Path, str, str, tuple[str, ...]]:
        """The reference's file, its label, what it is in words, and the folders that it rests on."""
        path = Path(self.order.reference)
        if path.exists():
            if model is None:
                return path, "", str(path), ()
            return self._with_forecasts(path, model), model.task.label, str(path), ()
        from sluice.running.judged_rows import judged_table

        assert model is not None, "what is no file is a model"  # noqa: S101 - see `model`
        table, parents = judged_table(model)
        target = self.folder / "reference.parquet"
        pq.write_table(table, target)
        words = f"the {len(table):,} test rows of {model.version.model}/{model.version.version}"
        return target, model.task.label, words, parents

    def current(self, model: "OpenModel | None", form: RowForm) -> Path:
        """The present rows' file."""
        return self._with_forecasts(self.order.current, model) if model and form.forecasts else self.order.current

    def _with_forecasts(self, path: Path, model: "OpenModel") -> Path:
        """The same rows with the model's forecasts beside them, where they have none."""
        if path.is_dir() or not path.exists():
            return path
        with connection() as opened:
            found = open_table(path, opened)
            if found.note or any(name == "prediction" or name.startswith("probability_") for name in found.columns):
                return path
            names = ", ".join(map(quoted, found.columns))
            raw = opened.sql(f"SELECT {names} FROM {found.sql}").to_arrow_table()  # noqa: S608 - quoted
        answers = model.predict(path).table
        added = [name for name in answers.column_names if name == "prediction" or name.startswith("probability_")]
        for name in added:
            raw = raw.append_column(name, answers.column(name))
        target = self.folder / f"{path.stem}-judged.parquet"
        pq.write_table(raw, target)
        return target

    def contract(self, model: "OpenModel | None") -> Mapping[str, Column]:
        """What a contract says of columns: a file's, or that of the lake that the model learned from."""
        if self.order.contract:
            if not self.order.contract.is_file():
                raise BadInput(f"--contract {self.order.contract} is not there; check the path")
            text = self.order.contract.read_text(encoding="utf-8")
            found = parse_contract(text, str(self.order.contract))
            return {name: column for table in found.tables.values() for name, column in table.columns.items()}
        return model.preparation.columns if model and model.preparation else {}


def _present(path: Path, opened: Any, order: WatchOrder, model: "OpenModel | None") -> RowTable:  # noqa: ANN401 - DuckDB
    table = open_table(path, opened)
    digest = f"{OURS}digest"
    if digest in table.columns:
        found = [str(row[0]) for row in table.query(f"DISTINCT {digest}", "ORDER BY 1")]
        if model:
            if model.version.digest not in found:
                raise BadInput(
                    f"{path} has no row of {model.version.model}/{model.version.version} (digest "
                    f"{model.version.digest[:12]}); it has {', '.join(each[:12] for each in found)}"
                )
            table = table.within(f"{digest} = {literal(model.version.digest)}")
        elif len(found) > 1:
            shown = ", ".join(each[:12] for each in found)
            raise BadInput(f"{path} has rows of {len(found)} models ({shown}); name one by --model")
    return _labelled(table, order) if order.labels else table


def _aligned(current: RowTable, form: RowForm) -> RowTable:
    """A prediction log's rows, with the names that the reference has for the same."""
    names: dict[str, str] = {}
    if current.note and form.forecasts:
        own = form_of(current)
        if sorted(own.classes) != sorted(form.classes):
            raise BadInput(
                f"{current.name} has the classes {', '.join(own.classes) or 'of a number'}, and the reference "
                f"{', '.join(form.classes) or 'of a number'}; hold a model to its own rows"
            )
        if form.classes:
            places = [own.classes.index(name) for name in form.classes]
            names |= {name: own.forecasts[place] for name, place in zip(form.forecasts, places, strict=True)}
            if form.called and own.called:
                names[form.called] = own.called
        else:
            names[form.forecasts[0]] = own.forecasts[0]
    if form.time and form.time not in current.columns and MOMENT in current.columns:
        names[form.time] = MOMENT
    return current.with_names({new: old for new, old in names.items() if new != old})


def _labelled(table: RowTable, order: WatchOrder) -> RowTable:
    """The rows with the labels that came later; of several for one row the last in the file holds."""
    assert order.labels is not None  # noqa: S101 - the caller looked
    came = open_table(order.labels, table.connection)
    if not order.key or not order.label:
        raise BadInput("--labels needs --label COLUMN and --key COLUMN, by which rows and labels are joined")
    for name, where in [(each, table) for each in order.key] + [(each, came) for each in (*order.key, order.label)]:
        if name not in where.columns:
            raise BadInput(f"{where.name} has no column {name!r}{near(name, list(where.columns))}")
    keys = ", ".join(map(quoted, order.key))
    label = quoted(order.label)
    rank = "file_row_number" if "file_row_number" in came.sql else "1"
    last = f"(SELECT {keys}, arg_max({label}, {rank}) AS {label} FROM {came.sql} GROUP BY {keys})"  # noqa: S608 - quoted
    own = [name for name in table.columns if name != order.label]
    places = ", filename, file_row_number" if "file_row_number" in table.sql else ""
    chosen = f" WHERE {table.where}" if table.where else ""
    rows = f"(SELECT {', '.join(map(quoted, own))}{places} FROM {table.sql}{chosen})"  # noqa: S608 - quoted
    sql = f"(SELECT * FROM {rows} LEFT JOIN {last} USING ({keys}))"  # noqa: S608 - quoted
    columns = {name: table.columns[name] for name in own} | {order.label: came.columns[order.label]}
    joined = replace(table, sql=sql, columns=columns, where="")
    return replace(joined, rows=int(joined.query("count(*)")[0][0]))


def _check_alike(table: RowTable, form: RowForm, current: RowTable, order: WatchOrder) -> None:
    there = [name for name in form.features if name in current.columns]
    if not there:
        raise BadInput(f"{current.name} has none of the columns of {table.name}: {', '.join(list(form.features)[:8])}")
    if order.label and order.label not in table.columns:
        raise BadInput(f"{table.name} has no column {order.label!r}{near(order.label, list(table.columns))}")
    if order.time and order.time not in current.columns:
        raise BadInput(f"{current.name} has no column {order.time!r}{near(order.time, list(current.columns))}")


def _windows(current: RowTable, form: RowForm, settings: WatchSettings) -> Sequence[tuple[str, RowTable]]:
    if settings.span == "none":
        return [(Path(current.name).name, current)]
    if not form.time or form.time not in current.columns:
        raise BadInput("--windows needs each row's moment; name its column by --time")
    found = window_tables(current, form.time, settings.span)
    if not found:
        raise BadInput(f"{current.name}: no row has a moment in {form.time!r}")
    return found


def _state(path: Path | None) -> WatchState | None:
    if path is None or not path.exists():
        return None
    try:
        return WatchState.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise BadInput(
            f"--state {path} is no state of a watch ({str(error).splitlines()[0]}); remove it to begin anew"
        ) from None
