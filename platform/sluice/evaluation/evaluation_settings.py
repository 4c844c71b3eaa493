"""What the caller of evaluate decides."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sluice.core.chosen import Chosen
from sluice.core.extensions import Code, Opened
from sluice.core.parameter_checks import check_with
from sluice.extending.gate_checks import GATE_CHECKS, GateCheck
from sluice.extending.sections import REPORT_SECTIONS, ReportSection
from sluice.parameters.evaluate import CHECKS, DEFAULTS, chosen_checks, chosen_sections
from sluice.problems.metrics import Metric, find_metric, open_metric
from sluice.problems.registry import OpenedProblem, problem_of
from sluice.problems.task import Task
from sluice.project.code import open_code


@dataclass(frozen=True)
class GateLimits:
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
class EvaluationSettings:
    """What the caller decides.

    Attributes:
        gate: What the gate asks.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides them.
        metric: What models are chosen and judged by; empty for the problem's: the log loss, or the RMSE of numbers.
        own: A project's own metrics, among which `metric` may be; once the task is known, its problem's too.
        checks: The gate's further checks, and what asks them.
        sections: The report's further sections, and what makes them.
        code: SHA-256 of the project's code that they come from, or empty.
        seconds_per_check: How long each of these checks and sections may take.
        opened: That code.
        problem: What the task poses, once it is known; see `for_task`.
    """

    gate: GateLimits
    resamples: int
    seed: int
    metric: str = ""
    own: tuple[Metric, ...] = ()
    checks: tuple[tuple[Chosen, Opened[GateCheck]], ...] = ()
    sections: tuple[tuple[Chosen, Opened[ReportSection]], ...] = ()
    code: str = ""
    seconds_per_check: float = DEFAULTS.seconds_per_check
    opened: Code | None = None
    problem: OpenedProblem | None = None

    def for_task(self, task: Task) -> "EvaluationSettings":
        """The same with the problem of a task, and its metrics.

        Raises:
            BadInput: See `sluice.problems.registry.problem_of`.
        """
        problem = problem_of(task, self.opened)
        return replace(self, problem=problem, own=problem.metrics_beside(self.own))

    def primary(self, task: Task) -> Metric:
        """What models are chosen and judged by.

        Raises:
            BadInput: There is no such metric for the task's problem.
        """
        problem = self.problem or problem_of(task, self.opened)
        return find_metric(self.metric or problem.problem.primary, task.kind, self.own)

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            BadInput: Naming the parameter.
        """
        given = {"resamples": self.resamples, "seed": self.seed, "seconds_per_check": self.seconds_per_check}
        check_with(CHECKS, given | asdict(self.gate))


def open_settings(
    gate: GateLimits,
    resamples: int,
    seed: int,
    metric: str,
    code: str,
    checks: Sequence[Any] = (),
    sections: Sequence[Any] = (),
    seconds_per_check: float = DEFAULTS.seconds_per_check,
) -> EvaluationSettings:
    """Settings with what a project or an installed package brings, loaded before any work begins.

    Args:
        gate: What the gate asks.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides them.
        metric: A name, `file.py:name` of the project, or empty.
        code: The address of the project's code.
        checks: Further checks of the gate: names, or a name with its settings.
        sections: Further sections of the report, likewise.
        seconds_per_check: How long each of them may take.

    Raises:
        BadInput: There is no such metric, check or section, or it does not fit what it is to be.
    """
    opened = open_code(code) if code else None  # which may bring the packages of checks and sections along
    wanted, told = chosen_checks("gate_checks", checks), chosen_sections("report_sections", sections)
    return EvaluationSettings(
        gate,
        resamples,
        seed,
        *open_metric(metric, code),
        checks=tuple((each, GATE_CHECKS.opened(each.name, opened, each.settings)) for each in wanted),
        sections=tuple((each, REPORT_SECTIONS.opened(each.name, opened, each.settings)) for each in told),
        code=opened.digest if opened else "",
        seconds_per_check=seconds_per_check,
        opened=opened,
    )
