"""Reading what was logged: the rows of a model between two moments, each once, and how many are known to be missing."""

import difflib
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.engine.parquet import ARROW_TYPES, write_parquet
from sluice.predictions.forms import (
    CALLED,
    FORECAST,
    MOMENT,
    NOTE,
    OWN_TYPES,
    PROBABILITY,
    REQUEST,
    SEQUENCE,
    LogForm,
    WriterRecord,
    read_form,
)
from sluice.predictions.places import LogFile, Writer, log_files, logged_models, writers
from sluice.storage.stores import Store

_BATCH_ROWS = 65_536
_HOUR = timedelta(hours=1)
_NUMBERS = {"int64", "float64", "bool"}


@dataclass(frozen=True)
class Loss:
    """Rows that were answered and are not in the log.

    Attributes:
        writer: Who numbered them.
        rows: How many.
        first: They were answered after this moment.
        last: And before this one.
        reason: Why, in a few words.
    """

    writer: str
    rows: int
    first: datetime
    last: datetime
    reason: str


@dataclass(frozen=True)
class LoggedRows:
    """The rows of a model between two moments.

    Attributes:
        model: The registered model.
        since: The first moment.
        until: The moment after the last one.
        classes: By their place in the columns `sluice_probability_N`; of several versions, all of theirs.
        forms: What the files say of themselves, one a writer, the latest first; none where there is no row.
        losses: What is known to be missing.
        writing: Writers that may be writing: rows of theirs may come yet, and what they lost is not known.
    """

    model: str
    since: datetime
    until: datetime
    classes: tuple[str, ...]
    forms: tuple[LogForm, ...]
    losses: tuple[Loss, ...]
    writing: tuple[Writer, ...]
    _store: Store = field(repr=False)
    _files: tuple[LogFile, ...] = field(repr=False)

    @property
    def lost(self) -> int:
        """How many rows are known to be missing."""
        return sum(loss.rows for loss in self.losses)

    @property
    def sampling(self) -> float:
        """The least share of requests that a writer logged."""
        return min((form.sampling for form in self.forms), default=1.0)

    @property
    def types(self) -> dict[str, str]:
        """All columns with their types, as a data contract names these."""
        found = dict(OWN_TYPES)
        if self.classes:
            found[CALLED] = "string"
            found |= {PROBABILITY.format(place): "float64" for place in range(len(self.classes))}
        if not self.classes or any(not form.classes for form in self.forms):
            found[FORECAST] = "float64"
        for form in self.forms:
            for each in form.fields:
                found[each.name] = _common(found.get(each.name, each.type), each.type)
        return found

    def batches(
        self, columns: Sequence[str] | None = None, *, roles: Sequence[str] = (), versions: Sequence[str] = ()
    ) -> Iterator[Any]:
        """The rows as `pyarrow.RecordBatch`, one file's in memory at a time.

        Args:
            columns: Which columns; None for all. One that a version did not have is null in its rows.
            roles: Only rows of these; none for all.
            versions: Only rows of these; none for all.

        Raises:
            BadInput: A column is in no file, or a file is not what its name says.
            EnvironmentFault: The store failed.
        """
        types = self.types
        wanted = list(types if columns is None else columns)
        if unknown := [name for name in wanted if name not in types]:
            raise BadInput(f"the log of {self.model} has no column {unknown[0]!r}; it has {', '.join(types)}")
        schema = pa.schema([(name, ARROW_TYPES[types[name]]) for name in wanted])
        passed: dict[str, int] = {}
        for file in self._files:
            with _opened(self._store, file) as (parquet, form):
                if (roles and form.role not in roles) or (versions and form.version not in versions):
                    continue
                given = _given(form, wanted, self.classes)
                needed = sorted({*(name for name in given.values() if name), MOMENT, SEQUENCE})
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=needed):
                    kept = batch.filter(self._mask(batch, passed.get(file.writer, 0)))
                    if kept.num_rows:
                        yield _shaped(kept, given, schema)
            passed[file.writer] = max(passed.get(file.writer, 0), file.after)

    @contextmanager
    def table(self, columns: Sequence[str] | None = None, engine: Any = None, **only: Sequence[str]) -> Iterator[Any]:  # noqa: ANN401 - an Ibis backend
        """The rows as an Ibis table, for the time of the `with` block.

        Args:
            columns: See `batches`.
            engine: An Ibis backend on DuckDB; by default one of this call's own.
            only: `roles` and `versions`, see `batches`.
        """
        wanted = list(self.types if columns is None else columns)
        schema = pa.schema([(name, ARROW_TYPES[self.types[name]]) for name in wanted if name in self.types])
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            path = Path(folder, "rows.parquet")
            write_parquet(self.batches(wanted, **only), schema, path)
            yield (engine or duckdb_engine()).read_parquet(str(path), table_name=f"predictions_{id(self)}")

    def _mask(self, batch: Any, after: int) -> Any:  # noqa: ANN401 - pyarrow has no stubs
        """Which rows are within the moments, and not there already from another file of the same writer."""
        moments = batch.column(batch.schema.get_field_index(MOMENT))
        first, last = (pa.scalar(_bare(moment), moments.type) for moment in (self.since, self.until))
        within = pc.and_(pc.greater_equal(moments, first), pc.less(moments, last))
        numbers = batch.column(batch.schema.get_field_index(SEQUENCE))
        return pc.and_(within, pc.greater_equal(numbers, after))


