"""The command that gives labels to what a model forecast."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.core.bounds import FILE_BYTES
from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.running.terminal import Json, console, plain, print_json

_PARQUET = (".parquet", ".pq")

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The registered model whose forecasts they are for.")]
LabelsFile = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS",
        help="A CSV or Parquet file: the label's column, and the key's columns or `request` and `row`.",
    ),
]
Arrived = Annotated[
    str | None, typer.Option(help="When they became known, such as 2026-03-01T14:00:00Z; left out: now.")
]


def add_feedback_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice feedback houses prices.csv` · "
        "`sluice feedback houses prices.csv --arrived 2026-03-01T14:00:00Z`"
    )
    def feedback(
        model: Model,
        labels: LabelsFile,
        arrived: Arrived = None,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Give labels to what a model forecast, also late, in parts or corrected; earlier ones are kept beside them."""
        from sluice.predictions.labels import keep_labels, moment_in
        from sluice.predictions.reader import latest_form
        from sluice.running.project_runs import use_project_home
        from sluice.storage.locations import default_store

        rows, moment = _rows(labels), moment_in(arrived)
        use_project_home()
        with place(cluster, namespace, context):
            store = default_store()
            taken = keep_labels(store, latest_form(store, model), rows, str(labels), moment)
        if as_json:
            print_json({"model": model, "labels": taken.labels, "without": taken.without, "by": list(taken.by)})
            return
        without = f"; {taken.without:,} rows have none" if taken.without else ""
        by = ", ".join(name.removeprefix("sluice_") for name in taken.by)
        console().print(plain(f"{taken.labels:,} labels of {model} kept, by {by}{without}"), highlight=False)


def _rows(path: Path) -> Sequence[Mapping[str, Any]]:
    """The file's rows."""
    with faults(str(path)):
        FILE_BYTES.check(path.stat().st_size, str(path), "give it in parts")
    if path.suffix.lower() in _PARQUET:
        return _parquet_rows(path)
    if path.suffix.lower() != ".csv":
        raise BadInput(f"{path}: labels are read from .csv or .parquet; give such a file")
    try:
        with faults(str(path)), path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise BadInput(f"{path}, line {reader.line_num}: it has another number of values than the header")
                rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no CSV file in UTF-8 ({error}); save it as one") from None
    return rows


def _parquet_rows(path: Path) -> Sequence[Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError) as error:
        said = str(error).partition("\n")[0][:200]
        raise BadInput(f"{path} is no Parquet file that can be read ({said})") from None
    return rows
