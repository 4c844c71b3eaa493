"""The commands of the operator on this machine: operate a model's training, and ask for something."""

import os
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from sys import stderr, stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.cluster_requests import SECONDS, TargetName, Wait, ask_cluster, parameters_of, require_training
from sluice.cli.predict_command import OnCluster as WindowsOfCluster
from sluice.cli.predict_command import Place as ClusterPlace
from sluice.cluster.access import NAMESPACE, Target
from sluice.core.errors import BadInput
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.operator.on_laptop.documents import Operated
    from sluice.operator.on_laptop.rehearsal import Lived
    from sluice.operator.specs import RequestSpec

Place = Annotated[
    Path, typer.Argument(metavar="[FILE|FOLDER]", help="A file with a ContinuousTraining, or the folder with one.")
]
File = Annotated[Path, typer.Option("--file", help="A file with a ContinuousTraining, or the folder with one.")]
VersionName = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="The version that waits.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the records.")]
OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the operator of the kubeconfig's cluster.")]


def add_operate_commands(app: typer.Typer, cluster_place: ClusterPlace) -> None:
    """Give the commands their places in the `sluice` command.

    Args:
        app: The command.
        cluster_place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice operate` · `sluice operate houses` · `sluice operate --once --json` · "
        "`sluice operate --dry-run --last 180d`"
    )
    def operate(
        place: Place = Path(),
        once: Annotated[bool, typer.Option("--once", help="Decide and do what is to be done now, then end.")] = False,
        every: Annotated[float, typer.Option(min=1, help="Look again after so many seconds, whatever happens.")] = 60,
        present: Annotated[
            bool, typer.Option("--present", help="Operate the present, whatever past the file has.")
        ] = False,
        page: Annotated[
            Path | None, typer.Option("--page", help="The page of a past; by default SLUICE_HOME/year.html.")
        ] = None,
        dry_run: Annotated[
            bool,
            typer.Option("--dry-run", help="Tell what `policy: cost` would have done with the past's windows, only."),
        ] = False,
        last: Annotated[str, typer.Option("--last", help="How much of the past a dry run replays.")] = "91d",
        as_json: Json = False,
        cluster: WindowsOfCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Keep a model trained on this machine: watch its data and windows, decide, run, promote and roll back.

        A file with a Rehearsal is a past that is lived through in minutes; it ends in one page.
        """
        if dry_run:
            from sluice.cli.dry_run import dry_run as replay

            operated = _operated(place)
            with cluster_place(cluster, namespace, context):
                replay(operated, last, as_json=as_json)
            return
        if cluster:
            raise BadInput("--cluster is for --dry-run; on a cluster the operator itself operates (docs/operator.md)")
        _operate(place, page, once=once, every=every, present=present, as_json=as_json)

    app.command(epilog='Examples: `sluice train --reason "new labels"` · `sluice train -p max_rounds=20`')(train)
    app.command(epilog='Examples: `sluice approve houses/4 --reason "looked at the report"`')(approve)
    app.command(epilog='Examples: `sluice refuse houses/4 --reason "the slice of flats is worse"`')(refuse)
    app.command(
        epilog="Examples: `sluice backfill last-year` · `sluice backfill last-year --file houses/operate.yaml`"
    )(backfill)


def _operate(place: Path, page: Path | None, *, once: bool, every: float, present: bool, as_json: bool) -> None:
    operated = _operated(place)
    if operated.rehearsal and not present:
        _rehearse(operated, page, as_json=as_json)
        return
    from sluice.operator.on_laptop.present import operate_present

    with redirect_stdout(stderr if as_json else stdout):
        operate_present(operated, console(), every=every, once=once, quiet=as_json)
    if as_json:
        from sluice.operator.on_laptop.clock import WallClock
        from sluice.operator.on_laptop.laptop_world import NAMESPACE as LAPTOP
        from sluice.operator.on_laptop.laptop_world import LaptopWorld

        loaded = LaptopWorld(operated, WallClock()).load(LAPTOP, operated.name)
        print_json(loaded.state.document() if loaded else {})


def _rehearse(operated: "Operated", page: Path | None, *, as_json: bool) -> None:
    from sluice.operator.on_laptop.lived_page import write_page
    from sluice.operator.on_laptop.rehearsal import live_through

    with redirect_stdout(stderr if as_json else stdout):
        lived, world = live_through(operated, console(), quiet=True, tell=None if as_json else _tell)
        path, words = write_page(lived, world, page)
    if as_json:
        print_json(_lived_body(lived, path))
        return
    terminal = console()
    terminal.print(plain(words), highlight=False, soft_wrap=True)
    terminal.print(plain(f"page     {path}"), highlight=False, soft_wrap=True)


def _tell(moment: str, what: str, words: str) -> None:
    colours = {"promote": "green", "roll back": "red", "failed": "red", "refuse": "red", "start": "cyan"}
    colour = colours.get(what, "dim")
    console().print(f"[dim]{moment}[/] [{colour}]{what:<9}[/] {plain(words)}", highlight=False, soft_wrap=True)


