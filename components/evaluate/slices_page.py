"""The sections on slices and months."""

from markupsafe import Markup

from components.common.pages import (
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
from components.evaluate.evaluation import Evaluation
from components.evaluate.figures import month_figure, slice_figure
from components.evaluate.slices import Slice
from components.evaluate.wording import TITLES, estimate_cell, headline_metrics, percent


def slices_section(evaluation: Evaluation) -> Section:
    """The winner group by group."""
    winner, rival = evaluation.winner, evaluation.selection.best_baseline
    metric = headline_metrics(evaluation)[1]
    drawn, tables = [], []
    for column in evaluation.task.slices:
        found = [entry for entry in evaluation.slices if entry.column == column]
        if any(entry.judged for entry in found):
            svg = slice_figure(found, winner, rival, metric)
            drawn.append(figure_html(svg, f"By {column}; groups too small to judge are left out."))
        rows = [_slice_row(entry, winner, rival, metric) for entry in found]
        headers = ["Group", "Rows", "Base rate", TITLES[metric], "Log loss", "Log loss less baseline's", ""]
        tables.append(details_html(f"All groups of {column}", table_html(headers, rows)))
    small = sum(not entry.judged for entry in evaluation.slices)
    parts = [
        text_html(f"{winner} against the best baseline, {rival}, group by group, with 95 % intervals."),
        note_html(f"Groups with too few rows to judge: {small}.", "warn") if small else Markup(""),
        figures_html(drawn),
        *tables,
    ]
    return Section("slices", "Slices", Markup("").join(parts))


def months_section(evaluation: Evaluation) -> Section:
    """The winner month by month."""
    metric = headline_metrics(evaluation)[1]
    rows = [
        [m.group, m.column, m.rows, percent(m.base_rate), *(estimate_cell(m.metrics["winner"][k]) for k in shown)]
        for m in evaluation.months
        for shown in ((metric, "log_loss"),)
    ]
    headers = ["Month", "Table", "Rows", "Base rate", TITLES[metric], "Log loss"]
    figure = month_figure(evaluation.months, metric)
    text = "A metric or a base rate that moves with the months is drift: what was learned holds less and less."
    table = table_html(headers, rows, "llrrrr")
    both = len({month.column for month in evaluation.months}) > 1
    caption = "Hollow: validation rows; filled: test rows." if both else "Test rows."
    parts = [
        text_html(text),
        figures_html([figure_html(figure, caption), table]),
    ]
    return Section("months", "Month by month", Markup("").join(parts))


def _slice_row(entry: Slice, winner: str, rival: str, metric: str) -> list[Cell]:
    ours, gap = entry.metrics[winner], entry.differences[rival]["log_loss"]
    note: Cell = "" if entry.judged else badge_html("too few rows", "warn")
    texts = [estimate_cell(ours[metric]), estimate_cell(ours["log_loss"]), estimate_cell(gap, signed=True)]
    return [entry.group, entry.rows, percent(entry.base_rate), *texts, note]
