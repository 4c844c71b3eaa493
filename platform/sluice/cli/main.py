"""The `sluice` command."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sluice.cli import run_commands
from sluice.cli.audit_command import add_audit_command
from sluice.cli.bundle_command import add_bundle_command
from sluice.cli.cluster_commands import Context, Namespace, add_commands
from sluice.cli.cluster_requests import SECONDS, TargetName, Wait, ask_cluster
from sluice.cli.export_command import add_export_command
from sluice.cli.feedback_command import add_feedback_command
from sluice.cli.monitor_command import add_monitor_command
from sluice.cli.operate_commands import add_operate_commands
from sluice.cli.predict_command import add_predict_command
from sluice.cli.project_commands import add_commands as add_project_commands
from sluice.cli.release_command import add_release_command
from sluice.cli.replay_command import add_replay_command
from sluice.cli.resources_command import add_resources_command
from sluice.cli.score_command import add_score_command
from sluice.cli.serve_command import add_serve_command
from sluice.cli.traffic_command import add_traffic_commands
from sluice.cli.which_command import add_which_command
from sluice.cli.why_command import add_why_command
from sluice.cluster.access import NAMESPACE, Target
from sluice.core.addresses import show_defect
from sluice.core.environment import changed_variables, variables
from sluice.core.errors import BadInput, SluiceError
from sluice.core.files import denied
from sluice.core.user_names import user_name
from sluice.registry.promotions import Promotion
from sluice.running import catalog
from sluice.running.arguments import parse_arguments
from sluice.running.terminal import Json, console, plain, print_json
from sluice.running.text_encoding import check_words, use_utf8

OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the cluster that the kubeconfig or SLUICE_KFP names.")]
app = typer.Typer(
    name="sluice",
    help="From a data lake to a model that someone can trust and trace.",
    epilog="Exit codes: 0 done, 1 a service or the machine failed, 2 bad input. Results live in SLUICE_HOME (.sluice).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.command("pipelines", epilog="Examples: `sluice pipelines` · `sluice pipelines supervised --json`")
def list_pipelines(
    name: Annotated[str | None, typer.Argument(help="Show one pipeline's parameters.")] = None,
    as_json: Json = False,
) -> None:
    """List the pipelines, or one pipeline's parameters with defaults."""
    from sluice.cli import listing

    found, broken = ([catalog.find_pipeline(name)], {}) if name else catalog.find_all()
    if as_json:
        print_json([listing.body(pipeline) for pipeline in found] + listing.broken_bodies(broken))
    elif name:
        listing.show_parameters(found[0], console())
    else:
        listing.show_pipelines(found, broken, console())


@app.command(
    epilog="Examples: `sluice run` · `sluice run -p sample_fraction=0.1 -p seed=7` · "
    '`sluice run --json | jq .result.decision` · `sluice run supervised -p lake=./data -p task="$(cat task.json)"`'
)
def run(
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
    fresh: Annotated[bool, typer.Option("--fresh", help="Run every step, reuse no earlier result.")] = False,
    name: Annotated[str, typer.Option(help="The run's name in MLflow; by default made of time and pipeline.")] = "",
    as_json: Json = False,
) -> None:
    """Run the project that this folder is of, or a pipeline by its name, on this machine."""
    from sluice.cli import listing, run_summary
    from sluice.running import local_run, project_runs
    from sluice.storage.locations import default_store

    terminal, project, given = console(), "", None
    if pipeline and not Path(pipeline).is_dir():
        chosen = catalog.find_pipeline(pipeline)
        arguments = parse_arguments(chosen, parameter or [])
    else:
        ordered = project_runs.order(project_runs.here(Path(pipeline or ".")), parameter or [])
        chosen, arguments = ordered.pipeline, ordered.publish(default_store())
        project, given = str(ordered.file.folder), ordered.given
    if not as_json:
        listing.show_start(chosen, arguments, terminal)
    result = local_run.run_pipeline(
        chosen, arguments, terminal, quiet=as_json, reuse=not fresh, name=name, given=given, project=project
    )
    if as_json:
        print_json(run_summary.body(result))
    else:
        run_summary.show(result, terminal)


