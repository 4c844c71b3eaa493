"""The step itself: choose on the validation rows, judge on the test rows, and ask the gate."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sluice.artifacts.bundles import open_bundle
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.evaluation.bootstrap import Resamples, bootstrap
from sluice.evaluation.calibration import Calibration, calibration
from sluice.evaluation.candidates import TEST, VALIDATION, Said, predictions
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design
from sluice.evaluation.evaluation import Evaluation, write
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.evaluation.evidence import Evidence, evidence_of
from sluice.evaluation.folds import Recipe, out_of_fold
from sluice.evaluation.gate import (
    Check,
    Duel,
    check_baselines,
    check_bias,
    check_calibration,
    check_champion,
    check_evidence,
    check_slices,
    decide,
)
from sluice.evaluation.inputs import Inputs, read_inputs
from sluice.evaluation.number_predictions import NumberPredictions
from sluice.evaluation.own_checks import ask
from sluice.evaluation.residuals import Residuals, residuals_of
from sluice.evaluation.selection import Selection, select
from sluice.evaluation.simpson import Reversal, data_reversals
from sluice.evaluation.simpson_models import model_reversals
from sluice.evaluation.slices import Judged, Slice, by_month, slices
from sluice.problems.metrics import BUILT_IN, Metric
from sluice.problems.registry import form_of
from sluice.problems.row_groups import local_days
from sluice.problems.task import task_of
from sluice.registry.earlier_looks import look_number
from sluice.registry.present_champion import present_champion
from sluice.reporting.evaluation_page import render
from sluice.reporting.own_sections import own_sections

_ERROR_RESAMPLES = 200  # enough for a standard error (Efron and Tibshirani 1993, section 6.4)
_SLICE_RESAMPLES = 400  # a slice's interval needs less precision than the verdict's


def run(splits: str, models: str, settings: EvaluationSettings, *, evaluation: Path, page: Path) -> Evaluation:
    """Judge, and write what was found for the next step and for people; see `judge`."""
    found = ask(judge(splits, models, settings), settings.checks)
    further = own_sections(found, [(each.short, section) for each, section in settings.sections], splits)
    write(found, evaluation)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found, further), encoding="utf-8")
    progress(f"{found.decision}: {found.reason}")
    return found


@dataclass(frozen=True)
class _Test:
    """The test rows: every model's predictions, the rows' design, and what was measured.

    Attributes:
        predictions: By model; the champion among them, unless it is the winner or cannot judge the rows.
        design: Weights, clusters and blocks.
        measured: All models' metrics.
        evidence: How much the rows tell.
        duel: Winner and champion on the rows that the champion did not learn from; None without.
    """

    predictions: dict[str, Said]
    design: Design
    measured: Resamples
    evidence: Evidence
    duel: Duel | None


def judge(splits: str, models: str, settings: EvaluationSettings) -> Evaluation:
    """Choose the winner, judge it and ask the gate.

    Args:
        splits: The address of the split dataset.
        models: The address of the models bundle.
        settings: What the caller decides.

    Raises:
        BadInput: A dataset or model was changed, the rows hold one class only, or a number is out of range.
        EnvironmentFault: The store or the registry is down.
    """
    settings.check()
    settings = settings.for_task(task_of(open_bundle(splits, "dataset")))
    inputs = read_inputs(splits, models, settings.own, settings.problem.row_loss() if settings.problem else None)
    metric = settings.primary(inputs.task)
    validation = inputs.predictions(VALIDATION)
    held = _blocked(inputs.designs[VALIDATION], validation)
    on_validation = bootstrap(validation, min(settings.resamples, _ERROR_RESAMPLES), settings.seed, held)
    _check_measured(metric, validation, on_validation)
    chosen = select(inputs.candidates, on_validation, metric)
    recipe = _recipe(inputs, chosen.winner, metric, settings)
    known = {} if inputs.folds else inputs.scores_by_digest()  # out of fold no model of all rows has judged any
    champion = present_champion(inputs.task, inputs.frames, known)
    digest = inputs.digests[chosen.winner]
    test = _test(inputs, chosen.winner, None if champion and champion.digest == digest else champion, settings, recipe)
    look = look_number(inputs.task, inputs.ids["splits"], inputs.frames[TEST], digest)
    found = _slices(inputs, test, chosen, champion, settings)
    meaning = _meaning(test, chosen.winner, settings)
    checks = _checks(inputs, test, found, meaning, chosen, champion, settings, look)
    place = "out of fold" if recipe else "on the test rows"
    decision, reason = decide(chosen.winner, checks, champion, digest, place)
    return Evaluation(
        task=inputs.task,
        ids=inputs.ids,
        settings=settings,
        metric=metric,
        look=look,
        population=inputs.population,
        overlap=inputs.overlap,
        design=test.design,
        evidence=test.evidence,
        candidates=inputs.candidates,
        selection=chosen,
        digest=digest,
        test=test.predictions,
        intervals=test.measured,
        validation=on_validation,
        validation_rows=len(inputs.labels[VALIDATION]),
        unseen=test.duel.measured if test.duel else None,
        thresholds={name: bar.rule for name, bar in inputs.thresholds.items() if bar},
        calibration=meaning if isinstance(meaning, Calibration) else None,
        residuals=meaning if isinstance(meaning, Residuals) else None,
        slices=found,
        months=_months(inputs, validation[chosen.winner], test.predictions[chosen.winner], settings),
        reversals=_reversals(inputs, settings.gate),
        model_reversals=[] if inputs.task.regression else model_reversals(found, test.measured, chosen.winner),
        champion=champion,
        checks=checks,
        decision=decision,
        reason=reason,
        recipe=recipe,
    )


def _recipe(inputs: Inputs, winner: str, metric: Metric, settings: EvaluationSettings) -> Recipe | None:
    """What the recipe chooses inside each fold, by the rule and on the kind of rows that it chooses by for all rows."""
    if inputs.folds is None:
        return None
    winners = []
    for fold in inputs.in_folds:
        said = inputs.stopping(fold)
        design = replace(inputs.designs[TEST].subset(fold.stopping), widening=1.0)
        measured = bootstrap(said, min(settings.resamples, _ERROR_RESAMPLES), settings.seed, design)
        _check_measured(metric, said, measured)
        winners.append(select(inputs.candidates, measured, metric).winner)
    alone = bootstrap(
        {winner: inputs.predictions(TEST)[winner]}, settings.resamples, settings.seed, inputs.designs[TEST]
    )
    return Recipe(inputs.folds, tuple(winners), alone.estimates(winner))


def _check_measured(metric: Metric, models: dict[str, Said], measured: Resamples) -> None:
    """Refuse a metric that these rows do not define.

    Raises:
        BadInput: Naming the metric, and why.
    """
    name = next(iter(models))
    values = measured.values[name].get(metric.name)
    if values is None:
        raise BadInput(
            f"parameter metric={metric.name!r}: a label of these rows is zero or near it, so that relative errors say "
            "nothing; use rmse or mae"
        )
    undefined = next((n for n in models if not np.isfinite(measured.values[n][metric.name][0])), "")
    if undefined:
        raise BadInput(f"parameter metric={metric.name!r}: it is no number for {undefined!r} on the validation rows")


def _blocked(design: Design, models: dict[str, Said]) -> Design:
    """The design with blocks as long as any model's losses depend on those of earlier days."""
    return design.with_block(model.losses for model in models.values())


