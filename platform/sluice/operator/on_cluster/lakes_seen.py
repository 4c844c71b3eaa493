"""What a lake is now, as the store tells without reading it: another content is another dataset id."""

import hashlib
from datetime import UTC, datetime

from sluice.contract.reading import CONTRACT
from sluice.core.errors import BadInput
from sluice.operator.evidence import LakeSeen
from sluice.storage.locations import open_lake
from sluice.storage.marks import marks


def look_at_lake(address: str) -> LakeSeen:
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
    return LakeSeen(name="", dataset=digest.hexdigest(), arrived=min(newest, datetime.now(UTC)))
