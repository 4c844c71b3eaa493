"""A DuckDB in memory that opens no file, loads nothing and reaches for no network: where a model's own query runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "enable_external_access": False,
    "preserve_insertion_order": True,
    "threads": 1,  # a request's rows are few, and come back in their order
}


def open_closed() -> Any:  # noqa: ANN401 - duckdb's is untyped
    """Open one; its clock is in UTC."""
    import duckdb

    engine = duckdb.connect(":memory:", config=_SETTINGS)
    engine.execute("SET TimeZone = 'UTC'; SET lock_configuration = true")
    return engine


@contextmanager
def closed_duckdb() -> Iterator[Any]:
    """The same for the time of the `with` block."""
    with open_closed() as engine:
        yield engine


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever letters it has."""
    return '"' + name.replace('"', '""') + '"'
