"""The page about the training: how each candidate learned, round by round, on axes that all of them share."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_records import Trained, cut_words
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from sluice.reporting.pages import Section, figure_html, figures_html, note_html, render_page, table_html, text_html
from sluice.reporting.plots import FONT_SIZE, INK, MUTED, SERIES, figure_svg, new_figure

_MARGIN = 0.08


def curves_page(trained: Sequence[Trained], introduction: str, parameter: str = "max_rounds") -> str:
    """One page with one section.

    Args:
        trained: The candidates.
        introduction: Under which rules they learned.
        parameter: What sets their number of rounds.
    """
    return render_page("Training", [curves_section(trained, introduction, parameter)])


def curves_section(trained: Sequence[Trained], introduction: str, parameter: str) -> Section:
    """A table of the candidates, and their learning curves side by side."""
    learned = [entry for entry in trained if not entry.candidate.baseline]
    parts = [text_html(introduction), _table(trained)]
    cut = [f"{entry.candidate.title}: {words}." for entry in trained if (words := cut_words(entry.fitted, parameter))]
    if cut:
        parts.append(note_html(" ".join(["Not every candidate was done.", *cut]), "warn"))
    if learned:
        parts.append(figures_html(_figures(learned, _bar(trained))))
    return Section("training", "Training", Markup("").join(parts))


def budget_rules(settings: TrainingSettings, parts: Parts, left_out: Sequence[str]) -> str:
    """What held for the candidates of the step train."""
    metric = settings.stopping(parts.task)
    budget = f"{settings.max_rounds} rounds" if settings.max_rounds else f"{settings.seconds_per_candidate:g} seconds"
    said = (
        f"Each candidate had {budget} and stopped after {settings.patience} rounds without a better {metric.words} on "
        f"the validation rows; the best round was kept. {metric.direction.capitalize()} is better."
    )
    if parts.train.weights is not None:
        said += f" {weight_rules(parts.task)} {count_words(parts.train)} to learn from."
    if left_out:
        said += f" Left out, for not a single round ended in time: {', '.join(left_out)}."
    return said


def weight_rules(task: Task) -> str:
    """Which population the losses speak of."""
    return (
        f"Each row counts as many as it stands for ({task.weight}), in learning as well: the losses are those of the "
        "population that the sample was drawn from."
    )


def count_words(part: Part) -> str:
    """How many rows a part has, and as how many rows of equal weight they tell."""
    rows = f"{len(part.labels):,} rows"
    return rows if part.weights is None else f"{rows} (as good as {part.effective_rows:,.0f} of equal weight)"


def _table(trained: Sequence[Trained]) -> Markup:
    metric = trained[0].fitted.metric
    headers = ["Candidate", f"Validation {metric.words}", "Threshold", "Kept round", "Rounds", "Stopped by"]
    headers += ["Seconds", "CPU seconds", "Numbers learned"]
    losses = [metric.sign * entry.fitted.kept.validation for entry in trained]
    rows = [
        (
            entry.candidate.title,
            metric.text(entry.fitted.kept.validation),
            f"{entry.threshold.value:.3f}" if entry.threshold else None,
            entry.fitted.kept.round or None,
            entry.fitted.rounds or None,
            f"{entry.fitted.stopped_by} (cut)" if entry.fitted.cut else entry.fitted.stopped_by,
            f"{entry.fitted.seconds:.1f}",
            None if entry.fitted.cpu_seconds is None else f"{entry.fitted.cpu_seconds:.1f}",
            entry.fitted.model.size,
        )
        for entry in trained
    ]
    return table_html(headers, rows, align="lrrrrlrrr", emphasis=losses.index(min(losses)))


def _bar(trained: Sequence[Trained]) -> Trained | None:
    """The best baseline."""
    baselines = [entry for entry in trained if entry.candidate.baseline]
    return min(baselines, key=lambda entry: entry.fitted.metric.sign * entry.fitted.kept.validation, default=None)


def _figures(learned: Sequence[Trained], bar: Trained | None) -> list[Markup]:
    points = [point for entry in learned for point in entry.fitted.curve]
    losses = [loss for point in points for loss in (point.train, point.validation)]
    if bar is not None:
        losses.append(bar.fitted.kept.validation)
    margin = _MARGIN * (max(losses) - min(losses)) or _MARGIN
    limits = (min(losses) - margin, max(losses) + margin)
    last = max(point.round for point in points)
    return [_figure(entry, bar, limits, last) for entry in learned]


def _figure(entry: Trained, bar: Trained | None, limits: tuple[float, float], last: int) -> Markup:
    figure, axes = new_figure(height=3.2, width=3.8)
    curve, kept, metric = entry.fitted.curve, entry.fitted.kept, entry.fitted.metric
    rounds = [point.round for point in curve]
    axes.plot(rounds, [p.train for p in curve], color=SERIES[1], linestyle="--", label="training")
    axes.plot(rounds, [p.validation for p in curve], color=SERIES[0], label="validation")
    axes.plot([kept.round], [kept.validation], "o", color=INK, label=f"kept: {metric.text(kept.validation)}")
    if bar is not None:
        level = bar.fitted.kept.validation
        axes.axhline(level, color=MUTED, linestyle=":", label=f"{bar.candidate.title}: {metric.text(level)}")
    axes.set(xlabel="round", ylabel=metric.words, xlim=(0.5, last + 0.5), ylim=limits)
    axes.set_title(entry.candidate.title, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=FONT_SIZE - 0.5, labelcolor=INK)
    first, last_kept = metric.text(curve[0].validation), metric.text(kept.validation)
    alt = (
        f"Learning curve of {entry.candidate.title}: validation {metric.words} from {first} in round 1 to {last_kept} "
        f"in round {kept.round}, which was kept."
    )
    return figure_html(figure_svg(figure, alt))
