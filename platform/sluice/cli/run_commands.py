"""The commands that look at what runs left, and take runs up again: runs, datasets, show, report, resume, step."""

import importlib.metadata
import json
import webbrowser
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cluster.access import NAMESPACE, Target
from sluice.core.errors import BadInput
from sluice.running import catalog
from sluice.running.resuming import take_up
from sluice.running.run_records import RunRecord, all_runs, find_run, find_submitted
from sluice.running.terminal import Json, console, plain, print_json

Place = Callable[[bool, str, str | None], AbstractContextManager[None]]
OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the cluster that the kubeconfig or SLUICE_KFP names.")]
Most = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many to show.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Its id, the beginning or end of it, or `last`.")]
Pairs = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Change a parameter; repeatable.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run every step, reuse no earlier result.")]


def add_commands(app: typer.Typer, place: Place) -> None:
    """Give the commands their places in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """
    _add_version(app)
    app.command(epilog="Examples: `sluice runs` · `sluice runs -n 5 --json` · `sluice runs --cluster`")(runs)
    _add_looking(app, place)
    app.command(
        epilog="Examples: `sluice resume last` · `sluice resume 8f2c -p seed=7` · `sluice resume 1f0c --cluster`"
    )(resume)
    app.command(epilog="Examples: `sluice step last train` · `sluice step last prepare --pdb`")(step)


def _add_version(app: typer.Typer) -> None:
    def told(wanted: bool) -> None:
        if wanted:
            print(f"sluice {importlib.metadata.version('sluice')}")  # noqa: T201 - the command's output
            raise typer.Exit

    @app.callback()
    def main(
        version: Annotated[
            bool, typer.Option("--version", is_eager=True, callback=told, help="Print the version and end.")
        ] = False,
    ) -> None:
        pass


