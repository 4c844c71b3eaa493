"""What a lake is now, as the store tells without reading it: another content is another dataset id."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from sluice.contract.reading import CONTRACT
from sluice.core.errors import BadInput
from sluice.operator.evidence import LakeSeen
from sluice.storage.locations import open_lake
from sluice.storage.marks import Mark, marks
from sluice.storage.stores import Store


@dataclass(frozen=True)
class LakeLook:
    """A lake as it is now.

    Attributes:
        seen: What every trigger may ask.
        partitions: The values in the names of folders such as `month=2013-01`, by column; rows are not counted.
        store: The lake.
        marks: What lies in it.
    """

    seen: LakeSeen
    partitions: Mapping[str, frozenset[str]]
    store: Store = field(compare=False, repr=False)
    marks: tuple[Mark, ...] = field(default=(), compare=False, repr=False)

    def named(self, name: str, column: str) -> LakeSeen:
        """The same under the Project's name for it, with the partitions of a column."""
        values = dict.fromkeys(sorted(self.partitions.get(column, ())), 0)
        return self.seen.model_copy(update={"name": name, "partitions": values})


def look_at_lake(address: str) -> LakeLook:
    """A lake.

    Args:
        address: As `sluice.storage.locations.open_lake` reads it.

    Returns:
        Its dataset id follows from names and contents of its files: who writes the same bytes again changes nothing.

    Raises:
        BadInput: There is no lake.
        EnvironmentFault: The store failed.
    """
    store = open_lake(address)
    found = [mark for mark in marks(store) if not mark.key.endswith("/")]
    if not any(mark.key == CONTRACT for mark in found):
        raise BadInput(f"the lake {address} has no {CONTRACT}; correct the address, or describe its tables there")
    digest = hashlib.sha256()
    for mark in found:
        digest.update(f"{mark.key}\0{mark.size}\0{mark.content}\n".encode())
    newest = max(mark.written for mark in found)
    seen = LakeSeen(name="", dataset=digest.hexdigest(), arrived=min(newest, datetime.now(UTC)))
    return LakeLook(seen, _partitions(mark.key for mark in found), store, tuple(found))


def _partitions(keys: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for key in keys:
        for folder in key.split("/")[:-1]:
            column, separator, value = folder.partition("=")
            if separator and column:
                found.setdefault(column, set()).add(unquote(value))
    return {column: frozenset(values) for column, values in found.items()}
