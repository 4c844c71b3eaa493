"""Predictions beside the labels that were known at a moment, and how long labels take to come."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from sluice.core.errors import BadInput
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.predictions.forms import MOMENT
from sluice.predictions.labels import ARRIVED, LABEL_CLASS, LABEL_NUMBER, NOTE
from sluice.predictions.places import LabelsFile, labels_files
from sluice.predictions.reader import LoggedRows
from sluice.storage.stores import Store

FIRST_ARRIVED, LABELS_KNOWN = "sluice_first_arrived", "sluice_labels_known"
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Delays:
    """How long labels took to come, from a row's answer to its first label.

    Attributes:
        labelled: Rows with a label.
        unlabelled: Rows without.
        corrected: Rows that had more than one label in turn.
        seconds: The delay by quantile (0.05, 0.25, 0.5, 0.75, 0.95 and 1); empty where no row has a label. A label that
            came before the answer has a delay below 0.
    """

    labelled: int
    unlabelled: int
    corrected: int
    seconds: dict[float, float]


@contextmanager
def with_labels(
    rows: LoggedRows,
    store: Store,
    as_of: datetime | None = None,
    columns: list[str] | None = None,
    **only: Sequence[str],
) -> Iterator[Any]:
    """Predictions with the label that was known at a moment, as an Ibis table, for the time of the `with` block.

    Beside the columns of the log it has `sluice_label` (a class) or `sluice_label_number`, null where none was known;
    `sluice_arrived`, when that label came; `sluice_first_arrived`, when the row's first one came; and
    `sluice_labels_known`, how many different ones came in turn.

    Args:
        rows: The predictions.
        store: Where the labels are.
        as_of: The moment; None for now.
        columns: Of the log; None for all.
        only: `roles` and `versions`, see `LoggedRows.batches`.

    Raises:
        BadInput: A file of labels is not what its name says, or labels name rows by a column that the log has not.
        EnvironmentFault: The store failed.
    """
    moment = (as_of or datetime.now(UTC)).astimezone(UTC)
    groups = _groups(store, labels_files(store, rows.model, moment))
    needed = [name for by in groups for name in by]
    if unknown := [name for name in needed if name not in rows.types]:
        raise BadInput(
            f"labels of {rows.model} name rows by {unknown[0]!r}, which the log from {rows.since:%Y-%m-%d %H:%M} to "
            f"{rows.until:%Y-%m-%d %H:%M} has not; give them by request and row"
        )
    wanted = list(dict.fromkeys([*(rows.types if columns is None else columns), *needed, MOMENT]))
    engine = duckdb_engine()
    with rows.table(wanted, engine, **only) as table:
        joined, parts = table, []
        for place, (by, labels) in enumerate(groups.items()):
            known = _latest(engine, labels, by, moment, place)
            keys = [
                joined[name].cast(known[f"k{place}_{i}"].type()) == known[f"k{place}_{i}"] for i, name in enumerate(by)
            ]
            joined = joined.left_join(known, keys).drop([f"k{place}_{i}" for i in range(len(by))])
            parts.append(place)
        yield _merged(joined, parts, "string" if rows.classes else "float64")


def delays(table: Any) -> Delays:  # noqa: ANN401 - an Ibis table
    """How long labels took to come.

    Args:
        table: As `with_labels` gives it.
    """
    waited = table[FIRST_ARRIVED].epoch_seconds() - table[MOMENT].epoch_seconds()
    labelled = table[ARRIVED].notnull()
    found = (
        table.aggregate(
            rows=table.count(),
            labelled=labelled.sum().coalesce(0),
            corrected=(table[LABELS_KNOWN] > 1).sum().coalesce(0),
            **{f"q{place}": waited.quantile(quantile) for place, quantile in enumerate(_QUANTILES)},
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    count = int(found["labelled"])
    seconds = {quantile: float(found[f"q{place}"]) for place, quantile in enumerate(_QUANTILES)} if count else {}
    return Delays(count, int(found["rows"]) - count, int(found["corrected"]), seconds)


def _groups(store: Store, files: list[LabelsFile]) -> dict[tuple[str, ...], Any]:
    """Labels by the columns that name their rows, as Arrow tables."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for file in files:
        where = f"{store.uri}/{file.key}"
        try:
            table = pq.read_table(io.BytesIO(store.get_bytes(file.key)))
            by = tuple(json.loads((table.schema.metadata or {})[NOTE.encode()])["by"])
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            said = str(error).partition("\n")[0][:200]
            raise BadInput(f"{where} is no file of labels that can be read ({said}); move it away") from None
        found.setdefault(by, []).append(table.replace_schema_metadata(None))
    return {by: pa.concat_tables(tables, promote_options="permissive") for by, tables in found.items()}


def _latest(engine: Any, labels: Any, by: tuple[str, ...], moment: datetime, place: int) -> Any:  # noqa: ANN401
    """One row a key: its latest label by then, when that came and when the first one did, and how many there were."""
    table = engine.create_table(f"labels_{place}", labels, temp=True)
    known = table.filter(table[ARRIVED] <= ibis.literal(moment.replace(tzinfo=None)))
    label = known[LABEL_CLASS if LABEL_CLASS in labels.column_names else LABEL_NUMBER]
    return known.group_by([known[name].name(f"k{place}_{i}") for i, name in enumerate(by)]).agg(
        label.argmax(known[ARRIVED]).name(f"label{place}"),
        known[ARRIVED].max().name(f"arrived{place}"),
        known[ARRIVED].min().name(f"first{place}"),
        label.nunique().name(f"known{place}"),
    )


def _merged(joined: Any, parts: list[int], kind: str) -> Any:  # noqa: ANN401 - Ibis tables
    """One label a row, the latest where it was named in two ways."""
    name = LABEL_CLASS if kind == "string" else LABEL_NUMBER
    if not parts:
        return joined.mutate(
            ibis.null(kind).name(name),
            ibis.null("timestamp").name(ARRIVED),
            ibis.null("timestamp").name(FIRST_ARRIVED),
            ibis.literal(0, "int64").name(LABELS_KNOWN),
        )
    label, arrived, first = (joined[f"{what}{parts[0]}"] for what in ("label", "arrived", "first"))
    known = joined[f"known{parts[0]}"].coalesce(0)
    for place in parts[1:]:
        later = (joined[f"arrived{place}"] > arrived).fill_null(arrived.isnull())
        label = ibis.ifelse(later, joined[f"label{place}"], label)
        arrived = ibis.ifelse(later, joined[f"arrived{place}"], arrived)
        first = ibis.least(first.coalesce(joined[f"first{place}"]), joined[f"first{place}"].coalesce(first))
        known += joined[f"known{place}"].coalesce(0)
    made = joined.mutate(label.name(name), arrived.name(ARRIVED), first.name(FIRST_ARRIVED), known.name(LABELS_KNOWN))
    return made.drop([f"{what}{place}" for what in ("label", "arrived", "first", "known") for place in parts])
