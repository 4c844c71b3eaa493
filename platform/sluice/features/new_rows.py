"""Features of new rows, made as those were made that a model learned from: by the same contract, code and expression.

New rows are treated as if they had just been added to the lake: where a feature looks at other rows of the same table,
such as what a customer bought before, those that the model learned from are there too.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import ibis
import pyarrow as pa

from sluice.artifacts.bundles import Bundle
from sluice.contract.reading import Column
from sluice.core.column_names import free_name, named
from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference
from sluice.engine.datasets import read_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.parquet import ARROW_TYPES
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.features.building import OpenedPrepare, build_table, open_prepare
from sluice.features.choice import near
from sluice.features.masks import mask
from sluice.features.new_row_answers import NewRows, gathered, gathered_batches
from sluice.features.preparations import Preparation
from sluice.features.roles import key_of
from sluice.features.row_files import RowFile
from sluice.leakage.row_wise import reads, reads_other_rows
from sluice.project.code import open_code
from sluice.storage.stores import Store

_SHOWN = 5


@dataclass(frozen=True)
class Given:
    """What a person hands in.

    Attributes:
        rows: The new rows.
        tables: Other tables by name, in place of those that the model's rows were made of; also more rows of the same
            table, which came before the new ones.
        dataset: Takes the place of the dataset that the model's rows were made of, for tables that are not in `tables`.
    """

    rows: RowFile
    tables: Mapping[str, RowFile] = field(default_factory=dict)
    dataset: Bundle | None = None


def prepare_new_rows(
    made: Preparation, given: Given, features: Sequence[str], optional: frozenset[str], store: Store
) -> NewRows:
    """Make the features of new rows.

    Args:
        made: How those of the model's rows were made.
        given: The rows, and what else there is.
        features: The features that the model takes.
        optional: Those that rows of the training lacked too: what they rest on may be absent.
        store: Where the project's code is.

    Raises:
        BadInput: A column is missing or holds values of another type, or the project's code refuses the rows.
        EnvironmentFault: The store or the disk failed.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))
        return _Making(made, given, opened_prepare(made, store), stack, scratch).made(features, optional)


