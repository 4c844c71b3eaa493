"""What a person may set about the step."""

import difflib
import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import SEED, Check, Range, StepParameters
from sluice.extending.families import FAMILIES
from sluice.problems.candidate_names import BASELINE_BY_NAME

_OWN = re.compile(r".+\.py:\w+")  # a class of a project's own, which comes along with its code


def is_own(candidate: str) -> bool:
    """Whether a candidate is a class of a project's own, `mine.py:Net`, or a family of an installed package."""
    return bool(_OWN.fullmatch(candidate)) or (candidate not in BASELINE_BY_NAME and candidate in FAMILIES.names())


def check_candidates(name: str, candidates: Sequence[str]) -> None:
    """See that each candidate is one that can be trained, on whatever data.

    Args:
        name: The parameter's, for messages.
        candidates: As they were given; none stands for all that fit.

    Raises:
        BadInput: A name is unknown, or stands twice.
    """
    if not candidates or not isinstance(candidates, list | tuple):
        return  # its type is looked at by whoever asked
    for number, candidate in enumerate(candidates):
        if candidate not in BASELINE_BY_NAME and not is_own(str(candidate)):
            known = [*BASELINE_BY_NAME, *FAMILIES.names()]
            close = difflib.get_close_matches(str(candidate), known, n=1, cutoff=0.4)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            offered = ", ".join(known)
            raise BadInput(f"parameter {name!r} names {candidate!r}{hint}; choose from {offered}")
        if candidate in candidates[:number]:
            raise BadInput(f"parameter {name!r} names {candidate!r} twice; name it once")


def check_both_kinds(name: str, candidates: Sequence[str]) -> None:
    """See that a list of candidates can be judged: against a baseline, and with something else to win.

    Args:
        name: The parameter's, for messages.
        candidates: Known ones.

    Raises:
        BadInput: It has but one kind.
    """
    if not candidates:
        return
    kinds = {BASELINE_BY_NAME.get(candidate, False) for candidate in candidates}
    lacking = "candidate beside the baselines" if kinds == {True} else "baseline"
    if len(kinds) < 2:
        others = ", ".join(known for known, baseline in BASELINE_BY_NAME.items() if baseline not in kinds)
        raise BadInput(
            f"parameter {name!r} is {list(candidates)}, which has no {lacking}, and evaluate judges one against the "
            f"other; add one of {others}, or leave the list empty for all that fit"
        )


class Parameters(StepParameters):
    """Which models are trained, and within which budget; no rounds stand for the clock."""

    candidates: Annotated[list[str], check_candidates] = Field(
        default=[], description="Models to train; empty takes all that fit the task."
    )
    seconds_per_candidate: Annotated[float, Range(0, above=True)] = Field(
        default=20.0, description="Budget of each candidate in seconds; what is not done then is broken off."
    )
    max_rounds: Annotated[int, Range(0, whole=True)] = Field(
        default=0,
        description="Budget of each candidate in rounds, without a clock: the same on every machine; 0 for seconds.",
    )
    patience: Annotated[int, Range(1, whole=True)] = Field(
        default=3, description="Rounds without a better metric on the validation rows after which a candidate stops."
    )
    seed: Annotated[int, SEED] = Field(default=2013, description="Decides the models' random numbers.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where networks are trained, cpu, cuda or auto."
    )
    threads: Annotated[int, Range(1, whole=True)] = Field(
        default=1, description="CPU threads to train with; one gives the same numbers on every number of cores."
    )
    metric: str = Field(
        default="",
        description="What early stopping goes by; empty takes the log loss, or the RMSE where the label is a number.",
    )
    code: str = Field(
        default="", description="The address of a project's code, where the metric is a project's own (file.py:name)."
    )


DEFAULTS = Parameters()
CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
CHECKS_WITH: dict[str, dict[str, Check]] = {"evaluate": {"candidates": check_both_kinds}}
"""What another step of the pipeline asks of a parameter of this one, by that step's name."""
