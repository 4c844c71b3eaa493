"""The command that tells who did what."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.running.terminal import Json, console, plain, print_json

About = Annotated[str, typer.Argument(metavar="[NAME]", help="A model, or what is operated; by default all.")]


def add_audit_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(epilog="Examples: `sluice audit` · `sluice audit houses --json` · `sluice audit --cluster`")
    def audit(
        about: About = "",
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Tell who promoted, approved, refused, rolled back or asked for a run, and why, oldest first."""
        from sluice.operator.audit import deeds
        from sluice.running.project_runs import use_project_home
        from sluice.storage.locations import default_store

        use_project_home()
        with place(cluster, namespace, context):
            found = deeds(default_store(), about)
        if as_json:
            print_json([asdict(each) for each in found])
            return
        table = Table("when", "who", "did", "about", "why", box=None, header_style="dim", pad_edge=False)
        for each in found:
            table.add_row(*(plain(text) for text in (each.when, each.who, each.did, each.about, each.reason)))
        console().print(table if found else "nothing on record yet", highlight=False)
