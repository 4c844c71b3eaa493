"""The step itself: choose on the validation rows, judge on the test rows, and ask the gate."""

from dataclasses import dataclass
from pathlib import Path

from sluice.core.progress import progress
from sluice.evaluation.bootstrap import Resamples, bootstrap
from sluice.evaluation.calibration import Calibration, calibration
from sluice.evaluation.candidates import TEST, VALIDATION, predictions
from sluice.evaluation.champion import NAME, Champion
from sluice.evaluation.designs import Design
from sluice.evaluation.evaluation import Evaluation, write
from sluice.evaluation.evidence import Evidence, evidence_of
from sluice.evaluation.gate import (
    Check,
    Duel,
    check_baselines,
    check_calibration,
    check_champion,
    check_evidence,
    check_slices,
    decide,
)
from sluice.evaluation.inputs import Inputs, read_inputs
from sluice.evaluation.metrics import Predictions
from sluice.evaluation.selection import Selection, select
from sluice.evaluation.settings import Gate, Settings
from sluice.evaluation.simpson import Reversal, data_reversals
from sluice.evaluation.simpson_models import model_reversals
from sluice.evaluation.slices import Judged, Slice, by_month, slices
from sluice.problems.row_groups import local_days
from sluice.registry.earlier_looks import look_number
from sluice.registry.present_champion import present_champion
from sluice.reporting.evaluation_page import render

_ERROR_RESAMPLES = 200  # enough for a standard error (Efron and Tibshirani 1993, section 6.4)
_SLICE_RESAMPLES = 400  # a slice's interval needs less precision than the verdict's


def run(splits: str, models: str, settings: Settings, *, evaluation: Path, page: Path) -> Evaluation:
    """Judge, and write what was found for the next step and for people; see `judge`."""
    found = judge(splits, models, settings)
    write(found, evaluation)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found), encoding="utf-8")
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

    predictions: dict[str, Predictions]
    design: Design
    measured: Resamples
    evidence: Evidence
    duel: Duel | None


def judge(splits: str, models: str, settings: Settings) -> Evaluation:
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
    inputs = read_inputs(splits, models)
    validation = inputs.predictions(VALIDATION)
    held = _blocked(inputs.designs[VALIDATION], validation)
    on_validation = bootstrap(validation, min(settings.resamples, _ERROR_RESAMPLES), settings.seed, held)
    chosen = select(inputs.candidates, on_validation)
    champion = present_champion(inputs.task, inputs.frames, inputs.scores_by_digest())
    digest = inputs.digests[chosen.winner]
    test = _test(inputs, chosen.winner, None if champion and champion.digest == digest else champion, settings)
    look = look_number(inputs.task, inputs.ids["splits"], inputs.frames[TEST], digest)
    found = _slices(inputs, test, chosen, champion, settings)
    few = min(settings.resamples, _SLICE_RESAMPLES)
    calibrated = calibration(test.predictions[chosen.winner], test.design, test.measured, chosen.winner, few)
    checks = _checks(inputs, test, found, calibrated, chosen, champion, settings.gate, look)
    decision, reason = decide(chosen.winner, checks, champion, digest)
    return Evaluation(
        task=inputs.task,
        ids=inputs.ids,
        settings=settings,
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
        unseen=test.duel.measured if test.duel else None,
        thresholds={name: bar.rule for name, bar in inputs.thresholds.items() if bar},
        calibration=calibrated,
        slices=found,
        months=_months(inputs, validation[chosen.winner], test.predictions[chosen.winner], settings),
        reversals=_reversals(inputs, settings.gate),
        model_reversals=model_reversals(found, test.measured, chosen.winner),
        champion=champion,
        checks=checks,
        decision=decision,
        reason=reason,
    )


def _blocked(design: Design, models: dict[str, Predictions]) -> Design:
    """The design with blocks as long as any model's losses depend on those of earlier days."""
    return design.with_block(model.log_losses for model in models.values())


def _test(inputs: Inputs, winner: str, champion: Champion | None, settings: Settings) -> _Test:
    """Measure every candidate, and a champion that is another model, on the test rows."""
    models = inputs.predictions(TEST)
    if champion and champion.scores:
        models[NAME] = predictions(inputs.labels[TEST], champion.scores[TEST], champion.threshold)
    design = _blocked(inputs.designs[TEST], models)
    measured = bootstrap(models, settings.resamples, settings.seed, design)
    evidence = evidence_of(models[winner], design, measured, winner)
    unseen = None if champion is None else champion.unseen
    if NAME not in models or unseen is None or not unseen.any():
        return _Test(models, design, measured, evidence, None)
    part = Judged({winner: models[winner], NAME: models[NAME]}, design, {}).subset(unseen)
    apart = bootstrap(part.models, settings.resamples, settings.seed, part.design)
    duel = Duel(apart, evidence_of(part.models[winner], part.design, apart, winner))
    return _Test(models, design, measured, evidence, duel)


def _slices(
    inputs: Inputs, test: _Test, chosen: Selection, champion: Champion | None, settings: Settings
) -> list[Slice]:
    names = (chosen.winner, chosen.best_baseline, *([NAME] if test.duel else []))
    limits = {NAME: champion.unseen} if test.duel and champion and champion.unseen is not None else {}
    judged = Judged({name: test.predictions[name] for name in names}, test.design, limits)
    few, least = min(settings.resamples, _SLICE_RESAMPLES), settings.gate.min_slice_rows
    frame, columns = inputs.frames[TEST], inputs.task.slices
    return slices(frame, columns, judged, chosen.winner, resamples=few, seed=settings.seed, least_rows=least)


def _months(inputs: Inputs, validation: Predictions, test: Predictions, settings: Settings) -> list[Slice]:
    """The winner month by month: on the test rows, and on the validation rows where those came before them."""
    time = inputs.task.time
    if time is None:
        return []
    few, least = min(settings.resamples, _SLICE_RESAMPLES), settings.gate.min_slice_rows
    earlier = inputs.frames[VALIDATION][time].max() <= inputs.frames[TEST][time].min()
    shown = [(VALIDATION, validation)] * earlier + [(TEST, test)]
    return [
        month
        for table, seen in shown
        for month in by_month(
            table,
            local_days(inputs.frames[table][time], inputs.task),
            seen,
            inputs.designs[table],
            resamples=few,
            seed=settings.seed,
            least_rows=least,
        )
    ]


def _checks(
    inputs: Inputs,
    test: _Test,
    found: list[Slice],
    calibrated: Calibration,
    chosen: Selection,
    champion: Champion | None,
    gate: Gate,
    look: int,
) -> list[Check]:
    winner = chosen.winner
    baselines = [c.name for c in inputs.candidates if c.baseline]
    rivals = [chosen.best_baseline, *([NAME] if test.duel else [])]
    return [
        check_evidence(test.evidence, gate),
        check_baselines(test.measured, winner, baselines, gate, look),
        check_champion(test.duel, winner, champion, inputs.digests[winner], gate, look),
        check_calibration(calibrated, gate),
        check_slices(found, rivals, gate),
    ]


def _reversals(inputs: Inputs, gate: Gate) -> list[Reversal]:
    if len(inputs.task.classes) > 2:
        return []
    positive = inputs.every[inputs.task.label] == 1
    return data_reversals(inputs.every, positive, inputs.task.slices, gate.min_slice_rows, inputs.every_design)
