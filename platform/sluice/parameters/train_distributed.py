"""Which values the step takes."""

from sluice.core.parameter_checks import SEED, Check, Range

CHECKS: dict[str, Check] = {
    "workers": Range(1, 1024, whole=True),
    "epochs": Range(0, whole=True),
    "patience": Range(1, whole=True),
    "batch_rows": Range(0, whole=True),
    "learning_rate": Range(0, above=True),
    "seed": SEED,
    "checkpoint_seconds": Range(0),
    "max_restarts": Range(0, whole=True),
    "start_seconds": Range(1, whole=True),
    "timeout_seconds": Range(1, whole=True),
}
"""By parameter; no epochs or rows stand for the network's own choice."""
