"""The commands about who answers: what servers and canaries do now, and a person's begin and end of a canary."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.serving.canary import Plan, Verdict
    from sluice.serving.traffic_records import TrafficRecord

OnCluster = Annotated[bool, typer.Option("--cluster", help="Ask the cluster that the kubeconfig or SLUICE_KFP names.")]
_FRESH = 60.0  # seconds; what a server told longer ago is no longer so
_SHOWN = 12
_STEPS = "1,5,25,50"


def add_traffic_commands(app: typer.Typer, place: Callable[..., AbstractContextManager[None]]) -> None:
    """Give the commands their place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(epilog="Examples: `sluice traffic houses` · `sluice traffic houses --json`")
    def traffic(
        model: Annotated[str, typer.Argument(help="The registered model.")],
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Tell who answers: the aliases, what each server has loaded and compared, and the decisions about canaries."""
        with place(cluster, namespace, context):
            found = _standing(model)
        if as_json:
            print_json(found)
        else:
            _show(found)

    @app.command(
        epilog='Examples: `sluice canary houses/3 --reason "new features"` · `sluice canary houses --watch` · '
        '`sluice canary houses --stop --reason "the label changed"`'
    )
    def canary(
        model: Annotated[str, typer.Argument(metavar="MODEL[/VERSION]", help="By default the challenger is tried.")],
        reason: Annotated[str, typer.Option(help="Why it begins or ends; it stands in the record.")] = "",
        steps: Annotated[str, typer.Option(help="The challenger's shares in percent; then it is champion.")] = _STEPS,
        alpha: Annotated[float, typer.Option(help="The chance of a false roll back, over all looks.")] = 0.05,
        power: Annotated[float, typer.Option(help="The chance that a harm is found before a step passes it.")] = 0.9,
        guard: Annotated[
            list[str] | None,
            typer.Option(help="errors, slow, latency, loss, `estimated loss`; repeatable. By default the first three."),
        ] = None,
        slow: Annotated[float, typer.Option(help="From how many seconds on an answer is slow.")] = 0.25,
        stop: Annotated[bool, typer.Option("--stop", help="End the canary that runs.")] = False,
        watch: Annotated[bool, typer.Option("--watch", help="Decide about it until it has ended.")] = False,
        forever: Annotated[bool, typer.Option("--forever", help="With --watch: wait for the next one, too.")] = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Try a challenger on a growing share of the subjects; it is rolled back or promoted by what is seen."""
        from sluice.serving.canary import Plan

        chosen = {"guards": tuple(guard)} if guard else {}
        plan = Plan(_steps(steps), alpha, power, slow_seconds=slow, **chosen)  # type: ignore[arg-type]
        with place(cluster, namespace, context, promotes=True):
            if stop or reason or not watch:
                _tell(_begun_or_ended(model, plan, " ".join(reason.split()), stop=stop), None, as_json=as_json)
            if watch:
                _watch(model, as_json=as_json, forever=forever)


def _begun_or_ended(reference: str, plan: "Plan", reason: str, *, stop: bool) -> "TrafficRecord":
    from sluice.registry.versions import CHALLENGER, parse_reference, set_alias
    from sluice.serving.canary_watch import begin, check_begin, end
    from sluice.serving.registered import open_registry
    from sluice.serving.traffic_records import TrafficRecords
    from sluice.storage.locations import default_store

    model, _, number = parse_reference(reference)
    if not reason:
        raise BadInput("--reason is missing: say why the canary begins or ends, it stands in the record")
    records, now = TrafficRecords(default_store(), model), time.time()
    if stop:
        return end(records, reason, now)
    registry = open_registry()
    aliases = registry.aliases(model)
    tried = number or aliases.get("challenger", "")
    if not tried or "champion" not in aliases:
        lacking = "challenger; name the version to try" if "champion" in aliases else "champion to compare with"
        raise BadInput(f"model {model} has no {lacking}")
    champion, challenger = registry.version(model, aliases["champion"]), registry.version(model, tried)
    check_begin(records.refresh(), champion, challenger, plan)  # before the alias moves
    if aliases.get(CHALLENGER) != tried:
        set_alias(model, CHALLENGER, tried)
    return begin(records, champion, challenger, plan, reason, now)


def _watch(reference: str, *, as_json: bool, forever: bool) -> None:
    from sluice.registry.versions import parse_reference
    from sluice.serving.canary_watch import Watch
    from sluice.serving.labelled_losses import LoggedLosses
    from sluice.serving.registered import open_registry
    from sluice.storage.locations import default_store

    model, waiting = parse_reference(reference)[0], ""
    store = default_store()
    watch = Watch(store, model, open_registry(), losses=LoggedLosses(store, model))
    while True:
        try:
            record, verdict = watch.look(time.time())
        except EnvironmentFault as fault:
            if str(fault) != waiting:
                console().print(plain(f"{fault}; trying again"), highlight=False, soft_wrap=True)
            waiting = str(fault)
            time.sleep(2)
            continue
        if record is not None:
            _tell(record, verdict, as_json=as_json)
        last = watch.records.last
        if not forever and (last is None or not last.running):
            if record is None:
                raise BadInput(f"no canary of {model} is running; begin one with `sluice canary {model} --reason TEXT`")
            return
        time.sleep(2)


def _steps(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) / 100 for each in text.split(","))
    except ValueError:
        raise BadInput(f"--steps={text!r}: give shares in percent, such as 1,5,25,50") from None


