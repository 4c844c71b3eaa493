"""Prepare functions that an installed package brings; a project's own is written `prepare.py:rows` and is the same.

A prepare function makes the rows to learn from out of the lake's tables. It is one Ibis expression, so what each column
rests on is traced out of it, whoever wrote it. In a package:

    [project.entry-points."sluice.prepare"]                  # in its pyproject.toml
    acme-rows = "acme_tables.rows:rows"

    def rows(tables):                                        # names to Ibis tables
        return tables["houses"].filter(tables["houses"].area > 0)

and in the project: `prepare: acme-rows`. A model remembers the package with its version, and forecasts of raw rows are
made where that very version is installed.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from sluice.core.extensions import Registry

if TYPE_CHECKING:  # the command looks at the names, and needs no engine
    import ibis


class PrepareFunction(Protocol):
    """Makes the rows."""

    def __call__(self, tables: "Mapping[str, ibis.Table]") -> "ibis.Table":
        """The rows, one expression over the tables.

        Args:
            tables: The lake's, by name.
        """
        ...


PREPARE_FUNCTIONS: Registry[PrepareFunction] = Registry("prepare", PrepareFunction, {}, title="prepare function")
"""Those of installed packages."""