@contextmanager
def new_row_batches(
    made: Preparation, given: Given, features: Sequence[str], optional: frozenset[str], store: Store
) -> Iterator[tuple[Iterator[NewRows], Sequence[str]]]:
    """As `prepare_new_rows`, for many rows: their features come batch by batch, for the time of the `with` block.

    The engine makes all of them at once, spilling to the disk, so that rows see the same other rows as in one piece.

    Returns:
        The batches, and what a person should know of how they were made.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-")))
        making = _Making(made, given, opened_prepare(made, store), stack, scratch)
        yield making.batches(features, optional), making.notes


class _Making:
    """One call of `prepare_new_rows`; `notes` is what a person should know of it."""

    def __init__(
        self, made: Preparation, given: Given, opened: OpenedPrepare | None, stack: ExitStack, scratch: Path
    ) -> None:
        self._made, self._given, self._opened, self._stack, self._scratch = made, given, opened, stack, scratch
        self._where = made.declared.prepare or f"table {made.table!r}"
        self._engine = duckdb_engine(scratch)
        self.notes: list[str] = []

    def made(self, features: Sequence[str], optional: frozenset[str]) -> NewRows:
        """The features, and for the row of each what identifies it."""
        asked, place, wide = self._expression(features, optional)
        return gathered(asked, place, self._made.key, wide, features, self._where, self.notes)

    def batches(self, features: Sequence[str], optional: frozenset[str]) -> Iterator[NewRows]:
        """The same, batch by batch."""
        asked, place, wide = self._expression(features, optional)
        return gathered_batches(asked, place, self._made.key, wide, features, self._where)

    def _expression(
        self, features: Sequence[str], optional: frozenset[str]
    ) -> tuple[ibis.Table, str, ibis.Table | None]:
        """The rows asked about, the column of their places, and the table with the features where that is another."""
        others, history = self._read_by_code()
        wanted = [*others, *([self._made.table] if history else [])]
        self._check_tables(wanted)
        asked, place = self._new_rows(self._absent(optional))
        tables = self._tables(wanted)
        rows = asked.drop(place)
        row_number = key_of(self._made.declared.rows, self._made.contract, rows)[1]
        if row_number:
            asked = asked.mutate(asked[place].name(row_number))
            rows = asked.drop(place)
        if history:
            rows = self._with_earlier(rows, tables.pop(self._made.table), row_number)
        wide = self._built({**self._empty, **tables, self._made.table: rows})
        self._check_features(wide, features)
        return asked, place, None if self._opened is None else wide

    @cached_property
    def _empty(self) -> dict[str, ibis.Table]:
        """The lake's tables without a row: to see which the code reads, and for those that it does not."""
        stated = self._made.contract.tables.items()
        return {name: self._engine.create_table(f"empty_{name}", schema=schema_of(t.columns)) for name, t in stated}

    def _read_by_code(self) -> tuple[list[str], bool]:
        """Which other tables the code reads, and whether a row depends on other rows of its own table."""
        if self._opened is None:
            return [], False
        given, name = dict(self._empty), self._made.table
        if row_number := key_of(self._made.declared.rows, self._made.contract, given[name])[1]:
            numbered = given[name].mutate(ibis.row_number().name(row_number))
            given[name] = self._engine.create_table(f"empty_{name}_numbered", numbered)
        wide = self._built(given)
        others = [other for other, table in given.items() if other != name and reads(wide, table)]
        return others, reads_other_rows(wide, given[name])

    def _check_tables(self, wanted: Sequence[str]) -> None:
        """Refuse tables that nothing would be read of."""
        for name in self._given.tables:
            if name not in self._made.contract.tables:
                raise BadInput(f"--table {name}: the lake has no such table{near(name, self._made.contract.tables)}")
            if name not in wanted:
                needs = f"they rest on {', '.join(wanted)}" if wanted else "they need no table beside the new rows"
                raise BadInput(f"--table {name}: the model's features rest on nothing of it; {needs}")

    def _absent(self, optional: frozenset[str]) -> list[str]:
        """The columns that the new rows lack, none of them needed.

        Raises:
            BadInput: One is: it identifies a row, or a feature rests on it, and the contract or every row of the
                training had a value.
        """
        file, made = self._given.rows, self._made
        absent = [name for name in made.columns if name not in file.columns]
        others = [name for name in file.columns if name not in made.columns]
        for name in absent:
            resting = [feature for feature, columns in made.sources.items() if name in columns]
            may = made.columns[name].nullable and set(resting) <= optional
            what = "which identifies a row" if name in made.key and self._opened else ""
            if resting and not may:
                several, shown = len(resting) > 1, ", ".join(map(repr, resting[:_SHOWN]))
                what = f"on which the feature{'s' * several} {shown} rest{'s' * (not several)}"
            if what:
                raise BadInput(f"{file.name} has no column {name!r}, {what}{_way_out(file, name, others)}")
            if resting:
                self.notes.append(f"{file.name} has no column {name!r}, so it counts as missing in every row")
        return absent

    def _new_rows(self, absent: Sequence[str]) -> tuple[ibis.Table, str]:
        """The new rows as the contract has them, with their places; and the name of the column of these."""
        made, file = self._made, self._given.rows
        table = self._without_wrong_label({n: c for n, c in made.columns.items() if n not in absent})
        place = free_name("place", made.columns)
        empty = _nulls({name: column for name, column in made.columns.items() if name not in table.columns})
        whole = table.mutate([*empty, ibis.row_number().name(place)]).select(*made.columns, place)
        masked, counts = mask({made.table: whole}, made.contract)
        for name, n in counts.items():
            column = name.removeprefix(f"{made.table}.")
            said = f"{n:,} value{'s' * (n > 1)} of {column!r} outside the contract's range or list"
            self.notes.append(f"{file.name}: {said} count{'s' * (n == 1)} as missing, as in training")
        return self._engine.create_table("new_rows", masked[made.table]), place

    def _without_wrong_label(self, columns: Mapping[str, Column]) -> ibis.Table:
        """Read the new rows; what stands in the label's column may be anything, for nobody knows it yet."""
        file, label = self._given.rows, self._made.declared.label.column
        try:
            return self._read(file, columns, "new")
        except BadInput as error:
            without = {name: column for name, column in columns.items() if name != label}
            if len(without) in (0, len(columns)):
                raise
            try:
                table = self._read(file, without, "new")
            except BadInput:
                raise error from None
            self.notes.append(f"{label!r}, which is forecast, is not read: {error}")
            return table

    def _read(self, file: RowFile, columns: Mapping[str, Column], name: str) -> ibis.Table:
        path = self._scratch / f"{name}.parquet"
        file.read(columns, path)
        return self._engine.read_parquet(str(path), table_name=f"file_{name}")

    def _tables(self, names: Sequence[str]) -> dict[str, ibis.Table]:
        """Other tables and earlier rows, as the contract takes them: from files, else from a dataset."""
        found: dict[str, ibis.Table] = {}
        for name in names:
            if file := self._given.tables.get(name):
                columns = self._made.contract.tables[name].columns
                for column in columns:
                    if column not in file.columns:
                        others = [each for each in file.columns if each not in columns]
                        raise BadInput(
                            f"{file.name} has no column {column!r} of the table {name}{_way_out(file, column, others)}"
                        )
                found[name] = self._read(file, columns, f"table_{name}")
        if left := [name for name in names if name not in found]:
            found |= self._of_dataset(left)
        return mask(found, self._made.contract)[0]

    def _of_dataset(self, names: Sequence[str]) -> dict[str, ibis.Table]:
        bundle = self._given.dataset or self._made.dataset
        found = {}
        try:
            _, tables = self._stack.enter_context(read_dataset(bundle.uri, self._engine))
        except BadInput as error:
            raise BadInput(f"{error}; or give --table {names[0]}=FILE, which {self._where} reads") from None
        for name in names:
            columns = list(self._made.contract.tables[name].columns)
            if name not in tables or not set(columns) <= set(tables[name].columns):
                raise BadInput(f"{bundle.uri} has no table {name!r} with the columns {', '.join(columns)}")
            whose = "" if self._given.dataset else ", as the model was learned"
            self.notes.append(
                f"{self._where} reads {name}: {bundle.manifest.tables[name].rows:,} rows of the dataset "
                f"{bundle.id[:12]}{whose}; --table {name}=FILE takes others"
            )
            found[name] = tables[name].select(*columns)
        return found

    def _with_earlier(self, rows: ibis.Table, earlier: ibis.Table, row_number: str | None) -> ibis.Table:
        """Earlier rows and new ones; a new row takes the place of an earlier one with its key."""
        identity = self._made.contract.tables[self._made.table].key or self._made.declared.rows.key
        if row_number:  # the new rows' begin with 0
            count = int(earlier.count().to_pyarrow().as_py())
            earlier = earlier.mutate((ibis.row_number() - count).name(row_number))
        elif all(name in rows.columns for name in identity):
            ours = rows.select(*identity).distinct()
            earlier = earlier.anti_join(ours, [earlier[name].identical_to(ours[name]) for name in identity])
        earlier = earlier.select(*rows.columns).cast(rows.schema())
        return self._engine.create_table("all_rows", earlier.union(rows, distinct=False))

    def _built(self, tables: Mapping[str, ibis.Table]) -> ibis.Table:
        if self._opened is None:
            return tables[self._made.table]
        return build_table(self._opened.function, self._where, tables, self._engine, self._opened.blamed())

    def _check_features(self, wide: ibis.Table, features: Sequence[str]) -> None:
        for name in (*features, *(self._made.key if self._opened else ())):
            if name not in wide.columns:
                raise BadInput(
                    f"{self._where} gives no column {name!r}, which the model takes, so another step of its pipeline "
                    "made it; hand a table with the features themselves to mlflow.pyfunc"
                )


