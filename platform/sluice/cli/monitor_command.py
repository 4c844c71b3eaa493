"""The command that watches a model: two files, or its prediction log; a page, a summary, an exit code."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from sluice.cli.cluster_commands import Context, Namespace
from sluice.cli.predict_command import OnCluster, Place
from sluice.cluster.access import NAMESPACE
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.monitoring.records import Season, Span, WatchSettings
from sluice.running.terminal import Json

ALARM = 3
"""The exit code of a watch whose latest window somebody has to look at now."""

Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="A Parquet or CSV file, or a registered model: its test rows.")
]
Current = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CURRENT]",
        help="A file with present rows, or a folder of Parquet files. Left out: the model's prediction log in the "
        "store, its windows that are over since the last run.",
    ),
]
Model = Annotated[str, typer.Option(metavar="MODEL[@ALIAS|/VERSION]", help="Forecasts rows that have no forecast.")]
Label = Annotated[str, typer.Option(help="The column with the label; present rows may lack it.")]
Labels = Annotated[Path | None, typer.Option(help="A file with labels that came later; joined by --key.")]
Key = Annotated[list[str] | None, typer.Option(help="A column that rows and their labels are joined by; repeatable.")]
Time = Annotated[str, typer.Option(help="The column with each row's moment; a prediction log has its own.")]
MetricName = Annotated[str, typer.Option("--metric", help="What alarms are about; by default log_loss or mae.")]
Windows = Annotated[
    str, typer.Option(help="Cut the present rows: hour, day, week or month; replays a history. A log's are days.")
]
SeasonName = Annotated[str, typer.Option("--season", help="Hold a window to the same weekday, or weekday and hour.")]
Effect = Annotated[float, typer.Option(help="How much worse matters: a share of a loss, else absolute.")]
FalseAlarms = Annotated[float, typer.Option(help="False alarms a quarter, on average, all tests together.")]
Columns = Annotated[list[str] | None, typer.Option("--column", help="Watch these columns alone; repeatable.")]
LeaveOut = Annotated[list[str] | None, typer.Option(help="Do not watch this column; repeatable.")]
ContractFile = Annotated[
    Path | None, typer.Option("--contract", help="A contract.yaml, for what broken data is held to.")
]
State = Annotated[
    Path | None, typer.Option(help="A file that keeps evidence from one run to the next; a log's stands in the store.")
]
Page = Annotated[
    Path | None, typer.Option("--page", help="Where the page is written: monitor.html; a log's, in the store as well.")
]
Since = Annotated[str | None, typer.Option(help="Of a log, where the first run begins, such as 2026-03-01.")]
Until = Annotated[str | None, typer.Option(help="Of a log, the moment that counts as now.")]
LabelDelay = Annotated[
    str,
    typer.Option(
        help="Of a log, such as 7d: a window's labels count as evidence so long after its end, however few have come; "
        "left out, once four in five have."
    ),
]
ExitZero = Annotated[
    bool, typer.Option("--exit-zero", help="End with 0 on an alarm too, so that a CronJob does not try again.")
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Publish each window as a dataset of the store; a log's are always.")
]
Webhook = Annotated[
    str, typer.Option(help="An address that new alarms are sent to, as JSON; better in SLUICE_MONITOR_WEBHOOK.")
]
MetricsFile = Annotated[
    Path | None, typer.Option(help="Write the results in Prometheus' text form, for a node exporter.")
]


def add_monitor_command(app: typer.Typer, place: Place) -> None:
    """Give the command its place in the `sluice` command.

    Args:
        app: The command.
        place: Leads to the stores of a cluster, or leaves those that the environment names.
    """

    @app.command(
        epilog="Examples: `sluice monitor houses` · "
        "`sluice monitor houses --windows hour --label-delay 7d --exit-zero` · "
        "`sluice monitor reference.parquet now.parquet` · `sluice monitor houses now.csv` · "
        "`sluice monitor ref.parquet all.parquet --label sold --time at --windows week`. "
        "Exit codes: 0 no page-worthy alarm in the latest window, 3 one, 2 bad input, 1 a service failed."
    )
    def monitor(
        reference: Reference,
        current: Current = None,
        model: Model = "",
        label: Label = "",
        labels: Labels = None,
        key: Key = None,
        time: Time = "",
        metric: MetricName = "",
        windows: Windows = "none",
        season: SeasonName = "none",
        effect: Effect = 0.02,
        false_alarms: FalseAlarms = 0.25,
        column: Columns = None,
        leave_out: LeaveOut = None,
        contract: ContractFile = None,
        since: Since = None,
        until: Until = None,
        label_delay: LabelDelay = "",
        state: State = None,
        page: Page = None,
        publish: Publish = False,
        webhook: Webhook = "",
        metrics_file: MetricsFile = None,
        exit_zero: ExitZero = False,
        as_json: Json = False,
        cluster: OnCluster = False,
        namespace: Namespace = NAMESPACE,
        context: Context = None,
    ) -> None:
        """Tell how good a model is now, estimated or true, with its interval; then what broke, and what moved."""
        from sluice.cli.monitor_runs import Told, watch_files, watch_model
        from sluice.core.settings import settings as environment
        from sluice.running.monitoring import WatchOrder
        from sluice.running.project_runs import use_project_home

        use_project_home()
        told = Told(page, webhook or environment().monitoring.webhook.reveal(), metrics_file, as_json)
        with place(cluster, namespace, context):
            if current is None:
                _refuse(
                    "is for files",
                    model=model,
                    label=label,
                    labels=labels,
                    key=key,
                    time=time,
                    column=column,
                    leave_out=leave_out,
                    contract=contract,
                    state=state,
                )
                settings = _settings(metric, "day" if windows == "none" else windows, season, effect, false_alarms)
                alarm = watch_model(reference, settings, since, until, label_delay, told)
            else:
                _refuse("is for a prediction log", since=since, until=until, label_delay=label_delay)
                order = WatchOrder(
                    reference,
                    current,
                    _settings(metric, windows, season, effect, false_alarms),
                    model,
                    label,
                    labels,
                    tuple(key or ()),
                    time,
                    contract,
                    tuple(column or ()),
                    tuple(leave_out or ()),
                    state,
                )
                alarm = watch_files(order, publish, told)
        if alarm and not exit_zero:
            raise typer.Exit(ALARM)


def _refuse(why: str, **options: object) -> None:
    """Refuse options that do nothing here."""
    if given := [name for name, value in options.items() if value]:
        where = "leave it out" if why == "is for a prediction log" else "name the file of present rows after REFERENCE"
        raise BadInput(f"--{given[0].replace('_', '-')} {why}; {where}")


def _settings(metric: str, windows: str, season: str, effect: float, false_alarms: float) -> WatchSettings:
    for option, given, known in (("--windows", windows, get_args(Span)), ("--season", season, get_args(Season))):
        if given not in known:
            raise BadInput(f"{option} {given!r} is unknown{near(given, known)}; there are {', '.join(known)}")
    if not 0 < effect < 1:
        raise BadInput(f"--effect {effect:g}: give a share above 0 and below 1, such as 0.02")
    if false_alarms <= 0:
        raise BadInput(f"--false-alarms {false_alarms:g}: give a rate above 0, such as 0.25 a quarter")
    return WatchSettings(
        metric=metric,
        effect=effect,
        false_alarms=false_alarms,
        season=season,  # type: ignore[arg-type]  # looked up above
        span=windows,  # type: ignore[arg-type]
    )
