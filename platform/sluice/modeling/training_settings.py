"""What a user may set about training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sluice.core.extensions import is_reference
from sluice.core.parameter_checks import check_with
from sluice.parameters.candidate_settings import read_entries
from sluice.parameters.train import CHECKS, DEFAULTS
from sluice.problems.losses import Loss
from sluice.problems.metrics import Metric, find_metric, open_metric
from sluice.problems.registry import OpenedProblem, problem_of
from sluice.problems.task import Task


@dataclass(frozen=True)
class TrainingSettings:
    """The step's parameters, checked.

    Attributes:
        candidates: What to train, each a name or a name with its settings; empty for all that fit the task.
        seconds_per_candidate: The clock that each candidate has, where no number of rounds is given.
        max_rounds: The rounds that each candidate has instead, with no clock; 0 for the clock.
        patience: A candidate stops after so many rounds without a better metric on the validation rows.
        seed: Decides everything random.
        device: Where networks are trained: `cpu`, `cuda`, or `auto` for CUDA where there is some.
        threads: CPU threads; more than one can change the last digits of the numbers.
        metric: What early stopping goes by; empty for the problem's: the log loss, or the RMSE of numbers.
        code: The address of the project's code, where metric or problem are the project's own.
        own: That metric.
        problem: What the task poses, once it is known; see `for_task`.
        of_candidate: What is set of the one candidate that is being trained; see `parameters.candidate_settings`.
    """

    candidates: tuple[str | dict[str, Any], ...] = ()
    seconds_per_candidate: float = DEFAULTS.seconds_per_candidate
    max_rounds: int = DEFAULTS.max_rounds
    patience: int = DEFAULTS.patience
    seed: int = DEFAULTS.seed
    device: str = DEFAULTS.device
    threads: int = DEFAULTS.threads
    metric: str = ""
    code: str = ""
    own: tuple[Metric, ...] = ()
    problem: OpenedProblem | None = None
    of_candidate: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """As the manifest records them; `metric` and `code` only where they were named."""
        kept = {name: value for name, value in vars(self).items() if value or name not in ("metric", "code")}
        for name in ("own", "problem", "of_candidate"):
            kept.pop(name, None)
        return kept | {"candidates": list(self.candidates)}

    def for_task(self, task: Task) -> "TrainingSettings":
        """The same with the problem of a task.

        Raises:
            BadInput: See `sluice.problems.registry.problem_of`.
        """
        if not task.problem_name or not (is_reference(task.problem_name) and self.code):
            return replace(self, problem=problem_of(task))
        from sluice.project.code import open_code

        return replace(self, problem=problem_of(task, open_code(self.code)))

    def posed(self, task: Task) -> OpenedProblem:
        """What a task poses.

        Raises:
            BadInput: See `for_task`.
        """
        return self.problem or self.for_task(task).posed(task)

    def loss(self, task: Task) -> Loss:
        """What the families make small; errors as for `for_task`."""
        return self.posed(task).loss

    def stopping(self, task: Task) -> Metric:
        """The metric that early stopping goes by.

        Raises:
            BadInput: There is none of that name for the task's problem.
        """
        problem = self.posed(task)
        chosen = self.own[0].name if self.own else self.metric
        return find_metric(chosen or problem.problem.stops_by, task.kind, problem.metrics_beside(self.own))


def check_settings(
    candidates: Sequence[str | Mapping[str, Any]] = (),
    seconds_per_candidate: float = TrainingSettings.seconds_per_candidate,
    max_rounds: int = TrainingSettings.max_rounds,
    patience: int = TrainingSettings.patience,
    seed: int = TrainingSettings.seed,
    device: str = TrainingSettings.device,
    threads: int = TrainingSettings.threads,
    metric: str = TrainingSettings.metric,
    code: str = TrainingSettings.code,
) -> TrainingSettings:
    """Check what a user gave; whether the candidates fit is checked once the task is known.

    Raises:
        BadInput: A parameter is out of its range.
    """
    check_with(CHECKS, {**locals(), "candidates": list(candidates)})
    _, own = open_metric(metric, code)
    wanted = tuple(each.entry() for each in read_entries(candidates))
    return TrainingSettings(
        wanted, float(seconds_per_candidate), max_rounds, patience, seed, device, threads, metric, code, own
    )
