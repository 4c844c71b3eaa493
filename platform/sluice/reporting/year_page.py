"""The page of a time in which a model was kept trained: what arrived, what was decided, who answered, and how well."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup

from sluice.monitoring.records import WindowRecord
from sluice.problems.metrics import shown_metric
from sluice.reporting.monitoring_page import window_number
from sluice.reporting.pages import (
    Cell,
    Section,
    Tone,
    badge_html,
    code_html,
    details_html,
    facts_html,
    figure_html,
    note_html,
    render_page,
    table_html,
    text_html,
)
from sluice.reporting.plots import BAD, INK, MUTED, PAPER, SERIES, figure_svg, legend, new_figure

_TONES: dict[str, Tone] = {
    "start": "plain",
    "finished": "good",
    "promote": "good",
    "failed": "bad",
    "roll back": "bad",
    "refuse": "bad",
    "ask": "warn",
    "wait": "warn",
}
_QUIET = ("nothing", "wait", "answer")
_MARKERS = {"arrival": "o", "start": "^", "promote": "P", "roll back": "X", "refuse": "v"}


@dataclass(frozen=True)
class YearDecision:
    """A decision: when it was made first and last, how often, what, by which rule, and what it was weighed by."""

    at: datetime
    last: datetime
    count: int
    outcome: str
    rule: str
    words: str
    triggers: tuple[str, ...] = ()
    inputs: tuple[tuple[str, str], ...] = ()
    by: str = ""
    cost: str = ""


@dataclass(frozen=True)
class YearReign:
    """A version answered rows for a time; `runs` is how it came to be."""

    version: str
    since: datetime
    until: datetime
    rows: int


@dataclass(frozen=True)
class YearWindow:
    """A window of a version."""

    version: str
    begin: datetime
    end: datetime
    record: WindowRecord


@dataclass(frozen=True)
class Year:
    """All that the page tells.

    Attributes:
        model: The registered model.
        question: What it is asked.
        metric: The metric that it is watched by.
        arrived: What arrived, by time.
        decisions: By time.
        reigns: Who answered, by time.
        windows: By time.
        rolled_back: Versions that were taken back.
        label_delay: How long labels took to come.
        currency: Of the prices.
        per_run: The price of a run.
        per_unit_loss: What a row costs when the metric is worse by one.
        runs: How many runs were made.
    """

    model: str
    question: str
    metric: str
    arrived: tuple[tuple[datetime, str], ...] = ()
    decisions: tuple[YearDecision, ...] = ()
    reigns: tuple[YearReign, ...] = ()
    windows: tuple[YearWindow, ...] = ()
    rolled_back: tuple[str, ...] = ()
    label_delay: str = ""
    currency: str = "EUR"
    per_run: float = 0.0
    per_unit_loss: float = 0.0
    runs: int = 0
    notes: tuple[str, ...] = field(default=())


def year_summary(year: Year) -> str:
    """What happened, in a sentence."""
    counts = {each: sum(d.outcome == each for d in year.decisions) for each in ("start", "roll back")}
    rows = sum(each.rows for each in year.reigns)
    words = f"{len(year.arrived)} deliveries arrived, {counts['start']} runs were begun, {_versions(year)} answered "
    words += f"{rows:,} rows"
    if year.rolled_back:
        words += f", and version {', '.join(year.rolled_back)} was taken back"
    return words + "."


def year_page(year: Year) -> str:
    """One page.

    Args:
        year: With at least one decision.
    """
    parts = [note_html(year_summary(year), "good" if not year.rolled_back else "warn")]
    parts += [figure_html(_lanes(year), "What arrived, what was done, and which version answered.")]
    if drawn := _metric_over_time(year):
        caption = (
            f"{shown_metric(year.metric).title} of each window with its 95 % interval: estimated when it was over, by "
            f"labels {year.label_delay} later. The dashes are what each version was judged by."
        )
        parts.append(figure_html(drawn, caption))
        refused = [each.record.estimated for each in year.windows if _refused(each, year.metric)]
        if refused and refused[0]:
            words = f"In {len(refused)} of {len(year.windows)} windows the monitor would not estimate without labels"
            parts.append(text_html(f"{words}, first because {refused[0].reason}."))
    sections = [
        Section("year", "What happened", Markup("").join(parts)),
        Section("decisions", "What was decided, and why", _decisions(year)),
        Section("windows", "How good it was", _windows(year)),
        Section("versions", "Who answered", _reigns(year)),
        Section("cost", "What it cost", _cost(year)),
        Section("method", "How this was made", Markup("").join(text_html(each) for each in year.notes)),
    ]
    first, last = year.decisions[0].at, year.decisions[-1].last
    return render_page(f"{year.model}, kept trained", sections, f"{year.question} {first:%Y-%m-%d} to {last:%Y-%m-%d}.")


def _refused(window: YearWindow, metric: str) -> bool:
    """Whether nothing was estimated of a window."""
    return window.record.estimated is not None and metric not in window.record.estimated.metrics


def _versions(year: Year) -> str:
    number = len({each.version for each in year.reigns})
    return f"{number} version{'' if number == 1 else 's'}"


def _days(moment: datetime) -> float:
    return moment.timestamp() / 86_400


def _lanes(year: Year) -> Markup:
    """Three lanes over time: arrivals, decisions, and a bar for each version's reign."""
    figure, axes = new_figure(2.4, 8.0)
    arrivals = [_days(at) for at, _ in year.arrived]
    axes.scatter(arrivals, [2] * len(arrivals), marker="o", color=SERIES[0], s=26)
    for outcome, colour in (("start", SERIES[2]), ("promote", SERIES[4]), ("roll back", BAD), ("refuse", BAD)):
        at = [_days(each.at) for each in year.decisions if each.outcome == outcome]
        if at:
            marker = _MARKERS[outcome]
            axes.scatter(at, [1] * len(at), marker=marker, color=colour, s=40, label=outcome, zorder=3)
    known = list(dict.fromkeys(each.version for each in year.reigns))
    for each in year.reigns:
        bad = each.version in year.rolled_back
        begin, width = _days(each.since), _days(each.until) - _days(each.since)
        colour = BAD if bad else SERIES[known.index(each.version) % 2 and 5]
        axes.barh(0, width, left=begin, height=0.55, color=colour, edgecolor=PAPER, linewidth=1)
        axes.text(begin + width / 2, 0, each.version, ha="center", va="center", color=PAPER, fontsize=8)
    axes.set_yticks([0, 1, 2], ["version", "decided", "arrived"], color=INK)
    axes.set_ylim(-0.5, 2.5)
    _months(axes, year)
    if any(each.outcome in _MARKERS for each in year.decisions):
        legend(axes, 4, "upper right")
    return figure_svg(figure, "Arrivals, decisions and the versions that answered, over time")


