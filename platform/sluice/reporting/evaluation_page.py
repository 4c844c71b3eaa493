"""The evaluation's page: gate, candidates, calibration, slices, months, Simpson's paradox."""

from collections.abc import Sequence

from markupsafe import Markup

from sluice.evaluation.bootstrap import Estimate
from sluice.evaluation.champion import NAME
from sluice.evaluation.curves import confusion
from sluice.evaluation.evaluation import Evaluation
from sluice.reporting import evaluation_figures
from sluice.reporting.evaluation_words import (
    estimate_cell,
    estimate_text,
    headline_metrics,
    intervals_text,
    known_metrics,
    rules,
)
from sluice.reporting.pages import (
    Cell,
    Section,
    badge_html,
    figure_html,
    figures_html,
    heading_html,
    note_html,
    render_page,
    table_html,
    text_html,
)
from sluice.reporting.residual_page import residuals_section
from sluice.reporting.simpson_page import simpson_section
from sluice.reporting.slices_page import months_section, slices_section
from sluice.reporting.winner_settings import winner_settings


def render(evaluation: Evaluation, further: Sequence[Section] = ()) -> str:
    """The whole page, a project's own sections at its end."""
    meaning = residuals_section if evaluation.regression else calibration_section
    sections = [gate_section(evaluation), candidates_section(evaluation), meaning(evaluation)]
    if evaluation.slices:
        sections.append(slices_section(evaluation))
    if len(evaluation.months) > 1:
        sections.append(months_section(evaluation))
    if (len(evaluation.task.slices) > 1 or evaluation.model_reversals) and not evaluation.regression:
        sections.append(simpson_section(evaluation))
    return render_page(f"Evaluation of {evaluation.task.name}", [*sections, *further], evaluation.task.question)


def gate_section(evaluation: Evaluation) -> Section:
    """What the gate asked and saw."""
    tone = {"promote": "good", "refuse": "bad", "undecided": "warn", "unchanged": "plain"}[evaluation.decision]
    tones = {"passed": "good", "failed": "bad", "undecided": "warn", "not judged": "plain"}
    rows: list[list[Cell]] = [
        [check.name, badge_html(check.status, tones[check.status]), check.message]  # type: ignore[arg-type]
        for check in evaluation.checks
    ]
    parts = [
        note_html(evaluation.reason, tone),  # type: ignore[arg-type]
        text_html(evaluation.population.words(weighted=evaluation.design.weighted)),
        *([text_html(evaluation.recipe.words(evaluation.winner))] if evaluation.recipe else []),
        *(note_html(warning, "warn") for warning in evaluation.overlap),
        table_html(["Check", "Result", "What was seen"], rows, "lll"),
    ]
    champion = evaluation.champion
    if champion and evaluation.unseen:
        gaps = {m: evaluation.unseen.difference(evaluation.winner, NAME, m) for m in known_metrics(evaluation)}
        theirs, ours = evaluation.unseen.estimates(NAME), evaluation.unseen.estimates(evaluation.winner)
        compared: list[list[Cell]] = [
            [m.title, estimate_cell(ours[n], m), estimate_cell(theirs[n], m), estimate_cell(gaps[n], m, signed=True)]
            for n, m in known_metrics(evaluation).items()
        ]
        headers = ["Metric", evaluation.winner, f"champion, version {champion.version}", "paired difference"]
        parts += [heading_html("Against the present champion"), table_html(headers, compared)]
    return Section("gate", "The gate", Markup("").join(parts))


