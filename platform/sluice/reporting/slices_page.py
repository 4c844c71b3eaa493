"""The sections on slices and months."""

from markupsafe import Markup

from sluice.evaluation.champion import NAME
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.slices import Slice
from sluice.problems.metrics import Metric, significant
from sluice.reporting.evaluation_figures import MOST_DRAWN, month_figure, slice_figure
from sluice.reporting.evaluation_words import estimate_cell, headline_metrics, percent
from sluice.reporting.pages import (
    Cell,
    Section,
    badge_html,
    details_html,
    figure_html,
    figures_html,
    note_html,
    table_html,
    text_html,
)

_MOST_ROWS = 300


def slices_section(evaluation: Evaluation) -> Section:
    """The winner group by group."""
    winner, rival = evaluation.winner, evaluation.selection.best_baseline
    rivals = [rival, *([NAME] if evaluation.unseen else [])]
    primary, metric = headline_metrics(evaluation)
    drawn, tables = [], []
    for column in evaluation.task.slices:
        found = [entry for entry in evaluation.slices if entry.column == column]
        judged = [entry for entry in found if entry.judged]
        if judged:
            svg = slice_figure(found, winner, rival, metric)
            drawn.append(figure_html(svg, f"By {column}: the {min(len(judged), MOST_DRAWN)} largest groups judged."))
        rows = [_slice_row(entry, winner, rivals, (metric, primary)) for entry in found[:_MOST_ROWS]]
        headers = [
            "Group",
            "Rows",
            _rate_title(evaluation),
            metric.title,
            primary.title,
            *(f"Less {name}'s" for name in rivals),
            "",
        ]
        title = f"All {len(found)} groups of {column}, {len(judged)} judged"
        title += f", the {_MOST_ROWS} largest shown" if len(found) > _MOST_ROWS else ""
        tables.append(details_html(title, table_html(headers, rows)))
    parts = [
        text_html(
            f"{winner} against {' and '.join(rivals)}, group by group, with 95 % intervals.{_left_out(evaluation)}"
        ),
        _not_judged(evaluation),
        figures_html(drawn),
        *tables,
    ]
    return Section("slices", "Slices", Markup("").join(parts))


def _left_out(evaluation: Evaluation) -> str:
    """What is not looked for among the groups of a number."""
    if not evaluation.regression or len(evaluation.task.slices) < 2:
        return ""
    return " Simpson's paradox is looked for among shares of classes, and not among means of numbers."


def _not_judged(evaluation: Evaluation) -> Markup:
    """What was not looked at: groups with too few rows, and how many rows that leaves out."""
    small = [entry for entry in evaluation.slices if not entry.judged]
    if not small:
        return Markup("")
    total = len(evaluation.test[evaluation.winner].labels)
    told = [
        f"{len(found)} of {column} ({sum(entry.rows for entry in found) / total:.1%} of the rows)"
        for column in evaluation.task.slices
        if (found := [entry for entry in small if entry.column == column])
    ]
    return note_html(f"Not judged, for too few rows, classes or days: groups {', '.join(told)}.", "warn")


def months_section(evaluation: Evaluation) -> Section:
    """The winner month by month."""
    primary, metric = headline_metrics(evaluation)
    rows = [
        [
            m.group,
            m.column,
            m.rows,
            _rate(m),
            *(estimate_cell(m.metrics.get("winner", {}).get(shown.name), shown) for shown in (metric, primary)),
        ]
        for m in evaluation.months
    ]
    headers = ["Month", "Table", "Rows", _rate_title(evaluation), metric.title, primary.title]
    figure = month_figure(evaluation.months, metric)
    moves = "mean label" if evaluation.regression else "base rate"
    text = f"A metric or a {moves} that moves with the months is drift: what was learned holds less and less."
    table = table_html(headers, rows, "llrrrr")
    both = len({month.column for month in evaluation.months}) > 1
    caption = "Hollow: validation rows; filled: test rows." if both else "Test rows."
    parts = [
        text_html(text),
        figures_html([figure_html(figure, caption), table]),
    ]
    return Section("months", "Month by month", Markup("").join(parts))


def _rate_title(evaluation: Evaluation) -> str:
    return f"Mean {evaluation.task.label}" if evaluation.regression else "Base rate"


def _rate(entry: Slice) -> str | None:
    """A group's share of the positive class, or the mean of its numbers."""
    return percent(entry.base_rate) if entry.mean is None else significant(entry.mean)


def _slice_row(entry: Slice, winner: str, rivals: list[str], metrics: tuple[Metric, Metric]) -> list[Cell]:
    ours, primary = entry.metrics.get(winner, {}), metrics[1]
    gaps = [entry.differences.get(rival, {}).get(primary.name) for rival in rivals]
    note: Cell = "" if entry.judged else badge_html("not judged", "warn")
    texts = [estimate_cell(ours.get(metric.name), metric) for metric in metrics]
    return [
        entry.group,
        entry.rows,
        _rate(entry),
        *texts,
        *(estimate_cell(g, primary, signed=True) for g in gaps),
        note,
    ]