def _months(axes, year: Year) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - matplotlib's
    moments = [at for at, _ in year.arrived] + [each.at for each in year.decisions]
    first, last = min(moments), max([*moments, *(each.until for each in year.reigns)])
    ticks, begin = [], first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while begin <= last:
        ticks.append(begin)
        begin = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    axes.set_xticks([_days(each) for each in ticks], [f"{each:%b}" for each in ticks], color=INK, fontsize=8)
    axes.set_xlim(_days(first) - 3, _days(last) + 3)


def _metric_over_time(year: Year) -> Markup | None:
    figure, axes = new_figure(3.2, 8.0)
    drawn = False
    for place, (label, colour) in enumerate((("by labels", SERIES[0]), ("estimated", SERIES[1]))):
        points = []
        for each in year.windows:
            found = each.record.by_labels if place == 0 else each.record.estimated
            main = found.metrics.get(year.metric) if found else None
            if main:
                points.append((_days(each.begin) + (_days(each.end) - _days(each.begin)) * (0.4 + 0.2 * place), main))
        if points:
            drawn = True
            values = [main.value for _, main in points]
            errors = [[m.value - m.low for _, m in points], [m.high - m.value for _, m in points]]
            at = [moment for moment, _ in points]
            axes.errorbar(
                at, values, yerr=errors, fmt="os"[place], color=colour, label=label, markersize=3.5, linewidth=1
            )
    if not drawn:
        return None
    for each in year.windows:
        found = each.record.by_labels or each.record.estimated
        main = found.metrics.get(year.metric) if found else None
        if main:
            axes.hlines(main.reference, _days(each.begin), _days(each.end), color=MUTED, linestyle="--", linewidth=1)
    for decision in year.decisions:
        if decision.outcome == "roll back":
            axes.axvline(_days(decision.at), color=BAD, linewidth=1.2)
    _months(axes, year)
    axes.set_ylabel(shown_metric(year.metric).title)
    legend(axes, 2)
    return figure_svg(
        figure, f"{shown_metric(year.metric).title} window by window; a line where a version was taken back"
    )


