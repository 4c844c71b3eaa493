"""What the caller of evaluate decides."""

from dataclasses import asdict, dataclass

from sluice.artifacts.provenance import project_code
from sluice.core.parameter_checks import check_with
from sluice.parameters.evaluate import CHECKS, DEFAULTS
from sluice.problems.metrics import Metric, find_metric, open_metric
from sluice.problems.registry import problem_of
from sluice.problems.task import Task


@dataclass(frozen=True)
class Gate:
    """What the gate asks.

    Attributes:
        max_calibration_error: The greatest calibration error on the test rows, as a share of the base rate; for
            numbers the greatest bias, as a share of the mean absolute error.
        slice_tolerance: By how much the metric may be worse than the best baseline's or the champion's in a slice: in
            its own units (nats, for the log loss), or, where it is told in the label's, as a share of the rival's.
        min_slice_rows: Slices with fewer rows are not judged.
        least_effect: By how much the metric has to be better than a rival's, beyond noise, to matter; units as above.
        min_effective_rows: With fewer rows, counted as if they were independent and weighed alike, nothing is decided.
    """

    max_calibration_error: float = DEFAULTS.max_calibration_error
    slice_tolerance: float = DEFAULTS.slice_tolerance
    min_slice_rows: int = DEFAULTS.min_slice_rows
    least_effect: float = DEFAULTS.least_effect
    min_effective_rows: int = DEFAULTS.min_effective_rows


@dataclass(frozen=True)
class Settings:
    """What the caller decides.

    Attributes:
        gate: What the gate asks.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides them.
        metric: What models are chosen and judged by; empty for the log loss, or the RMSE where the label is a number.
        own: A project's own metrics, among which `metric` may be.
        code: SHA-256 of the archive with the project's code that these are of; empty without.
    """

    gate: Gate
    resamples: int
    seed: int
    metric: str = ""
    own: tuple[Metric, ...] = ()
    code: str = ""

    def primary(self, task: Task) -> Metric:
        """What models are chosen and judged by.

        Raises:
            BadInput: There is no such metric for the task's problem.
        """
        return find_metric(self.metric or problem_of(task).primary, task.kind, self.own)

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            BadInput: Naming the parameter.
        """
        check_with(CHECKS, {"resamples": self.resamples, "seed": self.seed, **asdict(self.gate)})


def open_settings(gate: Gate, resamples: int, seed: int, metric: str, code: str) -> Settings:
    """Settings with a metric that may be a project's own.

    Args:
        gate: What the gate asks.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides them.
        metric: A name, `file.py:name` of the project, or empty.
        code: The address of the project's code.

    Raises:
        BadInput: There is no such metric.
    """
    found, own = open_metric(metric, code)
    return Settings(gate, resamples, seed, found, own, project_code({"code": code}) if own else "")
