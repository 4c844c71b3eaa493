"""The page of a watch: how good the model is first, then what there is to do, then what explains it."""

from collections.abc import Sequence

from markupsafe import Markup

from sluice.monitoring.performance import CONCEPT
from sluice.monitoring.records import AlarmRecord, MetricRecord, PerformanceRecord, WatchSettings, WindowRecord
from sluice.problems.metrics import shown_metric
from sluice.reporting.pages import (
    Cell,
    Section,
    Tone,
    badge_html,
    code_html,
    estimate_html,
    facts_html,
    figure_html,
    heading_html,
    note_html,
    render_page,
    table_html,
    text_html,
)
from sluice.reporting.plots import BAD, INK, MUTED, SERIES, figure_svg, legend, new_figure

_MOST_WINDOWS = 400
_MOST_COLUMNS = 25


def monitoring_page(
    model: str,
    reference: str,
    windows: Sequence[WindowRecord],
    settings: WatchSettings,
    more: Sequence[Section] = (),
) -> str:
    """One page of all windows, the latest in detail.

    Args:
        model: Its name, for the title; may be empty.
        reference: What the windows were held to, in words.
        windows: At least one, in the order of time.
        settings: How they were judged.
        more: What stands between the alarms and what explains them.
    """
    last = windows[-1]
    sections = [
        _performance(windows, settings),
        _alarms(windows),
        *more,
        _explanation(last),
        _method(last, settings, reference),
    ]
    what = f" {model}" if model else ""
    return render_page(f"How good is{what or ' the model'} now?", sections, f"{last.name}, held to {reference}")


def told(window: WindowRecord) -> PerformanceRecord | None:
    """What is known of a window's performance: by labels where they are enough, else estimated."""
    if window.by_labels is not None and window.by_labels.state == "told":
        return window.by_labels
    return window.estimated or window.by_labels


def verdict(window: WindowRecord, metric: str) -> tuple[str, Tone]:
    """The first sentence of the page and of the terminal, and its tone: `good`, `bad` or `warn`."""
    found = told(window)
    if found is None:
        return "Nothing is known of the performance: there are no forecasts, or the reference has no labels.", "warn"
    main = found.metrics.get(metric)
    title = shown_metric(metric).title
    how = "by its labels" if found.how == "labels" else f"estimated without labels ({found.how})"
    if found.state == "cannot be estimated":
        return f"The performance cannot be estimated: {found.reason}.", "bad"
    if main is None:
        return f"Not enough to tell the performance: {found.reason}.", "warn"
    words = (
        f"{title} is {main.value:.4g} ({main.low:.4g} to {main.high:.4g}), {how}; it was {main.reference:.4g} in the "
        "reference"
    )
    if found.state == "not enough":
        fails = f" An assumption of the estimate fails: {found.failed}." if found.failed else ""
        return f"{words}. That is not enough to be sure: {found.reason}.{fails}", "warn"
    paged = any(each.severity == "page" for each in window.alarms)
    if found.failed:
        return f"{words}. An assumption of the estimate fails: {found.failed}.", "bad" if paged else "warn"
    return f"{words}.", "bad" if paged else "good"


def _performance(windows: Sequence[WindowRecord], settings: WatchSettings) -> Section:
    last = windows[-1]
    words, tone = verdict(last, settings.metric)
    parts = [note_html(words, tone)]
    if len(windows) > 1 and (drawn := over_time(windows, settings.metric)):
        parts.append(figure_html(drawn, "Each window with its 95 % interval; the line is the reference's value."))
    parts += [_metrics_table(last, settings.metric), _slices_table(last)]
    if len(windows) > 1:
        parts.append(_windows_table(windows, settings.metric))
    return Section("performance", "Performance", Markup("").join(parts))


def _metrics_table(window: WindowRecord, metric: str) -> Markup:
    rows: list[list[Cell]] = []
    for found in (window.by_labels, window.estimated):
        if found is None:
            continue
        how = "by labels" if found.how == "labels" else f"estimated ({found.how})"
        for name, each in found.metrics.items():
            rows.append(
                [
                    shown_metric(name).title,
                    how,
                    _number(each),
                    each.reference,
                    f"{each.worse:+.2%}",
                    each.least_rows or None,
                ]
            )
    if not rows:
        return Markup("")
    headers = ("metric", "how", "now", "reference", "worse by", "rows needed")
    first = next((place for place, row in enumerate(rows) if row[0] == shown_metric(metric).title), -1)
    return table_html(headers, rows, "llrrrr", f"{window.name}: {window.rows:,} rows.", first)


def _number(found: MetricRecord) -> Markup:
    return estimate_html(found.value, found.low, found.high, ".4g")


def _slices_table(window: WindowRecord) -> Markup:
    if not window.slices:
        return Markup("")
    rows: list[list[Cell]] = [
        [f"{s.column}: {s.group}", s.rows, s.loss, s.before, f"{s.added:+.4f}"] for s in window.slices
    ]
    caption = "What each group adds to the mean loss, by its own loss and by its share of the rows."
    return heading_html("By group") + table_html(
        ("group", "rows", "loss now", "loss before", "adds"), rows, "", caption
    )


def _windows_table(windows: Sequence[WindowRecord], metric: str) -> Markup:
    rows: list[list[Cell]] = []
    for window in windows[-_MOST_WINDOWS:]:
        state = found.state if (found := told(window)) else "nothing known"
        alarm = Markup(" ").join(
            badge_html(each.title if each.new else f"still: {each.title}", "bad" if each.severity == "page" else "warn")
            for each in window.alarms
        )
        rows.append(
            [
                window.name,
                window.rows,
                window_number(window.by_labels, metric),
                window_number(window.estimated, metric),
                state,
                alarm,
            ]
        )
    headers = ("window", "rows", "by labels", "estimated", "", "alarm")
    return heading_html("Window by window") + table_html(headers, rows, "lrrrll")


