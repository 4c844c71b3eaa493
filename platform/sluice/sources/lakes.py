"""A lake as a local folder: where it lies, or the copy of its files that the contract names."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluice.contract.reading import CONTRACT, Contract, parse_contract
from sluice.core.errors import BadInput
from sluice.core.files import faults
from sluice.core.progress import progress
from sluice.sources.source_files import may_mean
from sluice.sources.sqlite_files import LOG
from sluice.storage.locations import open_lake
from sluice.storage.stores import Store

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Lake:
    """A lake that can be read: its address, its contract, and the folder where its files are."""

    address: str
    contract: Contract
    folder: Path


@contextmanager
def opened(address: str) -> Iterator[Lake]:
    """Open a lake for the time of the `with` block.

    Args:
        address: As `sluice.storage.locations.open_lake` reads it.

    Raises:
        BadInput: There is no contract, or it is malformed.
        EnvironmentFault: The store that holds the lake failed.
    """
    store = open_lake(address)
    if not store.exists(CONTRACT):
        raise BadInput(f"the lake {store.uri} has no {CONTRACT}; check the address, or describe its tables there")
    contract = _contract(store)
    place = store.local_path(CONTRACT)
    if place is not None:
        yield Lake(store.uri, contract, place.parent)
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        _copy(store, contract, Path(name))
        yield Lake(store.uri, contract, Path(name))


def _contract(store: Store) -> Contract:
    where = f"{store.uri}/{CONTRACT}"
    try:
        return parse_contract(store.get_bytes(CONTRACT).decode("utf-8-sig"), where)
    except UnicodeDecodeError:
        raise BadInput(f"{where} is not UTF-8; save the file in UTF-8") from None


def _copy(store: Store, contract: Contract, folder: Path) -> None:
    """Copy what the contract may mean; the reader then looks for its files there as in any folder."""
    sources = [table.source for table in contract.tables.values()]
    wanted = {_pattern(source) for source in sources} - {""}
    logs = {f"{pattern}{LOG}" for pattern in wanted}  # a database's newest rows: they are refused, not missed
    for key in store.keys(""):
        if key.endswith("/"):
            continue  # what a console makes of a new folder
        if any(may_mean(pattern, key) for pattern in wanted | logs):
            progress(f"copying {key}")
            target = folder / key
            with faults(str(target)):
                target.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(key, target)


def _pattern(source: Mapping[str, str]) -> str:
    """The files of the lake that a table's source may mean; an empty text for none."""
    if sql := source.get("sql"):
        return sql.removeprefix(_SQLITE)
    return next((source[kind] for kind in ("csv", "json", "files") if kind in source), "")
