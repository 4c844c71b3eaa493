"""What a person may set about the step."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import SEED, Check, Range, StepParameters
from sluice.parameters.candidate_settings import checked_settings, read_entry
from sluice.problems.candidate_names import BASELINE_BY_NAME


def check_candidates(name: str, candidates: Sequence[Any], *, images: bool | None = None) -> None:
    """See that each candidate is one that can be trained with its settings, on whatever data.

    Args:
        name: The parameter's, for messages.
        candidates: As they were given; none stands for all that fit.
        images: Whether they learn from images, or from tables; None where that is not known.

    Raises:
        BadInput: A name or a setting is unknown, a setting is out of its range, or an entry stands twice.
    """
    if not candidates or not isinstance(candidates, list | tuple):
        return  # its type is looked at by whoever asked
    seen = []
    for entry in candidates:
        wanted = read_entry(name, entry)
        checked_settings(wanted, name, images=images)
        if wanted in seen:
            raise BadInput(f"parameter {name!r} names {entry!r} twice; name it once")
        seen.append(wanted)


def check_one_to_judge(name: str, candidates: Sequence[Any]) -> None:
    """See that a list of candidates has one to judge; baselines to judge it against are added where it names none.

    Args:
        name: The parameter's, for messages.
        candidates: Known ones.

    Raises:
        BadInput: It has baselines only.
    """
    if candidates and all(BASELINE_BY_NAME.get(read_entry(name, each).name, False) for each in candidates):
        others = ", ".join(known for known, baseline in BASELINE_BY_NAME.items() if not baseline)
        raise BadInput(
            f"parameter {name!r} is {list(candidates)}, which has no candidate beside the baselines, and evaluate "
            f"judges one against the other; add one of {others}, or leave the list empty for all that fit"
        )


class Parameters(StepParameters):
    """Which models are trained, and within which budget; no rounds stand for the clock."""

    candidates: Annotated[list[Any], check_candidates] = Field(
        default=[],
        description="Models to train, each a name or {name: settings}; empty takes all that fit the task.",
    )
    seconds_per_candidate: Annotated[float, Range(0, above=True)] = Field(
        default=60.0, description="Budget of each candidate in seconds; what is not done then is broken off."
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
        description="What early stopping goes by; empty takes the problem's own, such as the log loss or the RMSE.",
    )
    code: str = Field(
        default="",
        description="The address of a project's code, where the problem, the metric or a candidate is the project's "
        "own.",
    )


DEFAULTS = Parameters()
CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
CHECKS_WITH: dict[str, dict[str, Check]] = {
    "evaluate": {"candidates": check_one_to_judge},
    "prepare": {"candidates": partial(check_candidates, images=False)},
    "ingest_images": {"candidates": partial(check_candidates, images=True)},
}
"""What another step of the pipeline asks of a parameter of this one, by that step's name."""
