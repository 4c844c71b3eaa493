"""What the caller of evaluate decides."""

from dataclasses import asdict, dataclass

from sluice.core.parameter_checks import check_with
from sluice.parameters.evaluate import CHECKS


@dataclass(frozen=True)
class Gate:
    """What the gate asks.

    Attributes:
        max_calibration_error: The greatest calibration error on the test rows, as a share of the base rate.
        slice_tolerance: By how much the log loss may exceed the best baseline's or the champion's in a slice, in nats.
        min_slice_rows: Slices with fewer rows are not judged.
        least_effect: By how much the log loss has to be less than a rival's, beyond noise, to matter, in nats.
        min_effective_rows: With fewer rows, counted as if they were independent and weighed alike, nothing is decided.
    """

    max_calibration_error: float = 0.25
    slice_tolerance: float = 0.02
    min_slice_rows: int = 200
    least_effect: float = 0.001
    min_effective_rows: int = 100


@dataclass(frozen=True)
class Settings:
    """What the caller decides.

    Attributes:
        gate: What the gate asks.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides them.
    """

    gate: Gate
    resamples: int
    seed: int

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            BadInput: Naming the parameter.
        """
        check_with(CHECKS, {"resamples": self.resamples, "seed": self.seed, **asdict(self.gate)})
