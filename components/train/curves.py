"""The page about the training: how each candidate learned, round by round, on axes that all of them share."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from components.common.pages import Section, figure_html, figures_html, note_html, render_page, table_html, text_html
from components.common.plots import FONT_SIZE, INK, MUTED, SERIES, figure_svg, new_figure
from components.train.records import Trained
from components.train.rounds import BUDGET
from components.train.settings import Settings

_MARGIN = 0.08


def curves_page(trained: Sequence[Trained], introduction: str) -> str:
    """One page with one section; the introduction says under which rules the candidates learned."""
    return render_page("Training", [curves_section(trained, introduction)])


def curves_section(trained: Sequence[Trained], introduction: str) -> Section:
    """A table of the candidates, and their learning curves side by side."""
    learned = [entry for entry in trained if not entry.candidate.baseline]
    parts = [text_html(introduction), _table(trained)]
    if any(entry.fitted.stopped_by == BUDGET for entry in learned):
        parts.append(note_html(_CUT, "warn"))
    if learned:
        parts.append(figures_html(_figures(learned, _bar(trained))))
    return Section("training", "Training", Markup("").join(parts))


_CUT = (
    "The clock cut a candidate short, so another run may give another model; "
    "to repeat this one exactly, train it with max_rounds set to its rounds."
)


def budget_rules(settings: Settings) -> str:
    """What held for the candidates of the step train."""
    return (
        f"Each candidate had {settings.seconds_per_candidate:g} seconds and stopped after {settings.patience} rounds "
        "without a better log loss on the validation rows; the best round was kept. Less is better."
    )


def _table(trained: Sequence[Trained]) -> Markup:
    headers = ("Candidate", "Validation log loss", "Threshold", "Kept round", "Rounds", "Stopped by", "Seconds", "Size")
    losses = [entry.fitted.kept.validation_log_loss for entry in trained]
    rows = [
        (
            entry.candidate.title,
            f"{entry.fitted.kept.validation_log_loss:.4f}",
            f"{entry.threshold.value:.3f}" if entry.threshold else None,
            entry.fitted.kept.round or None,
            entry.fitted.rounds or None,
            entry.fitted.stopped_by,
            f"{entry.fitted.seconds:.1f}",
            entry.fitted.model.size,
        )
        for entry in trained
    ]
    return table_html(headers, rows, align="lrrrrlrr", emphasis=losses.index(min(losses)))


def _bar(trained: Sequence[Trained]) -> Trained | None:
    """The best baseline."""
    baselines = [entry for entry in trained if entry.candidate.baseline]
    return min(baselines, key=lambda entry: entry.fitted.kept.validation_log_loss, default=None)


def _figures(learned: Sequence[Trained], bar: Trained | None) -> list[Markup]:
    points = [point for entry in learned for point in entry.fitted.curve]
    losses = [loss for point in points for loss in (point.train_log_loss, point.validation_log_loss)]
    if bar is not None:
        losses.append(bar.fitted.kept.validation_log_loss)
    margin = _MARGIN * (max(losses) - min(losses)) or _MARGIN
    limits = (min(losses) - margin, max(losses) + margin)
    last = max(point.round for point in points)
    return [_figure(entry, bar, limits, last) for entry in learned]


def _figure(entry: Trained, bar: Trained | None, limits: tuple[float, float], last: int) -> Markup:
    figure, axes = new_figure(height=3.2, width=3.8)
    curve, kept = entry.fitted.curve, entry.fitted.kept
    rounds = [point.round for point in curve]
    axes.plot(rounds, [p.train_log_loss for p in curve], color=SERIES[1], linestyle="--", label="training")
    axes.plot(rounds, [p.validation_log_loss for p in curve], color=SERIES[0], label="validation")
    axes.plot([kept.round], [kept.validation_log_loss], "o", color=INK, label=f"kept: {kept.validation_log_loss:.4f}")
    if bar is not None:
        level = bar.fitted.kept.validation_log_loss
        axes.axhline(level, color=MUTED, linestyle=":", label=f"{bar.candidate.title}: {level:.4f}")
    axes.set(xlabel="round", ylabel="log loss", xlim=(0.5, last + 0.5), ylim=limits)
    axes.set_title(entry.candidate.title, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=FONT_SIZE - 0.5, labelcolor=INK)
    alt = (
        f"Learning curve of {entry.candidate.title}: validation log loss from {curve[0].validation_log_loss:.4f} in "
        f"round 1 to {kept.validation_log_loss:.4f} in round {kept.round}, which was kept."
    )
    return figure_html(figure_svg(figure, alt))
