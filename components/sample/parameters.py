"""Which values the step takes."""

from components.common.parameters import Check, Range

CHECKS: dict[str, Check] = {"fraction": Range(0, 1, above=True), "rows": Range(0, whole=True)}
"""By parameter; no rows go by the fraction."""