def _test(
    inputs: Inputs, winner: str, champion: Champion | None, settings: EvaluationSettings, recipe: Recipe | None
) -> _Test:
    """Measure every candidate, and a champion that is another model, on the test rows.

    With folds, under the winner's name stands what the recipe forecasts, which may have chosen others in some folds.
    """
    models = inputs.predictions(TEST)
    if recipe:
        models[winner] = inputs.said(TEST, winner, out_of_fold(inputs.in_folds, recipe.winners))
    if champion and champion.scores:
        scores, threshold = champion.scores[TEST], champion.threshold
        models[NAME] = predictions(inputs.labels[TEST], scores, threshold, inputs.measures, champion.bars)
    design = _blocked(inputs.designs[TEST], models)
    measured = bootstrap(models, settings.resamples, settings.seed, design)
    loss = (inputs.measures.row_loss or BUILT_IN[form_of(inputs.task).row_loss]).name
    evidence = evidence_of(models[winner], design, measured, winner, loss)
    unseen = None if champion is None else champion.unseen
    if NAME not in models or unseen is None or not unseen.any():
        return _Test(models, design, measured, evidence, None)
    part = Judged({winner: models[winner], NAME: models[NAME]}, design, {}).subset(unseen)
    apart = bootstrap(part.models, settings.resamples, settings.seed, part.design)
    duel = Duel(apart, evidence_of(part.models[winner], part.design, apart, winner, loss))
    return _Test(models, design, measured, evidence, duel)


