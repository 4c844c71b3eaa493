"""The command that watches a model: two files, or a model and its prediction log; a page, a summary, an exit code."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.monitoring.records import Season, Span, WatchSettings
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.running.monitoring import Watched

ALARM = 3
"""The exit code of a watch whose latest window somebody has to look at now."""
_MOST_TOLD = 6

Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", help="A Parquet or CSV file, or a registered model: its test rows.")
]
Current = Annotated[
    Path, typer.Argument(metavar="CURRENT", help="A file with present rows, or the folder of a prediction log.")
]
Model = Annotated[str, typer.Option(metavar="MODEL[@ALIAS|/VERSION]", help="Forecasts rows that have no forecast.")]
Label = Annotated[str, typer.Option(help="The column with the label; present rows may lack it.")]
Labels = Annotated[Path | None, typer.Option(help="A file with labels that came later; joined by --key.")]
Key = Annotated[list[str] | None, typer.Option(help="A column that rows and their labels are joined by; repeatable.")]
Time = Annotated[str, typer.Option(help="The column with each row's moment; a prediction log has its own.")]
MetricName = Annotated[str, typer.Option("--metric", help="What alarms are about; by default log_loss or mae.")]
Windows = Annotated[str, typer.Option(help="Cut the present rows: hour, day, week or month; replays a history.")]
SeasonName = Annotated[str, typer.Option("--season", help="Hold a window to the same weekday, or weekday and hour.")]
Effect = Annotated[float, typer.Option(help="How much worse matters: a share of a loss, else absolute.")]
FalseAlarms = Annotated[float, typer.Option(help="False alarms a quarter, on average, all tests together.")]
Columns = Annotated[list[str] | None, typer.Option("--column", help="Watch these columns alone; repeatable.")]
LeaveOut = Annotated[list[str] | None, typer.Option(help="Do not watch this column; repeatable.")]
ContractFile = Annotated[
    Path | None, typer.Option("--contract", help="A contract.yaml, for what broken data is held to.")
]
State = Annotated[Path | None, typer.Option(help="A file that keeps evidence from one run to the next.")]
Page = Annotated[Path, typer.Option("--page", help="Where the page is written.")]
Publish = Annotated[bool, typer.Option("--publish", help="Publish each window as a dataset of the store.")]
Webhook = Annotated[str, typer.Option(help="An address that new alarms are sent to, as JSON.")]
MetricsFile = Annotated[
    Path | None, typer.Option(help="Write the results in Prometheus' text form, for a node exporter.")
]


def add_monitor_command(app: typer.Typer) -> None:
    """Give the command its place in the `sluice` command."""

    @app.command(
        epilog="Examples: `sluice monitor reference.parquet now.parquet` · `sluice monitor houses now.csv` · "
        "`sluice monitor ref.parquet all.parquet --label sold --time at --windows week` · "
        "`sluice monitor houses predictions/ --windows day --season weekday --state watch.json`. "
        "Exit codes: 0 no page-worthy alarm in the latest window, 3 one, 2 bad input, 1 a service failed."
    )
    def monitor(
        reference: Reference,
        current: Current,
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
        state: State = None,
        page: Page = Path("monitor.html"),
        publish: Publish = False,
        webhook: Webhook = "",
        metrics_file: MetricsFile = None,
        as_json: Json = False,
    ) -> None:
        """Tell how good a model is now, estimated or true, with its interval; then what broke, and what moved."""
        from sluice.running.monitoring import WatchOrder, publish_windows, watch
        from sluice.running.project_runs import use_project_home

        use_project_home()
        settings = _settings(metric, windows, season, effect, false_alarms)
        watched = watch(
            WatchOrder(
                reference,
                current,
                settings,
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
        )
        _write_page(watched, page)
        published = [bundle.id for bundle in publish_windows(watched)] if publish else []
        if metrics_file:
            _write_metrics(watched, metrics_file)
        if webhook:
            _notify(watched, webhook)
        if as_json:
            print_json(_body(watched, page, published))
        else:
            _tell(watched, page, published)
        if watched.page:
            raise typer.Exit(ALARM)


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


def _write_page(watched: "Watched", page: Path) -> None:
    from sluice.core.files import written
    from sluice.reporting.monitoring_page import monitoring_page

    text = monitoring_page(watched.model, watched.reference, watched.windows, watched.settings)
    with written(page) as stream:
        stream.write(text.encode())


def _write_metrics(watched: "Watched", path: Path) -> None:
    from sluice.core.files import written
    from sluice.monitoring.exposition import exposition

    with written(path) as stream:
        stream.write(exposition(watched.windows[-1], watched.model, watched.settings.metric).encode())


def _notify(watched: "Watched", webhook: str) -> None:
    from sluice.running.alarm_notices import send_alarms

    send_alarms(webhook, watched.model, watched.windows[-1])


def _tell(watched: "Watched", page: Path, published: list[str]) -> None:
    from sluice.reporting.monitoring_page import verdict

    terminal, last = console(), watched.windows[-1]
    lines = []
    if len(watched.windows) > 1:
        alarmed = [(w.name, a) for w in watched.windows for a in w.alarms if a.new]
        lines += [f"{name}: would have alarmed ({a.severity}): {a.title}; {a.cause}" for name, a in alarmed]
        lines.append(f"{len(watched.windows)} windows, {len(alarmed)} alarms; the latest, {last.name}:")
    lines.append(verdict(last, watched.settings.metric)[0])
    for alarm in last.alarms:
        lines += [f"ALARM ({alarm.severity}): {alarm.title}: {alarm.cause}"]
        lines += [f"  {alarm.clause}"] if alarm.clause else []
        lines += [f"  {each}" for each in alarm.found]
        lines += [f"  worst group: {s.column}: {s.group} ({s.rows:,} rows)" for s in alarm.slices[:1]]
        lines.append(f"  next: {alarm.command}")
    moved = [each for each in (*last.outputs, *last.inputs) if each.distance > each.margin][:_MOST_TOLD]
    lines += [f"moved: {each.column}, distance {each.distance:.3f}, importance {each.importance:.0%}" for each in moved]
    lines += [f"note: {each}" for each in last.notes]
    lines += [f"published: {each}" for each in published]
    lines.append(f"page: {page}")
    for line in lines:
        terminal.print(plain(line), highlight=False, soft_wrap=True)


def _body(watched: "Watched", page: Path, published: list[str]) -> dict[str, Any]:
    return {
        "model": watched.model,
        "reference": watched.reference,
        "settings": watched.settings.model_dump(mode="json"),
        "page": str(page),
        "alarm": watched.page,
        "published": published,
        "windows": [window.model_dump(mode="json", by_alias=True) for window in watched.windows],
    }
