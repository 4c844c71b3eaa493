"""The step itself: choose on the validation rows, judge on the test rows, and ask the gate."""

from pathlib import Path

from components.common.steps import progress
from components.evaluate.bootstrap import Resamples, bootstrap
from components.evaluate.calibration import reliability
from components.evaluate.candidates import TEST, VALIDATION, with_threshold
from components.evaluate.champion import NAME, Champion, present_champion
from components.evaluate.evaluation import Evaluation, write
from components.evaluate.gate import (
    Check,
    check_baselines,
    check_calibration,
    check_champion,
    check_slices,
    decide,
)
from components.evaluate.inputs import Inputs, read_inputs
from components.evaluate.metrics import Predictions
from components.evaluate.page import render
from components.evaluate.selection import Selection, select
from components.evaluate.settings import Gate, Settings
from components.evaluate.simpson import Reversal, data_reversals
from components.evaluate.simpson_models import model_reversals
from components.evaluate.slices import Slice, by_month, slices

_ERROR_RESAMPLES = 200  # enough for a standard error (Efron and Tibshirani 1993, section 6.4)
_SLICE_RESAMPLES = 400  # a slice's interval needs less precision than the verdict's


def run(splits: str, models: str, settings: Settings, *, evaluation: Path, page: Path) -> Evaluation:
    """Judge, and write what was found for the next step and for people; see `judge`."""
    found = judge(splits, models, settings)
    write(found, evaluation)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(found))
    progress(f"{found.decision}: {found.reason}")
    return found


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
    validation = {n: with_threshold(inputs.labels[VALIDATION], s) for n, s in inputs.scores[VALIDATION].items()}
    on_validation = bootstrap(validation, min(settings.resamples, _ERROR_RESAMPLES), settings.seed)
    chosen = select(inputs.candidates, on_validation)
    champion = present_champion(inputs.task, inputs.frames, inputs.scores_by_digest())
    digest = inputs.digests[chosen.winner]
    test = _test_predictions(inputs, validation, None if champion and champion.digest == digest else champion)
    intervals = bootstrap(test, settings.resamples, settings.seed)
    found = _slices(inputs, test, chosen, settings)
    checks = _checks(inputs, intervals, found, chosen, champion, settings.gate)
    decision, reason = decide(chosen.winner, checks, champion, digest)
    return Evaluation(
        task=inputs.task,
        ids=inputs.ids,
        seed=settings.seed,
        resamples=settings.resamples,
        candidates=inputs.candidates,
        selection=chosen,
        digest=digest,
        test=test,
        intervals=intervals,
        validation=on_validation,
        calibration=reliability(test[chosen.winner]),
        slices=found,
        months=_months(inputs, validation[chosen.winner], test[chosen.winner], settings),
        reversals=_reversals(inputs, settings.gate),
        model_reversals=model_reversals(found, intervals, chosen.winner),
        champion=champion,
        checks=checks,
        decision=decision,
        reason=reason,
    )


def _test_predictions(
    inputs: Inputs, validation: dict[str, Predictions], champion: Champion | None
) -> dict[str, Predictions]:
    """Every candidate's and another champion's predictions of the test rows, thresholds from the validation rows."""
    labels = inputs.labels[TEST]
    test = {n: with_threshold(labels, s, validation[n].threshold) for n, s in inputs.scores[TEST].items()}
    if champion and champion.scores:
        bar = with_threshold(inputs.labels[VALIDATION], champion.scores[VALIDATION])
        test[NAME] = with_threshold(labels, champion.scores[TEST], bar.threshold)
    return test


def _slices(inputs: Inputs, test: dict[str, Predictions], chosen: Selection, settings: Settings) -> list[Slice]:
    compared = {n: test[n] for n in (chosen.winner, chosen.best_baseline, NAME) if n in test}
    few = min(settings.resamples, _SLICE_RESAMPLES)
    least = settings.gate.min_slice_rows
    frame, columns = inputs.frames[TEST], inputs.task.slices
    return slices(frame, columns, compared, chosen.winner, resamples=few, seed=settings.seed, least_rows=least)


def _months(inputs: Inputs, validation: Predictions, test: Predictions, settings: Settings) -> list[Slice]:
    """The winner month by month: on the test rows, and on the validation rows where those came before them."""
    time = inputs.task.time
    if time is None:
        return []
    few = min(settings.resamples, _SLICE_RESAMPLES)
    least = settings.gate.min_slice_rows
    earlier = inputs.frames[VALIDATION][time].max() <= inputs.frames[TEST][time].min()
    shown = [(VALIDATION, validation)] * earlier + [(TEST, test)]
    return [
        month
        for table, seen in shown
        for month in by_month(
            table, inputs.frames[table], time, seen, resamples=few, seed=settings.seed, least_rows=least
        )
    ]


def _checks(
    inputs: Inputs,
    intervals: Resamples,
    found: list[Slice],
    chosen: Selection,
    champion: Champion | None,
    gate: Gate,
) -> list[Check]:
    winner = chosen.winner
    return [
        check_baselines(intervals, winner, [c.name for c in inputs.candidates if c.baseline]),
        check_calibration(intervals.estimate(winner, "ece"), gate),
        check_slices(found, chosen.best_baseline, gate),
        check_champion(intervals, winner, champion, inputs.digests[winner]),
    ]


def _reversals(inputs: Inputs, gate: Gate) -> list[Reversal]:
    if len(inputs.task.classes) > 2:
        return []
    positive = inputs.every[inputs.task.label] == 1
    return data_reversals(inputs.every, positive, inputs.task.slices, gate.min_slice_rows)