def read_predictions(store: Store, model: str, since: datetime, until: datetime) -> LoggedRows:
    """What a model answered from `since` to before `until`; nothing but the files' metadata is read yet.

    Args:
        store: Where the log is.
        model: The registered model.
        since: With a zone, as `until`.
        until: See above.

    Raises:
        BadInput: The moments are the wrong way round; a file is none of a log.
        EnvironmentFault: The store failed.
    """
    if since >= until:
        raise BadInput(
            f"predictions from {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S}: give the earlier first"
        )
    listed = log_files(store, model, since, until)
    files = sorted(listed, key=lambda file: (file.key.rpartition("/")[0], file.writer, file.start, file.after))
    found: dict[str, LogForm] = {}
    for file in reversed(files):
        if file.writer not in found:
            with _opened(store, file) as (_, form):
                found[file.writer] = form
    forms = tuple(sorted(found.values(), key=lambda form: form.writer, reverse=True))
    classes = tuple(dict.fromkeys(name for form in forms for name in form.classes))
    known = [writer for writer in writers(store, model) if writer.begun < until]
    losses = [*_gaps(files), *_tails(store, model, known, files, since, until)]
    writing = tuple(writer for writer in known if writer.ended is None)
    return LoggedRows(model, since, until, classes, forms, tuple(losses), writing, store, tuple(files))