def _tell(record: "TrafficRecord", verdict: "Verdict | None", *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(record))
        return
    told = f"{record.event} {record.model}/{record.challenger.version} at {record.weight:.3g}, record {record.number}"
    console().print(plain(f"{told}: {record.reason}"), highlight=False, soft_wrap=True)
    for finding in verdict.findings if verdict else ():
        console().print(plain(f"  {finding.words}"), highlight=False, soft_wrap=True)


def _standing(model: str) -> dict[str, Any]:
    from sluice.registry.versions import parse_reference
    from sluice.serving.registered import open_registry
    from sluice.serving.traffic_records import TrafficRecords
    from sluice.storage.locations import default_store

    name = parse_reference(model)[0]
    registry, store = open_registry(), default_store()
    aliases = registry.aliases(name)
    records = TrafficRecords(store, name)
    records.refresh()
    servers = []
    for key in store.keys(f"traffic/{name}/servers/"):
        body = json.loads(store.get_bytes(key))
        if time.time() - body["moment"] <= _FRESH:
            servers.append({"server": key.rpartition("/")[2].removesuffix(".json"), **body})
    return {"model": name, "aliases": aliases, "servers": servers, "records": [asdict(r) for r in records.records]}


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    out = console()
    aliases = ", ".join(f"{alias} {found['model']}/{number}" for alias, number in sorted(found["aliases"].items()))
    out.print(plain(aliases or f"{found['model']} has no alias"), highlight=False, soft_wrap=True)
    for server in found["servers"]:
        _show_server(server)
    if not found["servers"]:
        out.print("no server has told of itself in the last minute", highlight=False)
    if not found["records"]:
        out.print("no canary has been recorded", highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("record", "when", "event", "challenger", "weight", "why"):
        table.add_column(column, no_wrap=column != "why", overflow="fold")
    for record in found["records"][-_SHOWN:]:
        cells = (str(record["number"]), record["when"], record["event"], record["challenger"]["version"])
        table.add_row(*map(plain, cells), f"{record['weight']:.3g}", plain(record["reason"]))
    out.print(table)


def _show_server(server: dict[str, Any]) -> None:
    details, compared = server["details"], server["shadow"]
    versions = ", ".join(f"{role} {name}" for role, name in details["versions"].items())
    lines = [f"server {server['server']}: {versions}; the challenger's weight is {details['challenger_weight']:.3g}"]
    lines += [f"  refused as {role}: {reason}" for role, reason in details.get("refused", {}).items()]
    lines += [f"  {name}: {details[name]}" for name in ("registry", "store") if name in details]
    if compared and compared["rows"]:
        agree = "" if compared["agreement"] is None else f"same class in {compared['agreement']:.1%}, "
        p99 = compared["differences"].get("0.99")
        lines.append(
            f"  {compared['challenger']} beside {compared['champion']}: {compared['rows']:,} rows, {agree}"
            f"99 % differ by at most {p99:.2g}; left out {compared['left_out']:,} requests"
        )
        groups = [
            (f"{column} {group}", like) for column, of in compared["slices"].items() for group, like in of.items()
        ]
        for name, like in sorted(groups, key=lambda pair: -(pair[1]["mean_difference"] or 0))[:3]:
            lines.append(f"    {name}: {like['rows']:,} rows differ by {like['mean_difference']:.2g} on average")
    for line in lines:
        console().print(plain(line), highlight=False, soft_wrap=True)
