"""What the caller of evaluate decides."""

from dataclasses import dataclass

from components.common.errors import BadInput


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
        limits = {
            "resamples": (self.resamples, 20, 100_000),
            "max_calibration_error": (self.gate.max_calibration_error, 0, 10),
            "slice_tolerance": (self.gate.slice_tolerance, 0, 10),
            "min_slice_rows": (self.gate.min_slice_rows, 2, 1_000_000_000),
            "least_effect": (self.gate.least_effect, 0, 10),
            "min_effective_rows": (self.gate.min_effective_rows, 2, 1_000_000_000),
        }
        for name, (value, least, greatest) in limits.items():
            if not least <= value <= greatest:
                raise BadInput(f"parameter {name!r} is {value}; give a number from {least} to {greatest}")
