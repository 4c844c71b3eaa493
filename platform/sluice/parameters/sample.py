"""Which values the step takes."""

from sluice.core.parameter_checks import Check, Range

CHECKS: dict[str, Check] = {"fraction": Range(0, 1, above=True), "rows": Range(0, whole=True)}
"""By parameter; no rows go by the fraction."""
