"""The command that asks a registered model: raw rows in, forecasts out."""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.registry.predicting import Forecasts

Place = Callable[[bool, str, str | None], AbstractContextManager[None]]
_CSV, _PARQUET = (".csv",), (".parquet", ".pq")
_MOST_TOLD = 10  # lines about values that training never saw; `--unseen` writes all, row by row

Model = Annotated[
    str, typer.Argument(metavar="MODEL[@ALIAS|/VERSION]", help="Without either: the champion. Or the model's digest.")
]
RowsFile = Annotated[Path, typer.Argument(metavar="ROWS", help="A CSV, JSON or Parquet file with the raw columns.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .csv or .parquet file; by default standard output, as CSV.")
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="NAME=FILE",
        help="Another table that the project's code reads, or earlier rows of the same; by default those that the "
        "model learned from. Repeatable.",
    ),
]
Dataset = Annotated[
    str, typer.Option(help="Take such tables from this dataset of the step ingest; the beginning of its id will do.")
]
Unseen = Annotated[
    bool, typer.Option("--unseen", help="Add a column with the features whose value training never saw.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output file.")]
OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the cluster that the kubeconfig or SLUICE_KFP names.")]


def add_predict_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice predict houses new.csv -o forecasts.csv` · `sluice predict houses/3 new.parquet` · "
        "`sluice predict houses new.csv --table customers=customers.csv` · `sluice predict houses new.csv --cluster`"
    )
    def predict(
        model: Model,
        rows: RowsFile,
        output: Output = None,
        table: Tables = None,
        dataset: Dataset = "",
        unseen: Unseen = False,
        overwrite: Overwrite = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Forecast rows with a registered model: raw rows in, prepared as those that it learned from, forecasts out."""
        from sluice.registry.predicting import opened_model
        from sluice.running.project_runs import use_project_home

        _check_output(output, overwrite=overwrite)
        tables = _tables(table or [])
        use_project_home()
        with place(cluster, namespace, context), opened_model(model) as opened:
            done = opened.predict(rows, tables=tables, dataset=dataset, unseen=unseen)
        _write(done, output, as_json=as_json)


def _check_output(output: Path | None, *, overwrite: bool) -> None:
    """Refuse before the work what could not be written after it."""
    if output is None:
        return
    if output.suffix.lower() not in (*_CSV, *_PARQUET):
        raise BadInput(f"--output {output}: forecasts are written as .csv or .parquet; name such a file")
    if output.exists() and not overwrite:
        raise BadInput(f"{output} is there already; name another file, or replace it by --overwrite")


def _tables(pairs: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise BadInput(f"--table {pair!r} is not NAME=FILE, such as customers=customers.csv")
        if name in found:
            raise BadInput(f"--table {name} is given twice; keep one of them")
        found[name] = Path(path)
    return found


def _write(done: "Forecasts", output: Path | None, *, as_json: bool) -> None:
    if output:
        _write_file(done.table, output)
    elif not as_json:
        _write_csv(done.table, sys.stdout.buffer)
    if as_json:
        print_json(_body(done, output))
        return
    _tell(done, output)


def _write_file(table: Any, output: Path) -> None:  # noqa: ANN401 - pyarrow has no stubs
    from sluice.core.files import written

    with written(output) as stream:
        if output.suffix.lower() in _CSV:
            _write_csv(table, stream)
        else:
            import pyarrow.parquet as pq

            pq.write_table(table, stream)


def _write_csv(table: Any, stream: Any) -> None:  # noqa: ANN401 - pyarrow has no stubs; a binary stream
    from pyarrow import csv as arrow_csv

    header = io.StringIO()
    csv.writer(header, lineterminator="\n").writerow(table.column_names)  # pyarrow would quote every name
    stream.write(header.getvalue().encode())
    arrow_csv.write_csv(table, stream, arrow_csv.WriteOptions(include_header=False, quoting_style="needed"))
    stream.flush()


def _tell(done: "Forecasts", output: Path | None) -> None:
    """What a person should know, on standard error: the forecasts may be on standard output."""
    terminal = console(sys.stderr)
    lines = [f"note: {note}" for note in done.notes]
    lines += [f"unseen: {words}" for words in done.unseen[:_MOST_TOLD]]
    if len(done.unseen) > _MOST_TOLD:
        lines.append(f"unseen: {len(done.unseen) - _MOST_TOLD:,} more features; --unseen writes them row by row")
    where = f" in {output}" if output else ""
    version = f"{done.version.model}/{done.version.version}"
    lines.append(f"{done.forecasts:,} forecasts by {version} (digest {done.version.digest[:12]}, checked){where}")
    for line in lines:
        terminal.print(plain(line), highlight=False, soft_wrap=True)


def _body(done: "Forecasts", output: Path | None) -> dict[str, Any]:
    body = {
        "model": done.version.model,
        "version": done.version.version,
        "digest": done.version.digest,
        "rows": len(done.table),
        "forecasts": done.forecasts,
        "notes": list(done.notes),
        "unseen": list(done.unseen),
    }
    if output:
        return body | {"output": str(output)}
    rows = [{name: _json_value(value) for name, value in row.items()} for row in done.table.to_pylist()]
    return body | {"table": rows}


def _json_value(value: Any) -> Any:  # noqa: ANN401 - a cell
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
