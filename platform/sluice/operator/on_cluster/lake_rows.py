"""Rows of a lake's table, though nobody has read the lake anew: by the manifest of the dataset that was read last.

The manifest of an ingested dataset names each file that was read, with its bytes and rows. A file that is there as it
was then has as many rows as then; a CSV file that is new is counted by its own bytes, once. What is neither, such as a
table of a database, is not counted, and the reason is said.
"""

import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sluice.artifacts.provenance import find_bundle
from sluice.contract.reading import CONTRACT, parse_contract
from sluice.core.errors import BadInput
from sluice.sources.source_files import may_mean
from sluice.storage.marks import Mark
from sluice.storage.stores import Store

Known = Mapping[tuple[str, str, int], int]
"""Rows by table, path in the lake and size in bytes."""
MOST_BYTES = 64 * 2**20
"""Of a new file that the operator counts itself: the pod's disk holds little."""
_MOST_KEPT = 20_000


class LakeRows:
    """Counts; each file and each manifest is read once."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store, self._lock = store, threading.Lock()
        self._manifests: dict[str, Known] = {}
        self._counted: dict[tuple[str, str], int] = {}  # by path and content

    def rows(self, lake: Store, marks: Iterable[Mark], table: str, ingested: str) -> int:
        """The rows of a table as the lake is now.

        Args:
            lake: The lake.
            marks: What lies in it.
            table: In the lake's contract; empty for its only one.
            ingested: The id of a dataset that was read from it; empty where none is known.

        Raises:
            BadInput: They cannot be counted; the message says why.
            EnvironmentFault: The store failed.
        """
        name, pattern = self._pattern(lake, table)
        known = self._known(ingested)
        found = [mark for mark in marks if may_mean(pattern, mark.key)]
        if not found:
            raise BadInput(f"no file of table {name} lies in the lake")
        return sum(self._of_file(lake, mark, name, known, csv=pattern.casefold().endswith(".csv")) for mark in found)

    def _pattern(self, lake: Store, table: str) -> tuple[str, str]:
        contract = parse_contract(lake.get_bytes(CONTRACT).decode("utf-8", "replace"), CONTRACT)
        if not table and len(contract.tables) == 1:
            table = next(iter(contract.tables))
        if table not in contract.tables:
            raise BadInput(
                f"the Project does not say in which of the lake's tables ({', '.join(contract.tables)}) the rows are: "
                "parameters.task.rows.table of its pipeline"
            )
        source = contract.tables[table].source
        pattern = source.get("csv") or source.get("json")
        if not pattern:
            kind = "database" if "sql" in source else "source of a project's own"
            raise BadInput(f"table {table} is read from a {kind}, which the operator does not open")
        return table, pattern

    def _known(self, ingested: str) -> Known:
        if not ingested:
            return {}
        with self._lock:
            if ingested in self._manifests:
                return self._manifests[ingested]
        sources = find_bundle(self._store(), ingested).manifest.details.get("sources", ())
        known = {
            (str(each["table"]), str(each["path"]), int(each["bytes"])): int(each["rows"])
            for each in sources
            if each.get("bytes") is not None
        }
        with self._lock:
            self._manifests = {**dict(list(self._manifests.items())[-100:]), ingested: known}
        return known

    def _of_file(self, lake: Store, mark: Mark, table: str, known: Known, *, csv: bool) -> int:
        if (rows := known.get((table, mark.key, mark.size))) is not None:
            return rows
        if not csv:
            raise BadInput(f"{mark.key} is new and no CSV file, so only a run counts its rows")
        if mark.size > MOST_BYTES:
            raise BadInput(
                f"{mark.key} is new and has {mark.size / 2**20:.0f} MiB, more than the {MOST_BYTES // 2**20} MiB that "
                "the operator reads itself"
            )
        place = (mark.key, mark.content)
        with self._lock:
            if place in self._counted:
                return self._counted[place]
        counted = _count(lake, mark.key)
        with self._lock:
            if len(self._counted) >= _MOST_KEPT:
                self._counted.clear()
            self._counted[place] = counted
        return counted


def _count(lake: Store, key: str) -> int:
    """Rows of a CSV file by its bytes: its records but the header."""
    from sluice.sources.csv_counts import count_csv  # it takes NumPy, which nothing else here needs

    with tempfile.TemporaryDirectory(prefix="sluice-rows-") as folder:
        path = Path(folder, "rows.csv")
        lake.get_file(key, path)
        return max(count_csv(path).records - 1, 0)