def _lived_body(lived: "Lived", page: Path) -> dict[str, Any]:
    return {
        "page": str(page),
        "arrived": [{"at": each.at.isoformat(), "words": each.words} for each in lived.arrived],
        "served": [
            asdict(each) | {"since": each.since.isoformat(), "until": each.until.isoformat()} for each in lived.served
        ],
        "decisions": [lived.decisions[number].document() for number in sorted(lived.decisions)],
    }


def train(
    file: File = Path(),
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="KEY=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
    cluster: OnCluster = False,
    target: TargetName = "",
    wait: Wait = SECONDS,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Ask the operator for a run; its budget counts it."""
    if cluster:
        given = parameters_of(parameter)
        place = Target(namespace, context)
        ask_cluster("train", place, training=target, parameters=given, reason=reason, wait=wait, as_json=as_json)
        return
    from sluice.operator.specs import RequestSpec
    from sluice.running.project_runs import order

    operated = _operated(file)
    pairs = dict(pair.partition("=")[::2] for pair in parameter or [])
    ordered = order(operated.project, parameter or []).given  # checked before anybody waits for it
    parameters = {name: ordered[name] for name in pairs}
    _ask(
        operated,
        RequestSpec(action="train", target=operated.name, parameters=parameters, reason=reason, by=_who()),
        as_json,
    )


def approve(
    version: VersionName,
    reason: Reason = "",
    file: File = Path(),
    as_json: Json = False,
    cluster: OnCluster = False,
    target: TargetName = "",
    wait: Wait = SECONDS,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Approve a version that passed the gate and waits: the operator makes it champion."""
    if cluster:
        _ask_about("approve", version, reason, Target(namespace, context), target, wait=wait, as_json=as_json)
    else:
        _decide("approve", version, reason, file, as_json=as_json)


def refuse(
    version: VersionName,
    reason: Reason = "",
    file: File = Path(),
    as_json: Json = False,
    cluster: OnCluster = False,
    target: TargetName = "",
    wait: Wait = SECONDS,
    namespace: Namespace = NAMESPACE,
    context: Context = None,
) -> None:
    """Refuse a version that passed the gate and waits."""
    if cluster:
        _ask_about("refuse", version, reason, Target(namespace, context), target, wait=wait, as_json=as_json)
    else:
        _decide("refuse", version, reason, file, as_json=as_json)


def _ask_about(
    action: str, version: str, reason: str, place: Target, training: str, *, wait: float, as_json: bool
) -> None:
    from sluice.registry.versions import parse_reference

    model, _, number = parse_reference(version)
    if not number:
        raise BadInput(f"{version!r} names no version; write MODEL/VERSION")
    done = ask_cluster(
        action, place, model=model, training=training, version=number, reason=reason, wait=wait, as_json=as_json
    )
    if not done:
        raise require_training(place, model)


def backfill(
    name: Annotated[str, typer.Argument(help="The Backfill's name in the file.")],
    file: File = Path(),
    as_json: Json = False,
) -> None:
    """Run a project's pipeline for each partition of a Backfill, in order; typed again it goes on where it stopped."""
    from sluice.operator.on_laptop.filling_back import fill_back
    from sluice.running.warm_steps import warm_python

    with warm_python() as warm, redirect_stdout(stderr if as_json else stdout):
        state = fill_back(_operated(file), name, console(), warm=warm, quiet=as_json)
    if as_json:
        print_json(state.document())
    else:
        console().print(plain(f"{name}: {state.words}"), highlight=False, soft_wrap=True)
    if state.phase == "Failed":
        raise typer.Exit(1)


def _decide(action: str, version: str, reason: str, file: Path, *, as_json: bool) -> None:
    from sluice.operator.specs import RequestSpec
    from sluice.registry.versions import parse_reference

    operated = _operated(file)
    model, _, number = parse_reference(version)
    if model != operated.training.model or not number:
        raise BadInput(
            f"{version!r} is no version of {operated.training.model}; write {operated.training.model}/VERSION"
        )
    spec = RequestSpec(action=action, target=operated.name, version=number, reason=reason, by=_who())  # type: ignore[arg-type]
    _ask(operated, spec, as_json)


def _operated(file: Path) -> "Operated":
    from sluice.operator.on_laptop.documents import read_operated
    from sluice.running.project_runs import keep_results_in

    operated = read_operated(file)
    keep_results_in(operated.project.folder)
    return operated


def _who() -> str:
    from sluice.core.user_names import user_name

    return user_name()


def _ask(operated: "Operated", spec: "RequestSpec", as_json: bool) -> None:
    """Write the request where the operator looks for it."""
    from datetime import UTC, datetime

    from sluice.operator.on_laptop.kept_files import KeptFiles, KeptRequest

    now = datetime.now(UTC)
    request = KeptRequest(uid=f"{now:%Y%m%d%H%M%S}-{os.urandom(3).hex()}", spec=spec, created=now)
    files = KeptFiles(operated.name)
    files.keep_request(request)
    if as_json:
        print_json(request.document())
        return
    looks = "" if files.operated() else "; nobody operates it now: `sluice operate` answers"
    about = f" version {spec.version}" if spec.version else ""
    console().print(
        plain(f"asked to {spec.action}{about}, request {request.uid}{looks}"), highlight=False, soft_wrap=True
    )
