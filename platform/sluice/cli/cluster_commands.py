"""The commands that work on a cluster: submit, follow, cancel, connect."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluice.cluster.access import NAMESPACE, Target
from sluice.core.environment import changed_variables, variables
from sluice.core.errors import BadInput
from sluice.core.parameter_checks import check_numbers
from sluice.core.settings import settings
from sluice.running import catalog
from sluice.running.arguments import parse_arguments
from sluice.running.run_records import find_submitted
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.cluster.connection import Cluster
    from sluice.cluster.submit import Order
    from sluice.running import project_runs


def _finite(hours: float) -> float:
    check_numbers({"hours": hours})
    return hours


Namespace = Annotated[str, typer.Option(help="The namespace that Sluice is installed in.")]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig; by default the current one.")]
Fused = Annotated[bool, typer.Option("--fused", help="All steps in one pod: faster, less to see in KFP.")]
Hours = Annotated[float, typer.Option("--hours", help="The longest to follow the run.", callback=_finite)]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]


def submit(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            help="A project's folder, a name that `sluice pipelines` lists, or FILE.py[:NAME], FILE.yaml of your own; "
            "by default the project here."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    fused: Fused = False,
    name: Annotated[str, typer.Option(help="The run's name; by default made of time and pipeline.")] = "",
    experiment: Annotated[str, typer.Option(help="KFP's experiment; by default named after the pipeline.")] = "",
    resources: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP.NAME=VALUE", help="What a step may take, such as train.memory=4Gi; repeatable."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end.")] = True,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, reuse no earlier result.")] = False,
    hours: Hours = 24.0,
    as_json: Json = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Run the project that this folder is of, or a pipeline by its name, on a cluster, as a KFP run."""
    from sluice.cluster import submit as submission
    from sluice.cluster.connection import connected
    from sluice.cluster.resources import images_of, layered, of_project, parse_settings
    from sluice.running import project_runs

    project: project_runs.ProjectOrder | None = None
    asked, images = parse_settings(resources or []), {}
    if pipeline and not Path(pipeline).is_dir():
        chosen = catalog.find_pipeline(pipeline)
        arguments = parse_arguments(chosen, parameter or [])
    else:
        project = project_runs.order(project_runs.here(Path(pipeline or ".")), parameter or [], in_store=True)
        chosen, arguments = project.pipeline, project.arguments
        declared = project.file.project
        asked, images = layered(asked, of_project(declared)), images_of(declared)
    order = submission.Order(chosen, arguments, fused, fresh, name, experiment, resources=asked, step_images=images)
    if project:
        order = replace(order, given=project.given, project=str(project.file.folder))
    with connected(Target(namespace, context)) as cluster:
        if project:
            hand_over(cluster, project, quiet=as_json)
        begin(cluster, order, wait=wait, as_json=as_json, hours=hours)


def begin(cluster: "Cluster", order: "Order", *, wait: bool, as_json: bool, hours: float) -> None:
    """Start a run, tell of it, and follow it where that is wanted.

    Args:
        cluster: Where.
        order: What.
        wait: Follow it to its end.
        as_json: Print one JSON document.
        hours: The longest to follow.
    """
    from sluice.cluster import submit as submission

    chosen, run = order.pipeline, submission.start(cluster, order)
    if not as_json:
        given = order.arguments if order.given is None else order.given
        changed = ", ".join(f"{key}={value}" for key, value in given.items())
        console().print(f"[bold]{chosen.name}[/] {plain(changed)}", highlight=False)
        console().print(f"[dim]run {plain(run)} in {plain(cluster.place)}[/]", highlight=False, soft_wrap=True)
    if wait:
        _to_the_end(cluster, chosen, run, fused=order.fused, as_json=as_json, hours=hours)
    elif as_json:
        print_json({"run": run})
    else:
        _tell_ways(run, chosen.reference, fused=order.fused)


def hand_over(cluster: "Cluster", project: "project_runs.ProjectOrder", *, quiet: bool) -> None:
    """Put a project's code, and data that lie in its folder, into the cluster's store.

    Args:
        cluster: Where.
        project: Whose run is about to begin.
        quiet: Say nothing of it.
    """
    from sluice.project.wheelhouse import CLUSTER
    from sluice.storage.locations import default_store

    for note in () if quiet else project.notes:
        console().print(f"[yellow]•[/] {plain(note)}", highlight=False, soft_wrap=True)
    with changed_variables(cluster.variables):
        project.publish(default_store(), CLUSTER)
        told = project.copy_lake()
    if told and not quiet:
        console().print(f"[dim]{plain(told)}[/]", highlight=False, soft_wrap=True)


