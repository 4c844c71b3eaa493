"""Which values the step takes."""

from sluice.core.parameter_checks import SEED, Check, Range

CHECKS: dict[str, Check] = {
    "seconds_per_candidate": Range(0, above=True),
    "max_rounds": Range(0, whole=True),
    "patience": Range(1, whole=True),
    "threads": Range(1, whole=True),
    "seed": SEED,
}
"""By parameter; no rounds stand for the clock."""
