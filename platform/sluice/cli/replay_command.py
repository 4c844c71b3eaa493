"""The command that replays a history: what a model would have said, how good that was, and when it would alarm."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.running.terminal import Json, console, plain, print_json

if TYPE_CHECKING:
    from sluice.reporting.replay_page import ReplayedWindow
    from sluice.serving.replaying import ReplayedVersion

_EVERY = ("hour", "day", "week", "month")
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL[@ALIAS|/VERSION]", help="Without either: in each window the newest version that stood then."
    ),
]
Every = Annotated[str, typer.Option(help="How long a window is: hour, day, week or month.")]
LabelDelay = Annotated[str, typer.Option(help="How long after its row's moment a label comes, such as 7d.")]
Since = Annotated[str | None, typer.Option("--from", help="Begin here, such as 2013-06-01.")]
Until = Annotated[str | None, typer.Option("--to", help="End here; by default with the rows.")]
MetricName = Annotated[str, typer.Option("--metric", help="What alarms are about; by default log_loss or mae.")]
Effect = Annotated[float, typer.Option(help="How much worse matters: a share of a loss, else absolute.")]
FalseAlarms = Annotated[float, typer.Option(help="False alarms a quarter, on average, all tests together.")]
Page = Annotated[Path, typer.Option("--page", help="Where the page is written.")]


def add_replay_command(app: typer.Typer) -> None:
    """Give the command its place in the `sluice` command."""

    @app.command(
        epilog="Examples: `sluice replay houses` · `sluice replay houses/3 --every week --label-delay 30d`. The "
        "rows are those that the lake had when the version was trained; train on the first of them with "
        "`sluice run -p shares=[0.25,0.08,0.67]`."
    )
    def replay(
        model: Model,
        every: Every = "month",
        label_delay: LabelDelay = "7d",
        since: Since = None,
        until: Until = None,
        metric: MetricName = "",
        effect: Effect = 0.02,
        false_alarms: FalseAlarms = 0.25,
        page: Page = Path("replay.html"),
        as_json: Json = False,
    ) -> None:
        """Ask a model for every row of its history after those it learned from, labels coming late, and watch it."""
        from contextlib import redirect_stdout
        from datetime import timedelta
        from sys import stderr, stdout

        from sluice.core.durations import parse_duration
        from sluice.core.files import written
        from sluice.monitoring.records import WatchSettings
        from sluice.predictions.labels import moment_in
        from sluice.reporting.replay_page import ReplayFacts, replay_page, summary
        from sluice.running.project_runs import use_project_home
        from sluice.serving.replaying import ReplayOrder
        from sluice.serving.replaying import replay as replayed

        if every not in _EVERY:
            raise BadInput(f"--every {every!r} is unknown{near(every, _EVERY)}; there are {', '.join(_EVERY)}")
        try:
            delay = timedelta(seconds=parse_duration(label_delay))
        except ValueError as error:
            raise BadInput(f"--label-delay: {error}") from None
        use_project_home()
        settings = WatchSettings(
            metric=metric,
            effect=effect,
            false_alarms=false_alarms,
            span=every,  # type: ignore[arg-type]  # looked up above
        )
        order = ReplayOrder(model, every, delay, settings, moment_in(since), moment_in(until))  # type: ignore[arg-type]
        with redirect_stdout(stderr if as_json else stdout):
            found = replayed(order)
        windows = _windows(found)
        facts = ReplayFacts(
            model,
            label_delay,
            found[-1].settings,
            tuple(each.reference for each in found),
            sum(each.refused for each in found),
        )
        with written(page) as stream:
            stream.write(replay_page(windows, facts).encode())
        if as_json:
            print_json(_body(windows, facts.settings.metric, page))
            return
        lines = [summary(windows, facts.settings.metric)[0]]
        lines += [line for each in windows for line in _lines(each, facts.settings.metric)]
        terminal = console()
        for line in [*lines, f"page: {page}"]:
            terminal.print(plain(line), highlight=False, soft_wrap=True)


def _windows(found: "list[ReplayedVersion]") -> "list[ReplayedWindow]":
    from sluice.reporting.replay_page import ReplayedWindow

    windows = [
        ReplayedWindow(
            each.version,
            record,
            tuple((raised.moment, raised.alarm) for raised in each.raised if raised.window == record.name),
        )
        for each in found
        for record in each.windows
    ]
    return sorted(windows, key=lambda each: each.record.name)


def _lines(each: "ReplayedWindow", metric: str) -> list[str]:
    record = each.record
    words = [f"{record.name}: {record.rows:,} rows by {each.version}"]
    for how, found in (("estimated", record.estimated), ("by labels", record.by_labels)):
        if found and (main := found.metrics.get(metric)):
            words.append(f"{metric} {how} {main.value:.4g} ({main.low:.4g} to {main.high:.4g})")
        elif found:
            words.append(f"{how}: {found.state}")
    alarms = [
        f"  {moment:%Y-%m-%d}: ALARM ({alarm.severity}): {alarm.title}; {alarm.cause}" for moment, alarm in each.raised
    ]
    return ["; ".join(words), *alarms]


def _body(windows: "list[ReplayedWindow]", metric: str, page: Path) -> dict[str, Any]:
    from sluice.reporting.replay_page import inside

    return {
        "page": str(page),
        "metric": metric,
        "windows": [
            {
                "version": each.version,
                "inside": inside(each.record, metric),
                "raised": [
                    {"moment": moment.isoformat(), "severity": alarm.severity, "title": alarm.title}
                    for moment, alarm in each.raised
                ],
                "record": each.record.model_dump(mode="json", by_alias=True),
            }
            for each in windows
        ],
    }
