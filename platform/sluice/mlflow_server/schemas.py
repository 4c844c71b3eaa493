"""How far a database's schema is behind MLflow's code: of runs and registry, and of accounts.

Alembic can tell too, but it runs every migration script for that, and those import MLflow: 5 s and 200 MiB on a small
machine. Two assignments at the top of each script are all that it takes.
"""

import ast
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from sluice.core.errors import BadInput


class State(Enum):
    """How a database stands to the code."""

    EMPTY = "empty"
    BEHIND = "behind the code"
    CURRENT = "up to date"
    NEWER = "newer than the code"


@dataclass(frozen=True)
class Schema:
    """One of MLflow's schemas.

    Attributes:
        name: What it keeps, for messages.
        scripts: The folder of its migration scripts inside the package `mlflow`.
        version_table: The table that holds the revision that a database is at.
    """

    name: str
    scripts: str
    version_table: str

    @cached_property
    def revisions(self) -> dict[str, str | None]:
        """Each revision that the code knows, with the one before it."""
        spec = find_spec("mlflow")  # of the package alone: this imports nothing
        if spec is None or not spec.submodule_search_locations:
            raise BadInput("MLflow is not installed here; use the image sluice/platform")
        folder = Path(spec.submodule_search_locations[0], self.scripts, "versions")
        found = [_assignments(path) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
        return {str(each["revision"]): each["down_revision"] for each in found}

    @property
    def head(self) -> str:
        """The revision that the code needs."""
        (head,) = set(self.revisions) - set(self.revisions.values())
        return head

    def state(self, connection: Connection) -> State:
        """How the database behind a connection stands to the code."""
        present = self.revision(connection)
        if present is None:
            return State.EMPTY
        if present == self.head:
            return State.CURRENT
        return State.BEHIND if present in self.revisions else State.NEWER

    def revision(self, connection: Connection) -> str | None:
        """The revision that the database is at; None before its first migration."""
        if not inspect(connection).has_table(self.version_table):
            return None
        found = connection.execute(select(table(self.version_table, column("version_num")).c.version_num)).first()
        return str(found[0]) if found else None


RUNS = Schema("runs and registry", "store/db_migrations", "alembic_version")
ACCOUNTS = Schema("accounts", "server/auth/db/migrations", "alembic_version_auth")


def _assignments(script: Path) -> dict[str, str | None]:
    """The constants that a migration script assigns at its top."""
    found: dict[str, str | None] = {}
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            found[target.id] = None if value.value is None else str(value.value)
    return found
