"""The step: every table of a lake, read as its contract says, into one dataset."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sluice.artifacts.bundles import Bundle, workspace
from sluice.artifacts.producer import producer
from sluice.contract.reading import TableContract, contract_body
from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.core.extensions import Opened
from sluice.core.progress import progress
from sluice.engine.datasets import PART, publish_tables
from sluice.engine.parquet import WrittenParquet
from sluice.extending.sources import TableSource
from sluice.project.code import open_code
from sluice.sources.csv_counts import CsvCount, CsvCounter
from sluice.sources.csv_tables import read_csv
from sluice.sources.databases import Database, locate
from sluice.sources.ingest_summary import summarize
from sluice.sources.json_tables import read_json
from sluice.sources.lakes import Lake, opened
from sluice.sources.own_tables import BY, FILES, open_sources, read_own
from sluice.sources.source_files import Digest, SourceFile, check_readable, find, hashed, line_at
from sluice.sources.sql_tables import read_sql
from sluice.sources.sqlite_files import check_settled
from sluice.storage.locations import default_store


@dataclass(frozen=True)
class IngestedSource:
    """Where rows came from, as the manifest remembers it.

    Attributes:
        table: The dataset's table.
        path: The file's path in the lake, or the database server as the contract states it, without credentials.
        sha256: Of the file; None for a database server.
        bytes: Of the file; None for a database server.
        rows: Rows read.
    """

    table: str
    path: str
    sha256: str | None
    bytes: int | None
    rows: int


def run(lake: str, *, summary: Path, sources: Mapping[str, Any] = MappingProxyType({}), code: str = "") -> Bundle:
    """Read a lake.

    Args:
        lake: Its address, as `sluice.storage.locations.open_lake` reads it.
        summary: Where to write the account in Markdown.
        sources: The project's own sources, by the names that the contract has for them.
        code: The address of the project's code, where one of them is in it.

    Returns:
        A dataset with the contract's tables. The same data and contract give the same id, wherever the lake lies.

    Raises:
        BadInput: The contract or a source is not as it should be; the message says which, where and what to do.
        EnvironmentFault: The store, a database or the disk failed.
    """
    store = default_store()
    project = open_code(code) if code else None
    with opened(lake) as source, workspace(store) as folder:
        own = open_sources(source.contract.tables, sources, project)
        parts: dict[str, list[WrittenParquet]] = {}
        origins: list[IngestedSource] = []
        for name, table in source.contract.tables.items():
            start = time.monotonic()
            read = list(_read(source, name, table, folder / name, own.get(name)))
            parts[name] = [written for written, _ in read]
            origins += [origin for _, origin in read]
            rows = sum(written.rows for written in parts[name])
            progress(f"{name}: {rows:,} rows from {_places(read)} in {time.monotonic() - start:.1f} s")
        body = contract_body(source.contract)
        details = {"contract": body, "sources": [asdict(origin) for origin in origins]}
        told = {"code": project.digest} if project and own else {}
        made = producer("ingest", {"contract": sha256_json(body)} | told)
        notes = {"lake": source.address, "databases": _servers(source)}
        bundle = publish_tables(store, folder, parts, made, details=details, notes=notes)
    summary.write_text(summarize(bundle), encoding="utf-8")
    return bundle


def _read(
    lake: Lake, name: str, table: TableContract, target: Path, own: Opened[TableSource] | None
) -> Iterator[tuple[WrittenParquet, IngestedSource]]:
    """Read one table, a Parquet file for each source file."""
    if own:
        yield from _read_own(lake, name, table, target, own)
        return
    if "sql" in table.source:
        yield _read_database(lake, name, table, target / PART.format(0))
        return
    for number, file in enumerate(find(lake.folder, table.source.get("csv") or table.source["json"])):
        check_readable(file)
        written, digest = _read_file(file, table, target / PART.format(number))
        if digest.zero_at >= 0:
            line = line_at(file.path, digest.zero_at)
            raise BadInput(f"{file.name}, line {line}: a NUL byte, so this is no text file; save it anew in UTF-8")
        yield written, IngestedSource(name, file.name, digest.sha256, digest.size, written.rows)


def _read_own(
    lake: Lake, name: str, table: TableContract, target: Path, own: Opened[TableSource]
) -> Iterator[tuple[WrittenParquet, IngestedSource]]:
    if FILES not in table.source:
        written = read_own(own, name, table, None, target / PART.format(0))
        yield written, IngestedSource(name, f"{table.source[BY]}, {name}", None, None, written.rows)
        return
    for number, file in enumerate(find(lake.folder, table.source[FILES])):
        check_readable(file)
        with hashed(file) as digest:
            written = read_own(own, name, table, file.path, target / PART.format(number))
        found = digest.result()
        yield written, IngestedSource(name, file.name, found.sha256, found.size, written.rows)


def _read_file(file: SourceFile, table: TableContract, target: Path) -> tuple[WrittenParquet, Digest]:
    """Read a CSV or JSON file; what hashes a CSV file also counts its rows."""
    counter = CsvCounter()
    is_csv = "csv" in table.source
    with hashed(file, counter.feed if is_csv else None) as digest:

        def count() -> CsvCount:
            digest.result()
            return counter.result()

        written = read_csv(file, table.columns, target, count) if is_csv else read_json(file, table.columns, target)
    return written, digest.result()


def _read_database(lake: Lake, name: str, table: TableContract, target: Path) -> tuple[WrittenParquet, IngestedSource]:
    database = locate(lake.folder, table.source["sql"])
    if database.file is None:
        written = read_sql(database, table, target)
        return written, IngestedSource(
            name, f"{_stated(table, database)}, {table.source['table']}", None, None, written.rows
        )
    with hashed(database.file) as digest:
        written = read_sql(database, table, target)
    check_settled(database.file)  # a program may have begun to write into a log meanwhile
    found = digest.result()
    return written, IngestedSource(name, database.name, found.sha256, found.size, written.rows)


def _stated(table: TableContract, database: Database) -> str:
    """A server as the contract states it: behind a variable its address differs between a laptop and a cluster."""
    return table.source["sql"] if "${" in table.source["sql"] else database.name


def _servers(lake: Lake) -> dict[str, str]:
    """The addresses of the tables' database servers, without credentials."""
    databases = {n: locate(lake.folder, t.source["sql"]) for n, t in lake.contract.tables.items() if "sql" in t.source}
    return {name: database.name for name, database in databases.items() if database.file is None}


def _places(read: list[tuple[WrittenParquet, IngestedSource]]) -> str:
    return read[0][1].path if len(read) == 1 else f"{len(read)} files"
