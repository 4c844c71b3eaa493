"""Who answered: the versions of a model side by side, how much and how fast they were asked, and the way back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from sluice.monitoring.records import WindowRecord
from sluice.problems.metrics import shown_metric
from sluice.reporting.monitoring_page import told, window_number
from sluice.reporting.pages import (
    Cell,
    Section,
    Tone,
    code_html,
    figure_html,
    heading_html,
    note_html,
    table_html,
    text_html,
)
from sluice.reporting.plots import INK, SERIES, figure_svg, legend, new_figure

_MOST_HOURS = 24 * 31


@dataclass(frozen=True)
class ShownVersion:
    """A version in its latest window.

    Attributes:
        version: `MODEL/version`.
        window: Its latest window.
        metric: What alarms are about.
        by_role: Rows by role in that window.
        seconds: The time of an answer at its quantiles 0.5, 0.95 and 0.99; none where nobody was answered.
        hours: Rows that callers got, by hour, of all windows that are known.
    """

    version: str
    window: WindowRecord
    metric: str
    by_role: Mapping[str, int] = field(default_factory=dict)
    seconds: tuple[float, ...] = ()
    hours: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        """Rows that callers got."""
        return sum(rows for role, rows in self.by_role.items() if role != "shadow")


def versions_section(versions: Sequence[ShownVersion]) -> Section:
    """Whether the model is there and used, who answered how fast, how good each version is, and how to go back.

    Args:
        versions: At least one, the champion first.
    """
    first = versions[0]
    rows: list[list[Cell]] = [
        [
            each.version,
            each.window.name,
            ", ".join(f"{role}: {count:,}" for role, count in sorted(each.by_role.items())) or "none",
            *(f"{1000 * value:.1f}" for value in each.seconds or ()),
            *([None] * (3 - len(each.seconds))),
            window_number(each.window.by_labels, each.metric),
            window_number(each.window.estimated, each.metric),
            _share(each),
        ]
        for each in versions
    ]
    title = shown_metric(first.metric).title
    headers = ("version", "window", "rows", "ms, half", "95 %", "99 %", f"{title}, by labels", "estimated", "affected")
    parts = [note_html(*_used(versions))]
    caption = "Response times are those that the log has. Affected is the group to whose loss most was added."
    parts.append(table_html(headers, rows, "lllrrrrrl", caption))
    if any(each.hours for each in versions):
        parts.append(figure_html(_hours(versions), "Rows that callers got, hour by hour."))
    if len(versions) > 1:
        model = first.version.rpartition("/")[0]
        back = f'sluice rollback {model} --reason "worse than the version before"'
        parts += [heading_html("Compare and go back"), text_html(_compared(versions))]
        parts.append(Markup("<p>To go back: {}</p>").format(code_html(back)))
    return Section("versions", "Who answered", Markup("").join(parts))


def _used(versions: Sequence[ShownVersion]) -> tuple[str, Tone]:
    total = sum(each.answered for each in versions)
    if not total:
        return "Nobody was answered in the latest window: the model is not used, or its log was away.", "warn"
    named = ", ".join(f"{each.version} ({each.answered / total:.0%})" for each in versions if each.answered)
    return f"{total:,} rows were answered in the latest window, by {named}.", "plain"


def _share(each: ShownVersion) -> str | None:
    if not each.window.slices or not any(alarm.severity == "page" for alarm in each.window.alarms):
        return None
    worst = each.window.slices[0]
    return f"{worst.column}: {worst.group}"


def _compared(versions: Sequence[ShownVersion]) -> str:
    """Whose intervals overlap: a page should say no more of rows that were not given out at random."""
    first, words = versions[0], []
    for other in versions[1:]:
        one, two = (told(each.window) for each in (first, other))
        mine, its = (found.metrics.get(first.metric) if found else None for found in (one, two))
        if mine is None or its is None:
            words.append(f"{other.version} cannot be compared yet.")
        elif mine.low <= its.high and its.low <= mine.high:
            words.append(f"{other.version} and {first.version} are not told apart: their intervals overlap.")
        else:
            words.append(f"{other.version} and {first.version} differ: their intervals lie apart.")
    return " ".join([*words, "Versions that answered different callers may differ by these."])


def _hours(versions: Sequence[ShownVersion]) -> Markup:
    figure, axes = new_figure()
    hours = sorted({hour for each in versions for hour in each.hours})[-_MOST_HOURS:]
    for place, each in enumerate(versions[: len(SERIES)]):
        axes.plot(
            range(len(hours)),
            [each.hours.get(hour, 0) for hour in hours],
            color=SERIES[place],
            label=each.version,
            linewidth=1.2,
            marker="." if len(hours) < 50 else None,
        )
    step = -(-len(hours) // 5)
    axes.set_xticks(range(0, len(hours), step), [hour[:13] for hour in hours[::step]], color=INK, fontsize=8)
    legend(axes)
    return figure_svg(figure, "Rows that callers got, hour by hour, by version")
