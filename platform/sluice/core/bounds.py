"""Bounds on what is read from outside, checked before memory or time is given: a lake or a model may be anybody's.

Honest data meet none of them. Each has a name, by which a refusal and the table in docs/contracts.md call it; where a
lake may have a good reason to be larger, a variable raises it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from sluice.core.errors import BadInput
from sluice.core.variable_kinds import whole
from sluice.core.variables import Variable, VariableGroup

_MOST = 2**53
MIB = 2**20


def _bound(name: str, default: int, meaning: str = "", without: str = "") -> Variable[int]:
    return whole(name, least=1, most=_MOST, default=default, meaning=meaning, without=without)


class BoundVariables(VariableGroup):
    """Those that a lake may have a good reason to raise."""

    value_bytes = _bound(
        "SLUICE_VALUE_BYTES",
        4 * MIB,
        "Bounds on what is read of a lake, a model or a project's code, as whole numbers from 1; what each bounds says "
        "[contracts.md](contracts.md#bounds).",
        "see there",
    )
    json_values = _bound("SLUICE_JSON_VALUES", 10_000_000)
    sql_bytes = _bound("SLUICE_SQL_BYTES", 4096 * MIB)
    sql_seconds = _bound("SLUICE_SQL_SECONDS", 600)
    images_bytes = _bound("SLUICE_IMAGES_BYTES", 2048 * MIB)
    images_values = _bound("SLUICE_IMAGES_VALUES", 2**30)
    model_bytes = _bound("SLUICE_MODEL_BYTES", 2048 * MIB)
    code_bytes = _bound("SLUICE_CODE_BYTES", 5 * MIB)
    package_bytes = _bound("SLUICE_PACKAGE_BYTES", 128 * MIB)


@dataclass(frozen=True)
class Bound:
    """One bound.

    Attributes:
        name: What it bounds, with its unit, such as `bytes of a JSON file`.
        default: The most that is taken.
        variable: The environment variable that sets it otherwise, or empty.
        given: What that says at the moment; None without one.
    """

    name: str
    default: int
    variable: str = ""
    given: Callable[[], int] | None = None

    @classmethod
    def set_by(cls, setting: Variable[int], name: str) -> Self:
        """A bound that a variable sets."""
        return cls(name, setting.default, setting.name, setting.now)

    @property
    def most(self) -> int:
        """The most that is taken, in the unit of the name.

        Raises:
            BadInput: The variable holds no whole number.
        """
        return self.given() if self.given else self.default

    def check(self, found: int, where: str, way_out: str) -> None:
        """Refuse what is beyond the bound.

        Args:
            found: How much there is, or is seen so far.
            where: The file, row or column, for the message.
            way_out: What a person can do, in a few words.

        Raises:
            BadInput: It is more than the bound.
        """
        if found > self.most:
            raise self.refusal(where, way_out, found)

    def refusal(self, where: str, way_out: str, found: int | None = None) -> BadInput:
        """The refusal, for a reader that notices by itself that a bound is met."""
        seen = "" if found is None else f" {found:,}, and"
        raised = f", or raise {self.variable}" if self.variable else ""
        return BadInput(f"{where}:{seen} at most {self.most:,} {self.name} are taken; {way_out}{raised}")


FILE_BYTES = Bound("bytes of a file that is read whole", 256 * MIB)
VALUE_BYTES = Bound.set_by(BoundVariables.value_bytes, "bytes of one value")
CSV_HEADER = Bound("bytes of a CSV file's header", MIB)
CSV_COLUMNS = Bound("columns of a CSV file", 10_000)
CSV_ROW = Bound("bytes of a row of a CSV file", 2_000_000)
CONTRACT_BYTES = Bound("bytes of a data contract", 4 * MIB)
CONTRACT_LEVELS = Bound("levels of a data contract", 32)
CONTRACT_EXPANDED = Bound("bytes of a data contract, aliases counted as what they stand for", 16 * MIB)
JSON_VALUES = Bound.set_by(BoundVariables.json_values, "values in a JSON file")
SQL_BYTES = Bound.set_by(BoundVariables.sql_bytes, "bytes that a table or view of an SQLite file gives or sorts")
SQL_SECONDS = Bound.set_by(BoundVariables.sql_seconds, "seconds without a row from an SQLite file")
IMAGE_BYTES = Bound("bytes of an image file", 32 * MIB)
IMAGE_PIXELS = Bound("pixels of an image", 4096 * 4096)
IMAGES_BYTES = Bound.set_by(BoundVariables.images_bytes, "bytes of all images of a lake")
IMAGES_VALUES = Bound.set_by(BoundVariables.images_values, "pixel values of all images of a dataset")
MODEL_BYTES = Bound.set_by(BoundVariables.model_bytes, "bytes of a model's arrays")
MODEL_LAYERS = Bound("layers of a network", 10_000)
MODEL_FEATURES = Bound("features of a model", 100_000)
CODE_BYTES = Bound.set_by(BoundVariables.code_bytes, "bytes of a project's code")
CODE_FILES = Bound("files of a project's code", 5_000)
PACKAGE_BYTES = Bound.set_by(BoundVariables.package_bytes, "bytes of the wheels of a project's packages")

EVERY = (
    FILE_BYTES,
    VALUE_BYTES,
    CSV_HEADER,
    CSV_COLUMNS,
    CSV_ROW,
    CONTRACT_BYTES,
    CONTRACT_LEVELS,
    CONTRACT_EXPANDED,
    JSON_VALUES,
    SQL_BYTES,
    SQL_SECONDS,
    IMAGE_BYTES,
    IMAGE_PIXELS,
    IMAGES_BYTES,
    IMAGES_VALUES,
    MODEL_BYTES,
    MODEL_LAYERS,
    MODEL_FEATURES,
    CODE_BYTES,
    CODE_FILES,
    PACKAGE_BYTES,
)
