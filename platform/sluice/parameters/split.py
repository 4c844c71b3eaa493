"""What a person may set about the step."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import Field

from sluice.core.durations import parse_duration
from sluice.core.errors import BadInput
from sluice.core.extensions import is_reference
from sluice.core.parameter_checks import Check, Range, StepParameters
from sluice.sampling.splitters import FOLDS, PARTS, SPLITTERS

__all__ = ["CHECKS", "PARTS", "Parameters", "check_gap", "check_shares", "check_strategy"]


def check_shares(name: str, shares: Sequence[float]) -> tuple[Fraction, ...]:
    """The shares of train, validation and test as exact numbers.

    Args:
        name: The parameter's, for messages.
        shares: As they were given.

    Raises:
        BadInput: There are not three, one is not above 0, or they do not add up to 1.
    """
    given = f"parameter {name!r} is {shares}"
    try:
        if not all(math.isfinite(float(share)) for share in shares):
            raise ValueError(shares)
    except (ValueError, TypeError):
        raise BadInput(f"{given}, which holds something that is no number; use [0.7, 0.15, 0.15]") from None
    if len(shares) != len(PARTS) or not all(float(share) > 0 for share in shares):
        raise BadInput(f"{given}, but must hold three numbers above 0, for {', '.join(PARTS)}")
    exact = [Fraction(str(share)) for share in shares]  # of what a double holds, or `1e999999999` would never end
    if abs(sum(exact, Fraction(-1))) > Fraction(1, 10**6):
        raise BadInput(f"{given}, which adds up to {float(sum(exact, Fraction())):g}; they must add up to 1")
    return tuple(exact)


def check_strategy(name: str, strategy: str) -> None:
    """Refuse a strategy that is no splitter's name; one of a project's own is found when the step runs.

    Args:
        name: The parameter's, for messages.
        strategy: As it was given.

    Raises:
        BadInput: There is none of that name.
    """
    if not isinstance(strategy, str) or not (is_reference(strategy) or strategy in SPLITTERS.names()):
        names = ", ".join(SPLITTERS.names())
        raise BadInput(f"parameter {name}={strategy!r} is unknown; use one of {names}, or FILE.py:NAME of a project")


def check_gap(name: str, gap: str) -> float | None:
    """The seconds of a gap; None for an empty text.

    Args:
        name: The parameter's, for messages.
        gap: As it was given.

    Raises:
        BadInput: It is no duration.
    """
    if not gap:
        return None
    try:
        return float(parse_duration(str(gap)))
    except ValueError as error:
        raise BadInput(f"parameter {name!r}: {error}; leave it empty for as long as the label takes") from None


class Parameters(StepParameters):
    """How rows are divided."""

    strategy: Annotated[str, check_strategy] = Field(
        default="time",
        description="time, to learn from the past and test on the future; group, to keep all rows of a group in one "
        "part; stratified, to keep label shares equal; random; folds, to judge each row of a small table by models "
        "fitted without it; or FILE.py:NAME of a project.",
    )
    shares: Annotated[list[float], check_shares] = Field(
        default=[0.7, 0.15, 0.15], description="Shares of the rows for training, validation and test; they add up to 1."
    )
    seed: int = Field(default=42, description="Decides all that is random; a split by time does not use it.")
    gap: Annotated[str, check_gap] = Field(
        default="",
        description="How long before validation and before test begin rows are left out of a split by time, such as "
        "30d; empty for as long as the label takes to be known, 0s for none.",
    )
    folds: Annotated[int, Range(3, 20, whole=True)] = Field(
        default=5, description="How many folds there are, where rows are divided into folds."
    )
    code: str = Field(
        default="",
        description="The address of the project's code, code/<sha256>.zip, where a splitter of it divides the rows.",
    )


def check_no_folds(name: str, strategy: str) -> None:
    """Refuse folds where a step after this one can train once only.

    Args:
        name: The parameter's, for messages.
        strategy: A known one.

    Raises:
        BadInput: It is `folds`.
    """
    if strategy == FOLDS:
        raise BadInput(
            f"parameter {name}={strategy!r}: training on several workers trains once, and folds take a training each; "
            "use 'stratified', or the pipeline supervised"
        )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
CHECKS_WITH: dict[str, dict[str, Check]] = {"train_distributed": {"strategy": check_no_folds}}
"""What another step of the pipeline asks of a parameter of this one, by that step's name."""