def runs(
    limit: Most = 20,
    as_json: Json = False,
    cluster: OnCluster = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """List the runs of this machine, or of a cluster, newest first."""
    from sluice.cli import inspection_tables as tables

    rows = _cluster_rows(limit, namespace, context) if cluster else [tables.run_row(run) for run in all_runs()[:limit]]
    if as_json:
        print_json(rows)
    elif rows:
        tables.show_runs(rows, console())
    else:
        console().print("no run yet", highlight=False)


def _cluster_rows(limit: int, namespace: str, context: str | None) -> list[dict[str, Any]]:
    from sluice.cli.inspection_tables import cluster_row
    from sluice.cluster.connection import connected
    from sluice.cluster.kfp_api import KfpApi

    with connected(Target(namespace, context), ()) as found:
        listed = KfpApi(found.kfp).runs(limit)
    asked = {run.id: find_submitted(run.id) for run in listed}
    return [cluster_row(run, mine.pipeline if (mine := asked[run.id]) else "") for run in listed]


def _add_looking(app: typer.Typer, place: Place) -> None:
    """Commands that read a store, the cluster's where that is wanted."""

    @app.command(epilog="Examples: `sluice datasets` · `sluice datasets --step split` · `sluice datasets --run last`")
    def datasets(
        step: Annotated[str, typer.Option(help="Only those that this step made.")] = "",
        run: Annotated[str, typer.Option(help="Only those that this run made first.")] = "",
        limit: Most = 20,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """List the datasets in the store, newest first."""
        from dataclasses import asdict

        from sluice.cli.inspection_tables import show_datasets
        from sluice.running.inspection import published
        from sluice.storage.locations import default_store

        of = find_run(run).id if run and not cluster else run
        with place(cluster, namespace, context):
            store = default_store()
            found = published(store, step=step, run=of)[:limit]
        if as_json:
            print_json([asdict(each) for each in found])
        elif found:
            show_datasets(found, console())
        else:
            console().print(f"no such dataset in {plain(store.uri)}", highlight=False, soft_wrap=True)

    @app.command(epilog="Examples: `sluice show last` · `sluice show 3f9c2a` · `sluice show houses@champion --json`")
    def show(
        what: Annotated[str, typer.Argument(metavar="ID", help="A run, a dataset or a model; its beginning will do.")],
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Show what is known of a run, a dataset or a model."""
        from sluice.cli.inspection_tables import show_found
        from sluice.running.inspection import find
        from sluice.storage.locations import default_store

        with place(cluster, namespace, context):
            found = find(what, default_store())
        if as_json:
            print_json({"kind": found.kind, "id": found.id, **{k: v for k, v in found.body.items() if k != "kind"}})
        else:
            show_found(found, console())

    @app.command(epilog="Examples: `sluice report last --open` · `sluice report 1f0c… --cluster`")
    def report(
        run: RunName,
        opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Print where a run's report is; of a run that a gate ended, the page that says why."""
        if cluster:
            with place(cluster, namespace, context):
                path = _fetched(run)
        else:
            path = _report(find_run(run))
        if as_json:
            print_json({"report": str(path)})
        else:
            console().print(plain(path), highlight=False, soft_wrap=True)
        if opened:
            webbrowser.open(path.as_uri())


def _report(run: RunRecord) -> Path:
    if not run.report:
        why = f": {run.error}" if run.error else ""
        raise BadInput(f"run {run.id} ({run.state}) has left no report{why}")
    path = Path(run.report)
    if not path.is_file():
        raise BadInput(f"{path} is gone; `sluice resume {run.id}` makes it anew")
    return path


def _fetched(run: str) -> Path:
    """A cluster run's report as a file of this machine."""
    from sluice.artifacts.run_results import REPORT, results_key
    from sluice.core.home import make_home
    from sluice.storage.locations import default_store

    asked = find_submitted(run)
    run, store = asked.id if asked else run, default_store()
    if not store.exists(results_key(run, REPORT)):
        raise BadInput(f"run {run} has left no report in {store.uri}; write its whole id, or see `sluice follow`")
    target = make_home() / "reports" / f"{run}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    store.get_file(results_key(run, REPORT), target)
    return target


def resume(
    run: RunName,
    parameter: Pairs = None,
    fresh: Fresh = False,
    as_json: Json = False,
    cluster: OnCluster = False,
    wait: Annotated[bool, typer.Option(help="On a cluster: follow the run to its end.")] = True,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Run again what a run did, with its parameters and the code of today: only what changed is done anew."""
    if cluster:
        from sluice.cli.cluster_resuming import resume_on_cluster

        resume_on_cluster(run, parameter or [], Target(namespace, context), fresh=fresh, wait=wait, as_json=as_json)
        return
    from sluice.cli import listing, run_summary
    from sluice.running import local_run
    from sluice.storage.locations import default_store

    before = find_run(run)
    if before.state == "running":
        raise BadInput(f"run {before.id} still runs; end it first, or let it end")
    again, terminal = take_up(before, parameter or []), console()
    arguments = again.project.publish(default_store()) if again.project else again.arguments
    if not as_json:
        listing.show_start(again.pipeline, again.given, terminal)
        terminal.print(f"[dim]takes up {plain(before.id)}, which {before.state}[/]", highlight=False, soft_wrap=True)
    result = local_run.run_pipeline(
        again.pipeline,
        arguments,
        terminal,
        quiet=as_json,
        reuse=not fresh,
        given=again.given,
        project=before.project,
        resumes=before.id,
    )
    if as_json:
        print_json(run_summary.body(result))
    else:
        run_summary.show(result, terminal)


def step(
    run: RunName,
    name: Annotated[str, typer.Argument(metavar="STEP", help="The step, as `sluice show RUN` lists it.")],
    debug: Annotated[bool, typer.Option("--pdb", help="Under Python's debugger.")] = False,
    really: Annotated[
        bool, typer.Option("--really", help="Write to the store, MLflow and the registry as a run does.")
    ] = False,
    as_json: Json = False,
    cluster: OnCluster = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Run one step of an earlier run here, with the inputs that it had; nothing is registered or kept of it."""
    from sluice.running import step_debugging

    if cluster:
        from sluice.cli.cluster_step_inputs import step_of_cluster

        done = step_of_cluster(run, name, Target(namespace, context), debug=debug, really=really)
    else:
        before = find_run(run)
        chosen = catalog.find_pipeline(before.reference)
        found = step_debugging.find_step(before, name)
        done = step_debugging.run_step(before, found, chosen, debug=debug, really=really)
    if as_json:
        print_json(step_debugging.body(done))
        return
    terminal = console()
    for key, value in done.outputs.items():
        was = f"; it was {json.dumps(done.differs[key])}" if key in done.differs else ""
        terminal.print(f"{plain(key)}  {plain(json.dumps(value) + was)}", highlight=False, soft_wrap=True)
    terminal.print(f"[dim]artifacts in {plain(done.folder)}[/]", highlight=False, soft_wrap=True)
