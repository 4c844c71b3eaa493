"""What a person may set about the step."""

from typing import Annotated, Any

from pydantic import Field

from sluice.core.chosen import Chosen, all_chosen
from sluice.core.parameter_checks import SEED, Check, Range, StepParameters
from sluice.extending.gate_checks import GATE_CHECKS, SLUICES_OWN
from sluice.extending.sections import REPORT_SECTIONS


def chosen_checks(name: str, value: Any) -> list[Chosen]:  # noqa: ANN401 - JSON
    """Further checks of the gate; see `all_chosen`."""
    return all_chosen(name, value, GATE_CHECKS, own=SLUICES_OWN)


def chosen_sections(name: str, value: Any) -> list[Chosen]:  # noqa: ANN401 - JSON
    """Further sections of the report; see `all_chosen`."""
    return all_chosen(name, value, REPORT_SECTIONS)


class Parameters(StepParameters):
    """How closely the gate looks."""

    max_calibration_error: Annotated[float, Range(0, 10)] = Field(
        default=0.25,
        description="The greatest calibration error, a share of the base rate; of numbers bias, of the MAE.",
    )
    slice_tolerance: Annotated[float, Range(0, 10)] = Field(
        default=0.02,
        description="By how much the metric may be worse than a rival's in a slice; of numbers, as a share.",
    )
    min_slice_rows: Annotated[int, Range(2, 1_000_000_000, whole=True)] = Field(
        default=200, description="Slices with fewer rows are not judged."
    )
    least_effect: Annotated[float, Range(0, 10)] = Field(
        default=0.001,
        description="By how much the metric must be better than a rival's to matter; units as for slice_tolerance.",
    )
    min_effective_rows: Annotated[int, Range(2, 1_000_000_000, whole=True)] = Field(
        default=100, description="With fewer rows, counted as if independent, nothing is decided."
    )
    resamples: Annotated[int, Range(20, 100_000, whole=True)] = Field(
        default=1000, description="Bootstrap resamples behind each interval."
    )
    seed: Annotated[int, SEED] = Field(default=2013, description="Decides the resamples.")
    metric: str = Field(
        default="",
        description="What models are chosen and judged by; empty takes the problem's own, such as the log loss or the "
        "RMSE.",
    )
    gate_checks: Annotated[list[Any], chosen_checks] = Field(
        default=[],
        description="Further checks of the gate: names, or names with settings; file.py:name is a project's own.",
    )
    report_sections: Annotated[list[Any], chosen_sections] = Field(
        default=[], description="Further sections of the report, written as the checks are."
    )
    seconds_per_check: Annotated[float, Range(0, 10_000_000, above=True)] = Field(
        default=60.0, description="How long each of these checks and sections may take, in seconds; then it is refused."
    )
    code: str = Field(
        default="",
        description="The address of a project's code, where problem, metric, checks or sections are its own "
        "(file.py:name).",
    )


DEFAULTS = Parameters()
CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
