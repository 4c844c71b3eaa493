"""What a user may set about training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import check_with
from sluice.parameters.train import CHECKS

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """The step's parameters, checked.

    Attributes:
        candidates: Names of what to train; empty for all that fit the task.
        seconds_per_candidate: The clock that each candidate has, where no number of rounds is given.
        max_rounds: The rounds that each candidate has instead, with no clock; 0 for the clock.
        patience: A candidate stops after so many rounds without a better validation log loss.
        seed: Decides everything random.
        device: Where networks are trained: `cpu`, `cuda`, or `auto` for CUDA where there is some.
        threads: CPU threads; more than one can change the last digits of the numbers.
    """

    candidates: tuple[str, ...] = ()
    seconds_per_candidate: float = 20.0
    max_rounds: int = 0
    patience: int = 3
    seed: int = 2013
    device: str = "auto"
    threads: int = 1

    def parameters(self) -> dict[str, Any]:
        """As the manifest records them."""
        return {**asdict(self), "candidates": list(self.candidates)}


def check_settings(
    candidates: Sequence[str] = (),
    seconds_per_candidate: float = Settings.seconds_per_candidate,
    max_rounds: int = Settings.max_rounds,
    patience: int = Settings.patience,
    seed: int = Settings.seed,
    device: str = Settings.device,
    threads: int = Settings.threads,
) -> Settings:
    """Check what a user gave; the candidates' names are checked once the task is known.

    Raises:
        BadInput: A parameter is out of its range.
    """
    check_with(CHECKS, locals())
    if device not in DEVICES:
        raise BadInput(f"device {device!r} is unknown; use one of {', '.join(DEVICES)}")
    names = tuple(str(name) for name in candidates)
    return Settings(names, float(seconds_per_candidate), max_rounds, patience, seed, device, threads)
