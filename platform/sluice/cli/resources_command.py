"""`sluice resources`: a project as the custom resources that the operator works with."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from sluice.cli.cluster_commands import Context, Namespace, hand_over
from sluice.cluster.access import NAMESPACE, Target


def resources(
    project: Annotated[str, typer.Argument(help="The project's folder.")] = ".",
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the resources; by default made of the project's name.")] = "",
    fused: Annotated[bool, typer.Option(help="All steps of a run in one pod.")] = True,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Hand a project's code and data over to a cluster, and print its resources for `kubectl apply` or for Git."""
    from sluice.cluster.connection import OBJECT_STORE, connected
    from sluice.operator.project_resource import resources_of
    from sluice.running import project_runs

    order = project_runs.order(project_runs.here(Path(project)), parameter or [], in_store=True)
    with connected(Target(namespace, context), (OBJECT_STORE,), kfp=False) as cluster:
        hand_over(cluster, order, quiet=True)
    made = resources_of(order, namespace, fused=fused, name=name)
    typer.echo(yaml.safe_dump_all(made, sort_keys=False, allow_unicode=True, width=120), nl=False)


def add_resources_command(app: typer.Typer) -> None:
    """Give the command its place in the `sluice` command."""
    app.command(epilog="Example: `sluice resources | kubectl apply -f -`")(resources)