def _way_out(file: RowFile, name: str, others: Sequence[str]) -> str:
    """What may be wrong with a file that lacks a column."""
    if separator := file.separator():
        return f"; its columns are separated by {separator}: save it with commas"
    return near(name, others) if others else "; add it"


def schema_of(columns: Mapping[str, Column]) -> ibis.Schema:
    """A table's columns as the contract has them."""
    return ibis.Schema.from_pyarrow(pa.schema([(name, ARROW_TYPES[column.type]) for name, column in columns.items()]))


def _nulls(columns: Mapping[str, Column]) -> list[ibis.Value]:
    return named({name: ibis.null(kind) for name, kind in schema_of(columns).items()}) if columns else []


def opened_prepare(made: Preparation, store: Store) -> OpenedPrepare | None:
    """The prepare function that a model's rows were made by, in the very version; None where there was none.

    Raises:
        BadInput: The manifest names no code, the store has it no more, or another version of its package is installed.
        EnvironmentFault: The store failed.
    """
    name = made.declared.prepare
    if not name:
        return None
    if is_reference(name) and not made.code:
        raise BadInput(f"the manifest behind the model names no code for {name}; train it again")
    code = open_code(f"{store.uri}/code/{made.code}.zip") if made.code else None
    if made.package and (here := PREPARE_FUNCTIONS.origin(name)) != made.package:
        raise BadInput(
            f"the model's rows were prepared by {name!r} of {made.package}, and here is "
            f"{here or 'no such prepare function'}; install that version, or train the model anew"
        )
    return open_prepare(name, code)
