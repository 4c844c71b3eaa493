"""The tables of docs/settings.md, made from the settings.

`python -m sluice.project_tools.settings_reference docs/settings.md` writes them anew.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sluice.core.settings import Settings
from sluice.core.variables import SetBy, Variable
from sluice.project_tools.project_reference import with_reference

_HEADS = {
    SetBy.USER: "Set by you, where you want something else than the default:",
    SetBy.SLUICE: "Set by Sluice itself for the processes of its steps, and by a chart for its pods:",
    SetBy.SERVER: "Set by the chart for MLflow's server:",
    SetBy.SYSTEM: "Not Sluice's own: what it reads of, or sets for, the operating system, Kubernetes and libraries:",
}


def settings_reference() -> str:
    """All variables as Markdown: a table for each who sets some."""
    return "\n\n".join(f"{head}\n\n{_table(by)}" for by, head in _HEADS.items()) + "\n"


def _table(by: SetBy) -> str:
    rows = [["variable", "meaning", "default"], ["---"] * 3]
    for fields in _together(by):
        names = ", ".join(f"`{name}`" for field in fields for name in field.names if name.isupper())
        rows.append([names, fields[0].told.meaning, fields[0].told.default])
    columns = 3 if by is SetBy.USER else 2
    return "\n".join("".join(f"| {cell} " if cell else "| " for cell in row[:columns]) + "|" for row in rows)


def _together(by: SetBy) -> Iterator[list[Variable[Any]]]:
    """The variables that share a row: one with a meaning, and those of its group that follow without one."""
    for group in Settings.groups():
        row: list[Variable[Any]] = []
        for field in group.fields():
            if field.told.by is not by:
                continue
            if field.told.meaning and row:
                yield row
                row = []
            row.append(field)
        if row:
            yield row


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_reference(path.read_text(encoding="utf-8"), settings_reference()), encoding="utf-8")
