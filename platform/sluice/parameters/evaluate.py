"""Which values the step takes."""

from sluice.core.parameter_checks import SEED, Check, Range

CHECKS: dict[str, Check] = {
    "resamples": Range(20, 100_000, whole=True),
    "seed": SEED,
    "max_calibration_error": Range(0, 10),
    "slice_tolerance": Range(0, 10),
    "min_slice_rows": Range(2, 1_000_000_000, whole=True),
    "least_effect": Range(0, 10),
    "min_effective_rows": Range(2, 1_000_000_000, whole=True),
}
"""By parameter."""
