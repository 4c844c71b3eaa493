"""Checks of the gate that a project or an installed package brings.

A check is a function of the evaluation's record that gives an answer with its reason. It is asked after Sluice's own,
and weighs as much as they do: `failed` and `undecided` keep the champion as it is. In `mine.py`:

    from sluice.extending.gate_checks import Answer

    def margin(evaluation, least=0.7):                       # a sluice.evaluation.record.EvaluationRecord
        found = evaluation.winner_row.metrics["roc_auc"].value
        return Answer("passed" if found >= least else "failed", f"the ROC AUC is {found:.3f}", found, least)

and in the project: `gate: {checks: [{mine.py:margin: {least: 0.8}}]}`.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

from sluice.core.extensions import Registry

Status = Literal["passed", "failed", "undecided", "not judged"]
SLUICES_OWN = ("evidence", "baselines", "champion", "calibration", "bias", "slices")
"""The names of the checks that Sluice asks itself."""
_LONGEST = 500  # characters of a reason: it stands in a table, in MLflow's tags and on a terminal


@dataclass(frozen=True)
class Answer:
    """What a check says.

    Attributes:
        status: `passed`, `failed`, `undecided` (it cannot tell, and so the champion stays), or `not judged` (it was not
            asked, and keeps nobody from anything).
        reason: What was seen and what was asked, in a sentence of at most 500 characters.
        value: What was seen, where that is a number.
        threshold: What it was compared with, where that is a number.
    """

    status: Status
    reason: str
    value: float | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no page could show; the message is told with the line of the project's code."""
        if self.status not in get_args(Status):
            raise ValueError(f"Answer: the status {self.status!r} is unknown; use one of {', '.join(get_args(Status))}")
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ValueError("Answer: a reason is missing; say in a sentence what was seen")
        if len(self.reason) > _LONGEST:
            raise ValueError(f"Answer: the reason has {len(self.reason):,} characters; at most {_LONGEST} are shown")
        for name in ("value", "threshold"):
            number = getattr(self, name)
            if number is not None and not _is_finite(number):
                raise ValueError(f"Answer: {name} is {number!r}; give a finite number, or None")


def _is_finite(number: Any) -> bool:  # noqa: ANN401 - whatever was given
    try:
        return not isinstance(number, str) and math.isfinite(number)
    except (TypeError, ValueError, OverflowError):
        return False


class GateCheck(Protocol):
    """A check of the gate."""

    def __call__(self, evaluation: Any) -> Answer:  # noqa: ANN401 - a layer above
        """What it says of an evaluation.

        Args:
            evaluation: The `sluice.evaluation.record.EvaluationRecord`: all that was found, with the answers of
                Sluice's own checks. Changes of it are not seen.
        """
        ...


GATE_CHECKS: Registry[GateCheck] = Registry("gate_checks", GateCheck, {}, title="gate check")
"""Those that projects and installed packages bring; Sluice's own are always asked."""