def _meaning(test: _Test, winner: str, settings: EvaluationSettings) -> Calibration | Residuals:
    """How far the winner can be taken at its word: its probabilities, or its numbers."""
    few, said = min(settings.resamples, _SLICE_RESAMPLES), test.predictions[winner]
    if isinstance(said, NumberPredictions):
        return residuals_of(said, test.design, test.measured, winner, few)
    return calibration(said, test.design, test.measured, winner, few)


def _shown(inputs: Inputs, settings: EvaluationSettings) -> list[str]:
    """The metrics of slices and months: the problem's, and the one that models are chosen by."""
    return list(dict.fromkeys([*form_of(inputs.task).sliced, settings.primary(inputs.task).name]))


def _slices(
    inputs: Inputs, test: _Test, chosen: Selection, champion: Champion | None, settings: EvaluationSettings
) -> list[Slice]:
    names = (chosen.winner, chosen.best_baseline, *([NAME] if test.duel else []))
    limits = {NAME: champion.unseen} if test.duel and champion and champion.unseen is not None else {}
    judged = Judged({name: test.predictions[name] for name in names}, test.design, limits)
    few, least = min(settings.resamples, _SLICE_RESAMPLES), settings.gate.min_slice_rows
    frame, columns = inputs.frames[TEST], inputs.task.slices
    shown = _shown(inputs, settings)
    return slices(
        frame, columns, judged, chosen.winner, resamples=few, seed=settings.seed, least_rows=least, shown=shown
    )


def _months(inputs: Inputs, validation: Said, test: Said, settings: EvaluationSettings) -> list[Slice]:
    """The winner month by month: on the test rows, and on the validation rows where those came before them."""
    time = inputs.task.time
    if time is None:
        return []
    few, least = min(settings.resamples, _SLICE_RESAMPLES), settings.gate.min_slice_rows
    earlier = inputs.frames[VALIDATION][time].max() <= inputs.frames[TEST][time].min()
    seen_tables = [(VALIDATION, validation)] * earlier + [(TEST, test)]
    return [
        month
        for table, seen in seen_tables
        for month in by_month(
            table,
            local_days(inputs.frames[table][time], inputs.task),
            seen,
            inputs.designs[table],
            resamples=few,
            seed=settings.seed,
            least_rows=least,
            shown=_shown(inputs, settings),
        )
    ]


def _checks(
    inputs: Inputs,
    test: _Test,
    found: list[Slice],
    meaning: Calibration | Residuals,
    chosen: Selection,
    champion: Champion | None,
    settings: EvaluationSettings,
    look: int,
) -> list[Check]:
    winner, gate, metric = chosen.winner, settings.gate, settings.primary(inputs.task)
    baselines = [c.name for c in inputs.candidates if c.baseline]
    rivals = [chosen.best_baseline, *([NAME] if test.duel else [])]
    loss = settings.problem.loss if settings.problem else None
    return [
        check_evidence(test.evidence, gate, test.design.widening),
        check_baselines(test.measured, winner, baselines, gate, look, metric),
        check_champion(test.duel, winner, champion, inputs.digests[winner], gate, look, metric),
        check_bias(meaning, gate, loss) if isinstance(meaning, Residuals) else check_calibration(meaning, gate),
        check_slices(found, rivals, gate, metric),
    ]


def _reversals(inputs: Inputs, gate: GateLimits) -> list[Reversal]:
    if len(inputs.task.classes) != 2:
        return []
    positive = inputs.every[inputs.task.label] == 1
    return data_reversals(inputs.every, positive, inputs.task.slices, gate.min_slice_rows, inputs.every_design)