def follow(
    run: RunId,
    pipeline: Annotated[
        str | None, typer.Argument(help="The pipeline that it runs; not needed where this machine submitted it.")
    ] = None,
    fused: Fused = False,
    hours: Hours = 24.0,
    as_json: Json = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Follow a run that was submitted before, and show its result."""
    from sluice.cluster.connection import OBJECT_STORE, connected
    from sluice.cluster.forwarding import MEND_SECONDS

    asked = find_submitted(run)
    if not (pipeline or asked):
        raise BadInput(f"run {run!r} was not submitted from here; name its pipeline: sluice follow {run} PIPELINE")
    chosen = catalog.find_pipeline(pipeline or (asked.reference if asked else ""))
    run, fused = (asked.id, fused or asked.fused) if asked else (run, fused)
    with connected(Target(namespace, context), (OBJECT_STORE,), seconds=MEND_SECONDS) as cluster:
        _to_the_end(cluster, chosen, run, fused=fused, as_json=as_json, hours=hours)


def cancel(run: RunId, namespace: Namespace = NAMESPACE, context: Context = None) -> None:
    """End a run on a cluster, and its pods."""
    from sluice.cluster import run_tracking
    from sluice.cluster.connection import connected
    from sluice.cluster.kfp_api import KfpApi

    with connected(Target(namespace, context), ()) as cluster:
        KfpApi(cluster.kfp).cancel(run)
        console().print(f"run {plain(run)} is being cancelled", highlight=False)
        run_tracking.settle(cluster, run, "cancelled")


def connect(
    command: Annotated[list[str] | None, typer.Argument(help="By default your shell.", show_default=False)] = None,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Run a command, or a shell, with a cluster's KFP, MLflow and object store within its reach."""
    from sluice.cluster.connection import connected

    words = command or [settings().system.shell]
    with connected(Target(namespace, context)) as cluster:
        if not command:
            console().print(f"{plain(cluster.place)} is within reach of this shell until you leave it", highlight=False)
        try:
            code = subprocess.run(words, env=variables() | dict(cluster.variables), check=False).returncode  # noqa: S603
        except OSError as error:
            raise typer.BadParameter(f"{words[0]}: {error.strerror}") from None
    raise typer.Exit(code)


def add_commands(app: typer.Typer) -> None:
    """Give the commands their places in the `sluice` command."""
    app.command(
        epilog="Examples: `sluice submit` · `sluice submit -p seed=7 --fused` · "
        "`sluice submit --resources train.memory=8Gi` · `sluice submit --no-wait --json | jq -r .run`"
    )(submit)
    app.command(epilog="Example: `sluice follow 1f0c… supervised`")(follow)
    app.command(epilog="Example: `sluice cancel 1f0c…`")(cancel)
    app.command(epilog="Examples: `sluice connect` · `sluice connect -- python ask_mlflow.py`")(connect)


def _to_the_end(
    cluster: "Cluster", chosen: catalog.Pipeline, run: str, *, fused: bool, as_json: bool, hours: float
) -> None:
    """Follow and show; Ctrl-C leaves the run as it is."""
    from sluice.cli import run_summary
    from sluice.cluster import submit as submission

    terminal = console()
    try:
        done = submission.finish(cluster, chosen, run, terminal, fused=fused, quiet=as_json, seconds=hours * 3600)
    except KeyboardInterrupt:
        _tell_ways(run, chosen.reference, fused=fused)
        sys.exit(130)
    if as_json:
        print_json(run_summary.body(done))
    else:
        run_summary.show(done, terminal)


def _tell_ways(run: str, pipeline: str, *, fused: bool) -> None:
    told = console()
    told.print("the run goes on without you", highlight=False)
    words = f"{run} {pipeline}{' --fused' if fused else ''}"
    told.print(f"  sluice follow {plain(words)}   see how it ends", highlight=False)
    told.print(f"  sluice cancel {plain(run)}   end it", highlight=False)