def candidates_section(evaluation: Evaluation) -> Section:
    """All models with intervals, and how the winner was chosen."""
    chosen, metrics, primary = evaluation.selection, known_metrics(evaluation), evaluation.metric
    rows: list[list[Cell]] = []
    for candidate in evaluation.candidates:
        estimates = evaluation.intervals.estimates(candidate.name)
        word = badge_html("baseline") if candidate.baseline else badge_html("winner", "good")
        label = Markup("{} {}").format(candidate.name, word)
        named = label if candidate.baseline or candidate.name == chosen.winner else candidate.name
        told = float(evaluation.validation.values[candidate.name][primary.name][0])
        shown = [estimate_cell(estimates[name], metric) for name, metric in metrics.items()]
        rows.append([named, primary.short(told), *shown])
    headers = ["Candidate", f"Validation {primary.words}", *(metric.title for metric in metrics.values())]
    place = [candidate.name for candidate in evaluation.candidates].index(chosen.winner)
    excess = chosen.excess[chosen.winner]
    most, is_behind = ("least", "exceeds") if primary.direction == "less" else ("greatest", "falls short of")
    behind = f"{is_behind} the {most}"
    text = (
        f"Chosen on the validation rows by the one-standard-error rule: the simplest candidate whose {primary.words} "
        f"{behind} by no more than one standard error of that very difference. "
    ) + (
        f"The {most} is that of {chosen.best}; {chosen.winner} {is_behind} it by {primary.text(excess.value or 0)}, "
        f"standard error {primary.text(excess.error or 0)}."
        if chosen.best != chosen.winner
        else f"The {most} is that of {chosen.best}, and no simpler candidate comes so near."
    )
    rows_count = len(evaluation.test[evaluation.winner].labels)
    caption = f"On {rows_count:,} {evaluation.rows_words}, with {intervals_text(evaluation)}"
    drawn = [figure_html(evaluation_figures.forest(evaluation, metric)) for metric in headline_metrics(evaluation)]
    if evaluation.binary:
        drawn.append(figure_html(evaluation_figures.roc(evaluation), f"ROC curves {evaluation.place_words}."))
    matrix = Markup("") if evaluation.regression else confusion_table(evaluation)
    beside, below = ([matrix], []) if evaluation.binary else ([], [matrix])
    table = table_html(headers, rows, caption=caption, emphasis=place)
    parts = [text_html(text), *_folds(evaluation), figures_html([*drawn, *beside]), *below, table]
    parts += [text_html(rules(evaluation)), winner_settings(evaluation.candidates[place])]
    return Section("candidates", "Candidates", Markup("").join(parts))


def _folds(evaluation: Evaluation) -> list[Markup]:
    """Which candidate the recipe chose in each fold, where rows are divided into folds."""
    recipe, metric = evaluation.recipe, evaluation.metric
    if recipe is None:
        return []
    told = f"The winner's row is that of the recipe, which chose anew in each fold: {', '.join(recipe.winners)}."
    if set(recipe.winners) != {evaluation.winner}:
        alone = estimate_text(recipe.alone.get(metric.name, Estimate(None, None, None)), metric)
        told += f" By itself, {evaluation.winner} has the {metric.words} {alone} out of fold."
    return [text_html(told)]


def confusion_table(evaluation: Evaluation) -> Markup:
    """The winner's confusion matrix, rows by truth."""
    model, classes = evaluation.classified, evaluation.task.classes
    rows: list[list[Cell]] = [[name, *row] for name, row in zip(classes, confusion(evaluation), strict=True)]
    caption = "Confusion matrix of the winner: truth by row, decision by column"
    if model.binary:
        bar = "each fold's model from its own threshold on" if evaluation.recipe else f"from {model.threshold:.3f} on"
        caption += f" ({bar}: {evaluation.thresholds.get(evaluation.winner, 'by default')})"
    return table_html(["Truth", *classes], rows, caption=caption)


def calibration_section(evaluation: Evaluation) -> Section:
    """How far the winner's probabilities can be taken at their word."""
    found = evaluation.calibration
    assert found is not None, "the label is a class"  # noqa: S101 - `render` asks
    binary = evaluation.binary
    wanted = f"probability of {evaluation.task.classes[1]!r}" if binary else "probability of the class decided for"
    bins = found.bins
    rows: list[list[Cell]] = [
        [b.rows, f"{b.predicted:.1%}", f"{b.observed:.1%}", f"{b.low:.1%} to {b.high:.1%}"] for b in bins
    ]
    text = (
        "Rows are sorted by the predicted probability and cut into bins of about equal size. Points on the dotted "
        "line are calibrated; below it the model promises too much. Bars are 95 % intervals (Wilson) that count no "
        "more rows than are independent. The calibration error is the root mean square of the gaps without what noise "
        "adds to it; the test asks how often a perfect model would show such gaps."
    )
    table = table_html(["Rows", "Predicted", "Observed", "95 % interval"], rows, "rrrr")
    parts = [
        note_html(
            f"The probabilities of {evaluation.winner} are off by {found.gap:.4f} on average, {found.relative:.0%} of "
            f"{found.base_words}; calibration error {estimate_text(found.error)}, bias "
            f"{estimate_text(found.bias)}; p {found.p_value:.2g}: {found.words}."
        ),
        text_html(text),
        figures_html([figure_html(evaluation_figures.reliability_figure(bins, wanted)), table]),
    ]
    return Section("calibration", "Calibration", Markup("").join(parts))
