"""The command that forecasts a whole dataset or file into a dataset with lineage."""

from pathlib import Path
from typing import Annotated

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import Model, OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.running.terminal import Json, print_json

_FILES = (".csv", ".json", ".parquet", ".pq")
Rows = Annotated[
    str,
    typer.Argument(
        metavar="DATASET|FILE",
        help="A dataset of the step ingest (address, id or its beginning), or a CSV, JSON or Parquet file.",
    ),
]


def add_score_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(epilog="Examples: `sluice score houses 3f2a9c01` · `sluice score houses@challenger new.parquet`")
    def score(
        model: Model,
        rows: Rows,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Forecast all rows of a dataset or a file into a dataset with lineage, a batch in memory at a time."""
        from contextlib import redirect_stdout
        from sys import stderr, stdout

        from sluice.components.score.run import run
        from sluice.running.project_runs import use_project_home

        use_project_home()
        file = Path(rows) if rows.lower().endswith(_FILES) else None
        with place(cluster, namespace, context), redirect_stdout(stderr if as_json else stdout):
            bundle = run(model, dataset="" if file else rows, rows=file)
        if as_json:
            print_json({"id": bundle.id, "uri": bundle.uri, "rows": bundle.rows, "details": bundle.manifest.details})
