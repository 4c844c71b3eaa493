"""KFP component: choose the winner, judge it, and ask the gate."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Metrics, Output

from sluice.core.step_images import TORCH_IMAGE


@dsl.component(base_image=TORCH_IMAGE, install_kfp_package=False)
def evaluate(
    splits: str,
    models: str,
    evaluation: Output[Artifact],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    page: Output[HTML],
    max_calibration_error: float = 0.25,
    slice_tolerance: float = 0.02,
    min_slice_rows: int = 200,
    least_effect: float = 0.001,
    min_effective_rows: int = 100,
    resamples: int = 1000,
    seed: int = 2013,
    metric: str = "",
    gate_checks: list[Any] = [],
    report_sections: list[Any] = [],
    seconds_per_check: float = 60.0,
    code: str = "",
) -> None:
    """Chooses the winner on the validation rows, judges it on the test rows, and asks the gate.

    Args:
        splits: The address of the dataset with the tables train, validation and test.
        models: The address of the trained candidates and baselines.
        evaluation: All that was found, as JSON.
        metrics: The winner's metrics on the test rows.
        classification: The winner's ROC curve and confusion matrix; empty where the label is a number.
        page: The same for people.
        max_calibration_error: The greatest calibration error, a share of the base rate; of numbers bias, of the MAE.
        slice_tolerance: By how much the metric may be worse than a rival's in a slice; of numbers, as a share.
        min_slice_rows: Slices with fewer rows are not judged.
        least_effect: By how much the metric must be better than a rival's to matter; units as for slice_tolerance.
        min_effective_rows: With fewer rows, counted as if independent, nothing is decided.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides the resamples.
        metric: What models are chosen and judged by; empty takes the problem's own, such as the log loss or the RMSE.
        gate_checks: Further checks of the gate: names, or names with settings; file.py:name is a project's own.
        report_sections: Further sections of the report, written as the checks are.
        seconds_per_check: How long each of these checks and sections may take, in seconds; then it is refused.
        code: The address of a project's code, where problem, metric, checks or sections are its own (file.py:name).
    """
    from pathlib import Path

    from sluice.components.evaluate.run import run
    from sluice.evaluation.curves import log_curves
    from sluice.evaluation.evaluation_settings import GateLimits, open_settings
    from sluice.registry.tracked_results import log_evaluation
    from sluice.steps.step import log_metrics, step

    with step("evaluate", locals()):
        gate = GateLimits(max_calibration_error, slice_tolerance, min_slice_rows, least_effect, min_effective_rows)
        own = (gate_checks, report_sections, seconds_per_check)
        settings = open_settings(gate, resamples, seed, metric, code, *own)
        found = run(splits, models, settings, evaluation=Path(evaluation.path), page=Path(page.path))
        log_evaluation(Path(evaluation.path), splits)
        log_metrics(metrics, found.winner_metrics())
        log_curves(classification, found)
