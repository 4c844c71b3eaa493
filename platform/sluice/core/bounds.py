"""Bounds on what is read from outside, checked before memory or time is given: a lake or a model may be anybody's.

Honest data meet none of them. Each has a name, by which a refusal and the table in docs/contracts.md call it; where a
lake may have a good reason to be larger, a variable raises it.
"""

from dataclasses import dataclass

from sluice.core.errors import BadInput
from sluice.core.settings import whole_number

_MOST = 2**53
MIB = 2**20


@dataclass(frozen=True)
class Bound:
    """One bound.

    Attributes:
        name: What it bounds, with its unit, such as `bytes of a JSON file`.
        default: The most that is taken.
        variable: The environment variable that sets it otherwise, or empty.
    """

    name: str
    default: int
    variable: str = ""

    @property
    def most(self) -> int:
        """The most that is taken, in the unit of the name.

        Raises:
            BadInput: The variable holds no whole number.
        """
        return whole_number(self.variable, self.default, 1, _MOST) if self.variable else self.default

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
VALUE_BYTES = Bound("bytes of one value", 4 * MIB, "SLUICE_VALUE_BYTES")
CSV_HEADER = Bound("bytes of a CSV file's header", MIB)
CSV_COLUMNS = Bound("columns of a CSV file", 10_000)
CSV_ROW = Bound("bytes of a row of a CSV file", 2_000_000)
CONTRACT_BYTES = Bound("bytes of a data contract", 4 * MIB)
CONTRACT_LEVELS = Bound("levels of a data contract", 32)
CONTRACT_EXPANDED = Bound("bytes of a data contract, aliases counted as what they stand for", 16 * MIB)
JSON_VALUES = Bound("values in a JSON file", 10_000_000, "SLUICE_JSON_VALUES")
SQL_BYTES = Bound("bytes that a table or view of an SQLite file gives or sorts", 4096 * MIB, "SLUICE_SQL_BYTES")
SQL_SECONDS = Bound("seconds without a row from an SQLite file", 600, "SLUICE_SQL_SECONDS")
IMAGE_BYTES = Bound("bytes of an image file", 32 * MIB)
IMAGE_PIXELS = Bound("pixels of an image", 4096 * 4096)
IMAGES_BYTES = Bound("bytes of all images of a lake", 2048 * MIB, "SLUICE_IMAGES_BYTES")
IMAGES_VALUES = Bound("pixel values of all images of a dataset", 2**30, "SLUICE_IMAGES_VALUES")
MODEL_BYTES = Bound("bytes of a model's arrays", 2048 * MIB, "SLUICE_MODEL_BYTES")
MODEL_LAYERS = Bound("layers of a network", 10_000)
MODEL_FEATURES = Bound("features of a model", 100_000)
CODE_BYTES = Bound("bytes of a project's code", 5 * MIB, "SLUICE_CODE_BYTES")
CODE_FILES = Bound("files of a project's code", 5_000)
PACKAGE_BYTES = Bound("bytes of the wheels of a project's packages", 128 * MIB, "SLUICE_PACKAGE_BYTES")

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