def _decisions(year: Year) -> Markup:
    loud = [each for each in year.decisions if each.outcome not in _QUIET]
    quiet = [each for each in year.decisions if each.outcome in _QUIET]
    caption = "Decisions that changed something. `sluice why` tells the same in the terminal."
    told = _decision_table(loud, caption)
    if quiet:
        number = sum(each.count for each in quiet)
        told += details_html(
            f"{number:,} times it looked and waited or did nothing, for {len(quiet)} reasons",
            _decision_table(quiet, "To do nothing is a decision, too."),
        )
    return told


def _decision_table(decisions: Sequence[YearDecision], caption: str) -> Markup:
    rows: list[list[Cell]] = []
    for each in decisions:
        when = f"{each.at:%Y-%m-%d %H:%M}"
        if each.count > 1:
            when += f", {each.count} times to {each.last:%Y-%m-%d}"
        inputs = Markup(" ").join(code_html(f"{name} {value}") for name, value in each.inputs)
        by = f" By {each.by}." if each.by else ""
        rows.append(
            [
                when,
                badge_html(each.outcome, _TONES.get(each.outcome, "plain")),
                each.rule,
                f"{each.words}{by}",
                ", ".join(each.triggers) or None,
                inputs or None,
                each.cost or None,
            ]
        )
    headers = ("when (UTC)", "decision", "rule", "why", "triggers", "made from", "weighed")
    return table_html(headers, rows, "lllllll", caption)


def _windows(year: Year) -> Markup:
    rows: list[list[Cell]] = []
    for each in year.windows:
        true, guess = each.record.by_labels, each.record.estimated
        judged = next(
            (found.metrics[year.metric] for found in (true, guess) if found and year.metric in found.metrics), None
        )
        rows.append(
            [
                f"{each.begin:%Y-%m-%d}",
                f"version {each.version}",
                each.record.rows,
                window_number(guess, year.metric) or (guess.state if guess else None),
                window_number(true, year.metric),
                None if judged is None else judged.reference,
                Markup(" ").join(
                    badge_html(alarm.title, "bad" if alarm.severity == "page" else "warn")
                    for alarm in each.record.alarms
                )
                or None,
            ]
        )
    title = shown_metric(year.metric).title
    headers = ("from", "answered by", "rows", f"{title}, estimated", "by labels", "judged by", "alarms")
    return table_html(headers, rows, "llrrrrl", f"Labels come {year.label_delay} after their row.")


def _reigns(year: Year) -> Markup:
    rows: list[list[Cell]] = [
        [
            f"version {each.version}",
            f"{each.since:%Y-%m-%d}",
            f"{each.until:%Y-%m-%d}",
            each.rows,
            badge_html("taken back", "bad") if each.version in year.rolled_back else None,
        ]
        for each in year.reigns
    ]
    return table_html(("", "from", "to", "rows", ""), rows, "lllrl")


def _cost(year: Year) -> Markup:
    runs = year.runs * year.per_run
    lost = rows = 0.0
    for each in year.windows:
        main = each.record.by_labels.metrics.get(year.metric) if each.record.by_labels else None
        if main:
            lost += main.value * each.record.rows * year.per_unit_loss
            rows += each.record.rows
    facts: list[tuple[str, Cell]] = [("runs", year.runs), (f"runs, {year.currency}", round(runs, 2))]
    if year.per_unit_loss:
        title = shown_metric(year.metric).title
        facts += [
            (f"{title} of {rows:,.0f} judged rows, {year.currency}", round(lost, 2)),
            (f"together, {year.currency}", round(runs + lost, 2)),
        ]
    words = f"A run is priced at {year.per_run:g} {year.currency}"
    if year.per_unit_loss:
        words += (
            f", and a row at {year.per_unit_loss:g} {year.currency} for each unit of {shown_metric(year.metric).title}"
        )
    return facts_html(facts) + text_html(f"{words}.")