def window_number(found: PerformanceRecord | None, metric: str) -> Markup | None:
    """A window's metric with its interval; None where it is not known."""
    main = found.metrics.get(metric) if found else None
    return _number(main) if main else None


def over_time(windows: Sequence[WindowRecord], metric: str) -> Markup | None:
    """A plot of the metric, by labels and estimated, window by window; None where nothing is known of any."""
    figure, axes = new_figure()
    drawn = False
    for place, (label, colour) in enumerate((("by labels", SERIES[0]), ("estimated", SERIES[1]))):
        records = [window.by_labels if place == 0 else window.estimated for window in windows]
        points = [(n, r.metrics[metric]) for n, r in enumerate(records) if r is not None and metric in r.metrics]
        if points:
            drawn = True
            at = [n + 0.12 * place for n, _ in points]
            values = [each.value for _, each in points]
            errors = [[each.value - each.low for _, each in points], [each.high - each.value for _, each in points]]
            axes.errorbar(
                at, values, yerr=errors, fmt="os"[place], color=colour, label=label, markersize=4, linewidth=1.2
            )
            axes.axhline(points[-1][1].reference, color=MUTED, linestyle="--", linewidth=1)
    for n, window in enumerate(windows):
        if any(each.new for each in window.alarms):
            axes.axvline(n, color=BAD, linewidth=0.8, alpha=0.6)
    if not drawn:
        return None
    step = -(-len(windows) // 6)
    axes.set_xticks(range(0, len(windows), step), [window.name for window in windows[::step]], color=INK, fontsize=8)
    legend(axes)
    return figure_svg(figure, f"{shown_metric(metric).title} window by window, with alarms as lines")


def _alarms(windows: Sequence[WindowRecord]) -> Section:
    latest = windows[-1].alarms
    parts = [_alarm(each) for each in latest]
    if not latest:
        parts.append(
            text_html("No alarm in the latest window: nothing reached effect and evidence. That is no proof of health.")
        )
    earlier = [(w.name, each) for w in windows[:-1] for each in w.alarms if each.new]
    if earlier:
        rows = [[name, badge_html(a.severity, _tone(a)), a.title, a.cause] for name, a in earlier]
        parts += [heading_html("Earlier"), table_html(("window", "", "what", "likely cause"), rows, "llll")]
    return Section("alarms", "Alarms", Markup("").join(parts))


def _tone(alarm: AlarmRecord) -> Tone:
    return "bad" if alarm.severity == "page" else "warn"


def _alarm(alarm: AlarmRecord) -> Markup:
    parts = [
        note_html(f"{alarm.title}. {alarm.cause}.", _tone(alarm)),
        facts_html([("contract", alarm.clause)] if alarm.clause else []),
        Markup("").join(text_html(each) for each in alarm.found),
    ]
    if alarm.rows:
        names = list(alarm.rows[0])
        rows = [[row.get(name, "") for name in names] for row in alarm.rows]
        parts.append(
            table_html(names, rows, "l" * len(names), "Rows of the worst group; keys and long texts are masked.")
        )
    parts.append(Markup("<p>Next: {}</p>").format(code_html(alarm.command)))
    return Markup("").join(parts)


def _explanation(window: WindowRecord) -> Section:
    """What broke and what moved: it explains a performance, and replaces none."""
    parts = [
        text_html(
            "Drift explains a change of performance; a drift of one feature alone costs nothing and alarms nobody."
        )
    ]
    if window.faults:
        rows: list[list[Cell]] = [[each.kind, each.words, each.clause] for each in window.faults]
        parts += [heading_html("Broken data"), table_html(("", "what", "contract"), rows, "lll")]
    drifts = [*window.outputs, *window.inputs][:_MOST_COLUMNS]
    rows = [
        [
            each.column,
            each.distance,
            each.margin,
            f"{each.importance:.1%}",
            _moved(each.distance > each.margin, each.evidence),
        ]
        for each in drifts
    ]
    headers = ("column", "distance", "does not matter up to", "importance", "")
    caption = "Hellinger distances from the reference, 0 to 1, without noise; forecasts first, then by weight."
    parts += [heading_html("What moved"), table_html(headers, rows, "lrrrl", caption)]
    return Section("explanation", "What explains it", Markup("").join(parts))


def _moved(beyond: bool, evidence: float) -> Markup:
    if not beyond:
        return Markup("")
    return badge_html("moved", "warn") if evidence >= 1 else badge_html("perhaps", "plain")


def _method(window: WindowRecord, settings: WatchSettings, reference: str) -> Section:
    found = told(window)
    facts: list[tuple[str, Cell]] = [
        ("reference", reference),
        ("its rows", window.reference_rows),
        ("season", settings.season),
        ("window", settings.span),
        ("effect to be found", f"{settings.effect:.1%}"),
        ("false alarms a quarter", f"at most {settings.false_alarms:g} on average, all tests together"),
    ]
    if found is not None and found.effective_rows is not None:
        facts += [
            ("reference rows that tell of these", round(found.effective_rows)),
            ("rows without support", f"{found.foreign or 0:.1%}"),
        ]
    parts = [facts_html(facts)]
    assumptions = found.assumptions if found else ()
    parts += [text_html(f"Taken for granted: {each}") for each in assumptions]
    parts += [text_html(each) for each in window.notes]
    if CONCEPT not in assumptions:
        parts.append(text_html(CONCEPT))
    return Section("method", "How this was found", Markup("").join(parts))