def latest_form(store: Store, model: str) -> LogForm:
    """What the rows of a model's log are, as its latest writer has it.

    Raises:
        BadInput: Nothing of the model was ever logged, or by another Sluice.
        EnvironmentFault: The store failed.
    """
    known = writers(store, model)
    if not known:
        names = logged_models(store)
        near = difflib.get_close_matches(model, names, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        told = f"it has those of {', '.join(names[:10])}" if names else "it has none"
        raise BadInput(f"{store.uri} has no predictions of {model!r}; {told}{meant}")
    key = known[-1].key
    try:
        return WriterRecord.model_validate_json(store.get_bytes(key)).form
    except ValidationError:
        raise BadInput(f"{store.uri}/{key} is no record of a writer that this Sluice reads; move it away") from None


def _gaps(files: Sequence[LogFile]) -> Iterator[Loss]:
    """Rows that files cover and have not, and files that are gone between two that are there."""
    before: dict[str, LogFile] = {}
    for file in sorted(files, key=lambda file: (file.writer, file.start, file.after)):
        if lost := file.after - file.start - file.rows:
            yield Loss(file.writer, lost, file.first, file.last, "they were dropped, or their process was killed")
        previous = before.get(file.writer)
        if previous and file.start > previous.after:
            missing = file.start - previous.after
            yield Loss(file.writer, missing, previous.last, file.first, "a file of the log is gone")
        if previous is None or file.after > previous.after:
            before[file.writer] = file


def _tails(
    store: Store, model: str, known: Sequence[Writer], files: Sequence[LogFile], since: datetime, until: datetime
) -> Iterator[Loss]:
    """Rows that writers numbered after the last one in a file."""
    for writer in known:
        if writer.ended is None or writer.observed is None or not since <= writer.ended:
            continue
        last = _last_file(store, model, writer, files)
        lost = writer.observed - (last.after if last else 0)
        begin = last.last if last else writer.begun
        if lost > 0 and begin < until:
            reason = "their process was killed" if writer.how == "killed" else "they were dropped before its end"
            yield Loss(writer.name, lost, begin, writer.ended, reason)


def _last_file(store: Store, model: str, writer: Writer, files: Sequence[LogFile]) -> LogFile | None:
    """A writer's last file: among those known, else by looking back from its end, hour by hour."""
    until = (writer.ended or writer.begun) + _HOUR
    later = [file for file in files if file.writer == writer.name]
    begin = max((file.last for file in later), default=writer.begun)
    while until > begin:
        earlier = max(until - _HOUR, begin)
        if found := [file for file in log_files(store, model, earlier, until) if file.writer == writer.name]:
            return max(found, key=lambda file: file.after)
        until = earlier
    return max(later, key=lambda file: file.after, default=None)


@dataclass(frozen=True)
class Answered:
    """A version that answered a request, or judged it in its shadow.

    Attributes:
        model: The registered model.
        version: Of it.
        digest: SHA-256 of its files.
        role: `champion`, `challenger` or `shadow`.
        moment: When.
        rows: How many rows of the request are in the log.
        said: Of the first of them: the class called, or the number.
    """

    model: str
    version: str
    digest: str
    role: str
    moment: datetime
    rows: int
    said: str | float | None


_MOST_WAIT = timedelta(minutes=10)  # from a request's beginning to its answer


def which(
    store: Store, request: str, model: str = "", since: datetime | None = None, until: datetime | None = None
) -> list[Answered]:
    """Tell which model answered a request: whoever gave the answer comes first, then shadows.

    Args:
        store: Where the log is.
        request: Its id, as the answer had it.
        model: The registered model, if it is known: it spares looking at the others.
        since: Where to look; by default the request's own time, which an id of Sluice's tells.
        until: See above.

    Returns:
        Empty where the log has no row of it.

    Raises:
        BadInput: The id tells no time, and no moments are given.
        EnvironmentFault: The store failed.
    """
    from sluice.predictions.request_ids import moment_of

    made = moment_of(request)
    if made is None and (since is None or until is None):
        raise BadInput(f"request {request[:80]!r} has no id of Sluice's, which tells its time; give since and until")
    begin = since or (made or datetime.now(UTC)) - timedelta(seconds=1)
    end = until or (made or datetime.now(UTC)) + _MOST_WAIT
    found: list[Answered] = []
    for name in [model] if model else logged_models(store):
        for file in log_files(store, name, begin, end):
            with _opened(store, file) as (parquet, form):
                found += _answered(parquet, form, request)
    return sorted(found, key=lambda each: (each.role == "shadow", each.moment, each.version))


def _answered(parquet: Any, form: LogForm, request: str) -> list[Answered]:  # noqa: ANN401 - pyarrow has no stubs
    said = CALLED if form.classes else FORECAST
    table = parquet.read(columns=[REQUEST, MOMENT, said])
    rows = table.filter(pc.equal(table.column(REQUEST), request))
    if not len(rows):
        return []
    moment = rows.column(MOMENT)[0].as_py().replace(tzinfo=UTC)
    first = rows.column(said)[0].as_py()
    return [Answered(form.model, form.version, form.digest, form.role, moment, len(rows), first)]


@contextmanager
def _opened(store: Store, file: LogFile) -> Iterator[tuple[Any, LogForm]]:
    """A file of the log, and what it says of itself."""
    where = f"{store.uri}/{file.key}"
    source = store.local_path(file.key) or io.BytesIO(store.get_bytes(file.key))
    try:
        parquet = pq.ParquetFile(source)
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0][:200]
        raise BadInput(
            f"{where} is no Parquet file that can be read ({said}); move it away: its rows are lost"
        ) from None
    with parquet:
        form = read_form((parquet.schema_arrow.metadata or {}).get(NOTE.encode()), where)
        if form.writer != file.writer or parquet.metadata.num_rows != file.rows:
            raise BadInput(f"{where} holds other rows than its name says; move it away, or name it as it was")
        yield parquet, form


def _given(form: LogForm, wanted: Sequence[str], classes: Sequence[str]) -> dict[str, str | None]:
    """For each column wanted, the file's own; None where it has none."""
    own = {*OWN_TYPES, *form.forecasts, *(each.name for each in form.fields)}
    places = {name: PROBABILITY.format(place) for place, name in enumerate(form.classes)}
    shares = {PROBABILITY.format(place): places.get(name) for place, name in enumerate(classes)}
    return {name: shares.get(name, name if name in own else None) for name in wanted}


def _shaped(batch: Any, given: dict[str, str | None], schema: Any) -> Any:  # noqa: ANN401 - pyarrow has no stubs
    arrays = []
    for each in schema:
        name = given[each.name]
        if name is None:
            arrays.append(pa.nulls(batch.num_rows, each.type))
            continue
        column = batch.column(batch.schema.get_field_index(name))
        arrays.append(column if column.type == each.type else column.cast(each.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _common(one: str, other: str) -> str:
    """A type that holds the values of both: of a column that the contract changed between two versions."""
    if one == other:
        return one
    return "float64" if {one, other} <= _NUMBERS else "string"


def _bare(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