@app.command("compile", epilog="Examples: `sluice compile` · `sluice compile supervised --output build`")
def compile_pipelines(
    name: Annotated[str | None, typer.Argument(help="One pipeline; by default all.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the YAML files.")] = Path(
        "build/pipelines"
    ),
    choices: Annotated[
        bool, typer.Option(help="Drop-downs in the form; a KFP server before 2.16 refuses them.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Compile pipelines to YAML for a KFP server in a cluster where Sluice is installed."""
    from sluice.cluster.spec import compile_for_cluster

    output.mkdir(parents=True, exist_ok=True)
    written = []
    for each in [name] if name else catalog.pipeline_names():
        pipeline = catalog.find_pipeline(each)
        target = output / f"{pipeline.name}.yaml"
        target.write_text(compile_for_cluster(pipeline, choices=choices).to_yaml(), encoding="utf-8")
        written.append(str(target))
    if as_json:
        print_json(written)
    else:
        console().print("\n".join(map(plain, written)), highlight=False, soft_wrap=True)


@app.command(
    epilog="Examples: `sluice lineage house-prices` · `sluice lineage house-prices@challenger` · "
    "`sluice lineage house-prices/1 --json` · `sluice lineage house-prices --cluster`"
)
def lineage(
    model: Annotated[str, typer.Argument(metavar="MODEL[@ALIAS|/VERSION]", help="Without either: the champion.")],
    as_json: Json = False,
    cluster: OnCluster = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Answer where a registered model came from: data, sample, split, parameters, code, run, promotions."""
    from sluice.cli.lineage_tree import show
    from sluice.running.lineage import lineage as trace

    with _place(cluster, namespace, context):
        found = trace(model)
    if as_json:
        print_json(found.to_json())
    else:
        show(found, console())


Reason = Annotated[str, typer.Option(help="Why; it stands in the promotion record.")]


@app.command(
    epilog='Examples: `sluice promote house-prices/3 --reason "new features: the champion cannot judge"` · '
    '`sluice promote house-prices/3 --to cluster:production --reason "a week in staging"`'
)
def promote(
    version: Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="The version to make champion.")],
    reason: Reason,
    to: Annotated[
        str,
        typer.Option(
            metavar="ENVIRONMENT", help="Move it there as it is: cluster:NAMESPACE, or the folder of a SLUICE_HOME."
        ),
    ] = "",
    as_json: Json = False,
    cluster: OnCluster = False,
    target: TargetName = "",
    wait: Wait = SECONDS,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Make a version champion by a person's decision, on the record; the gate decides in every other case.

    On a cluster where the operator keeps the model trained it is asked to do it, as who the kubeconfig is of.
    """
    from sluice.cli.release_command import promote_to
    from sluice.registry.appointing import appoint
    from sluice.registry.versions import parse_reference

    if cluster and not to:
        model, _, number = parse_reference(version)
        asked = ask_cluster(
            "promote", Target(namespace, context), model=model, training=target, version=number or None, reason=reason,
            wait=wait, as_json=as_json, optional=True,
        ) if number else False  # fmt: skip
        if asked:
            return
    with _place(cluster, namespace, context, promotes=not to):
        if to:
            _tell_decision(promote_to(version, to, reason, context), as_json)
            return
        _tell_decision(appoint(version, reason), as_json)


@app.command(epilog='Examples: `sluice rollback house-prices --reason "too many alarms"`')
def rollback(
    model: Annotated[str, typer.Argument(help="The registered model.")],
    reason: Reason,
    as_json: Json = False,
    cluster: OnCluster = False,
    target: TargetName = "",
    wait: Wait = SECONDS,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Make the champion before the present one champion again, on the record; where none is left, there is none.

    On a cluster where the operator keeps the model trained it is asked to do it, as who the kubeconfig is of.
    """
    from sluice.registry.appointing import roll_back

    place = Target(namespace, context)
    if cluster and ask_cluster(
        "rollback", place, model=model, training=target, reason=reason, wait=wait, as_json=as_json, optional=True
    ):
        return
    with _place(cluster, namespace, context, promotes=True):
        _tell_decision(roll_back(model, reason), as_json)


def _tell_decision(record: Promotion, as_json: bool) -> None:
    if as_json:
        print_json(asdict(record))
    else:
        told = f"{record.decision} {record.model} version {record.version}, record {record.number}: {record.reason}"
        console().print(plain(told), highlight=False, soft_wrap=True)


@app.command(epilog="Examples: `sluice doctor` · `sluice doctor --cluster` · `sluice doctor --json`")
def doctor(
    as_json: Json = False, cluster: OnCluster = False, namespace: Namespace = NAMESPACE, context: Context = None
) -> None:
    """Check that this machine, or a cluster, has what Sluice needs; exits with 1 when something is missing."""
    from sluice.cluster import doctor as cluster_doctor
    from sluice.running import doctor as local_doctor

    marks = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "error": "[red]✗[/]"}
    findings = []
    for finding in cluster_doctor.examine(Target(namespace, context)) if cluster else local_doctor.examine():
        findings.append(finding)
        if not as_json:
            line = f"{marks[finding.level]} {plain(finding.name):<9} {plain(finding.message)}"
            console().print(line, highlight=False, soft_wrap=True)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command(epilog="Examples: `sluice lake data lakes/houses --cluster` · `sluice lake data s3://bucket/houses`")
def lake(
    folder: Annotated[Path, typer.Argument(help="A folder with data and what describes them, such as contract.yaml.")],
    address: Annotated[
        str, typer.Argument(help="Where to: a key of the store or s3://…; by default `lakes/` and the folder's name.")
    ] = "",
    cluster: OnCluster = False,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Copy a lake from a folder into the store, where pods can read it."""
    from sluice.running.lakes import copy_lake, default_address

    with _place(cluster, namespace, context):
        told = copy_lake(folder, address or default_address(folder))
        console().print(plain(told), highlight=False, soft_wrap=True)


@contextmanager
def _place(cluster: bool, namespace: str, context: str | None, *, promotes: bool = False) -> Iterator[None]:
    """The stores of a cluster, or those that the environment names; who promotes there takes the accounts that may."""
    if not cluster:
        yield
        return
    from sluice.cluster.connection import connected
    from sluice.cluster.step_environment import PEOPLE, REGISTER

    reached = connected(Target(namespace, context), accounts=REGISTER if promotes else PEOPLE)
    with reached as found, changed_variables(found.variables):
        yield


add_commands(app)
run_commands.add_commands(app, _place)
add_resources_command(app)
add_predict_command(app, _place)
add_serve_command(app)
add_export_command(app, _place)
add_traffic_commands(app, _place)
add_monitor_command(app, _place)
add_replay_command(app)
add_release_command(app, _place)
add_operate_commands(app, _place)
add_audit_command(app, _place)
add_feedback_command(app, _place)
add_which_command(app, _place)
add_why_command(app, _place)
add_score_command(app, _place)
add_bundle_command(app)
add_project_commands(app)
_WRONG_USE = typer.BadParameter.__mro__[1]  # Click's UsageError; Typer has it in a module that is not for others


def main() -> None:
    """Run the command; errors that Sluice understands end in one line on standard error."""
    use_utf8()
    from sluice.running.abandoned_runs import close_abandoned

    try:
        check_words(sys.argv[1:], variables())
        user_name()
        close_abandoned()
        sys.exit(app(standalone_mode=False))
    except SluiceError as error:
        _end(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - a defect of ours; Typer would not let Python's hook for it be ours
        if isinstance(error, OSError) and (fault := denied(error)):
            _end(fault)
        if isinstance(error, _WRONG_USE):
            _tell_use(error)
        show_defect(type(error), error, error.__traceback__)
        sys.exit(1)
    finally:
        close_abandoned()  # an earlier run's step may only have ended meanwhile


def _tell_use(error: Any) -> NoReturn:  # noqa: ANN401 - Click's class, which Typer hides
    """End with what Click says of the words that were typed; where there were none, it has shown the help."""
    if len(sys.argv) > 1:
        command = error.ctx.command_path if error.ctx else "sluice"  # its parser knows of no command
        _end(BadInput(f"{error.format_message().rstrip('.')} (see `{command} --help`)"))
    sys.exit(error.exit_code)


def _end(error: SluiceError) -> NoReturn:
    console(sys.stderr).print(f"[red]error:[/] {plain(error)}", highlight=False, soft_wrap=True)
    sys.exit(error.exit_code)
