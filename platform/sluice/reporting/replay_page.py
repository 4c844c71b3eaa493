"""The page of a replay: window by window what was served, estimated, true and alarmed, and when each was known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from sluice.monitoring.records import AlarmRecord, WatchSettings, WindowRecord
from sluice.problems.metrics import shown_metric
from sluice.reporting.monitoring_page import over_time, window_number
from sluice.reporting.pages import (
    Cell,
    Section,
    Tone,
    badge_html,
    code_html,
    facts_html,
    figure_html,
    heading_html,
    note_html,
    render_page,
    table_html,
    text_html,
)
from sluice.reporting.plots import INK, SERIES, figure_svg, new_figure


@dataclass(frozen=True)
class ReplayedWindow:
    """A window of the replay.

    Attributes:
        version: Who stood, `MODEL/version`.
        record: What is known of it at the end.
        raised: Its alarms, each with the moment when it was raised.
    """

    version: str
    record: WindowRecord
    raised: tuple[tuple[datetime, AlarmRecord], ...]


@dataclass(frozen=True)
class ReplayFacts:
    """What holds for the whole replay: the model, how labels came, the settings, references, and refused rows."""

    model: str
    label_delay: str
    settings: WatchSettings
    references: tuple[str, ...]
    refused: int


def inside(record: WindowRecord, metric: str) -> bool | None:
    """Whether the true metric lay in the interval that was estimated before labels came; None where one is missing."""
    true = record.by_labels.metrics.get(metric) if record.by_labels else None
    guess = record.estimated.metrics.get(metric) if record.estimated else None
    return None if true is None or guess is None else guess.low <= true.value <= guess.high


def summary(windows: Sequence[ReplayedWindow], metric: str) -> tuple[str, Tone]:
    """The first sentence: of how many windows what was true, estimated and alarmed."""
    known = [found for each in windows if (found := inside(each.record, metric)) is not None]
    pages = [each for each in windows if any(alarm.severity == "page" for _, alarm in each.raised)]
    rows = sum(each.record.rows for each in windows)
    words = f"{len(windows)} windows, {rows:,} rows served"
    if known:
        title = shown_metric(metric).title
        words += f"; {title} with labels lay in the interval estimated before them in {sum(known)} of {len(known)}"
    if pages:
        return f"{words}; somebody would have been woken in {len(pages)}, first for {pages[0].record.name}.", "bad"
    return f"{words}; nobody would have been woken.", "good"


def replay_page(windows: Sequence[ReplayedWindow], facts: ReplayFacts) -> str:
    """One page of a replay.

    Args:
        windows: At least one, in the order of time.
        facts: What holds for all.
    """
    metric = facts.settings.metric
    words, tone = summary(windows, metric)
    records = [each.record for each in windows]
    parts = [note_html(words, tone)]
    if drawn := over_time(records, metric):
        parts.append(figure_html(drawn, "Each window with its 95 % interval: estimated at its end, by labels later."))
    parts += [figure_html(_served(windows), "Rows served in each window."), _table(windows, metric)]
    sections = [
        Section("windows", "What happened", Markup("").join(parts)),
        Section("alarms", "What was alarmed", _alarms(windows)),
        Section("method", "How this was found", _method(facts)),
    ]
    return render_page(f"What {facts.model} would have done", sections, f"{records[0].name} to {records[-1].name}")


def _table(windows: Sequence[ReplayedWindow], metric: str) -> Markup:
    rows: list[list[Cell]] = []
    for each in windows:
        record, found = each.record, inside(each.record, metric)
        labelled = record.by_labels.labelled if record.by_labels else 0
        state = record.estimated.state if record.estimated else "nothing known"
        rows.append(
            [
                record.name,
                each.version,
                record.rows,
                f"{labelled / record.rows:.0%}" if record.rows else None,
                window_number(record.estimated, metric) or state,
                window_number(record.by_labels, metric),
                None if found is None else "yes" if found else badge_html("no", "warn"),
                Markup(" ").join(badge_html(alarm.title, _tone(alarm)) for _, alarm in each.raised),
            ]
        )
    title = shown_metric(metric).title
    headers = ("window", "served by", "rows", "labelled", f"{title}, estimated", "by labels", "inside", "alarms")
    return heading_html("Window by window") + table_html(headers, rows, "llrrrrll")


def _alarms(windows: Sequence[ReplayedWindow]) -> Markup:
    told = [(moment, each, alarm) for each in windows for moment, alarm in each.raised]
    if not told:
        return text_html("Nothing reached effect and evidence in any window. That is no proof of health.")
    rows: list[list[Cell]] = [
        [
            f"{moment:%Y-%m-%d}",
            each.record.name,
            badge_html(alarm.severity, _tone(alarm)),
            alarm.title,
            alarm.cause,
            "; ".join(f"{s.column}: {s.group}" for s in alarm.slices[:2]),
            code_html(alarm.command),
        ]
        for moment, each, alarm in sorted(told, key=lambda entry: entry[0])
    ]
    headers = ("raised on", "window", "", "what", "likely cause", "most affected", "next")
    return table_html(headers, rows, "lllllll", "An alarm that goes on is told once, when it was raised.")


def _tone(alarm: AlarmRecord) -> Tone:
    return "bad" if alarm.severity == "page" else "warn"


def _served(windows: Sequence[ReplayedWindow]) -> Markup:
    figure, axes = new_figure()
    names = [each.record.name for each in windows]
    axes.bar(range(len(windows)), [each.record.rows for each in windows], color=SERIES[0], width=0.6)
    step = -(-len(windows) // 6)
    axes.set_xticks(range(0, len(windows), step), names[::step], color=INK, fontsize=8)
    return figure_svg(figure, "Rows served, window by window")


def _method(facts: ReplayFacts) -> Markup:
    settings = facts.settings
    shown: list[tuple[str, Cell]] = [("held to", each) for each in facts.references]
    shown += [
        ("labels come after", facts.label_delay),
        ("window", settings.span),
        ("effect to be found", f"{settings.effect:.1%}"),
        ("false alarms a quarter", f"at most {settings.false_alarms:g} on average, all tests together"),
        ("rows that a server would have refused", facts.refused),
    ]
    words = (
        "Each row was asked at its own moment, through the server's own judge, of the newest version that stood then: "
        "a version stands from the first whole window on after the test rows that it is held to. Values that are known "
        "later than their row's moment were not handed over. Windows were judged when they were over, and again when "
        "their labels had come. The version learned from none of these rows; its promotion may have seen some as test "
        "rows."
    )
    return facts_html(shown) + text_html(words)
