"""The references of the project file and of the data contract in the documentation, made from the models.

`python -m sluice.project_tools.project_reference docs/project.md docs/contracts.md` writes them anew.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sluice.contract.model import Column, Contract, Freshness, TableContract
from sluice.parameters.candidate_settings import (
    ImageNetworkSettings,
    LinearSettings,
    TableNetworkSettings,
    TreesSettings,
)
from sluice.project.declaration import (
    Candidate,
    Gate,
    Label,
    Project,
    Report,
    Resources,
    Rows,
    Sample,
    Split,
    Toleration,
    Train,
)
from sluice.project.yaml_text import flow

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
_Parts = tuple[tuple[str, Mapping[str, FieldInfo]], ...]
_PROJECT: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", Project),
    ("`rows`", Rows),
    ("`label`", Label),
    ("`sample`", Sample),
    ("`split`", Split),
    ("`train`", Train),
    ("`gate`", Gate),
    ("`report`", Report),
    ("`steps`: each step", Resources),
    ("`steps`: each toleration", Toleration),
)

_CANDIDATES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("`linear`:", LinearSettings),
    ("`trees`:", TreesSettings),
    ("`network`, for a table:", TableNetworkSettings),
    ("`network`, for images:", ImageNetworkSettings),
)


_CONTRACT: tuple[tuple[str, Any], ...] = (
    ("`contract.yaml`", Contract),
    ("`tables`: each table", TableContract),
    ("`freshness`", Freshness),
    ("`columns`: each column", Column),
)


def reference() -> str:
    """All keys of a project file as Markdown: a table for each mapping."""
    said = _tables(tuple((title, model.model_fields) for title, model in _PROJECT))
    settings = "\n\n".join(f"{title}\n\n{_table(model.model_fields)}" for title, model in _CANDIDATES)
    return f"{said}\n### Settings of candidates\n\n{settings}\n"


def contract_reference() -> str:
    """The same of a data contract."""
    return _tables(tuple((title, model.__pydantic_fields__) for title, model in _CONTRACT))


def with_reference(text: str, words: str) -> str:
    """A document with a reference between its two marks.

    Args:
        text: The document.
        words: The reference.

    Raises:
        ValueError: The document lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{words}\n{END}{after}"


def _tables(parts: _Parts) -> str:
    return "\n\n".join(f"### {title}\n\n{_table(fields)}" for title, fields in parts) + "\n"


def _table(fields: Mapping[str, FieldInfo]) -> str:
    return "\n".join(("| key | default | what |", "|---|---|---|", *_rows(fields)))


def _rows(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        default = "required" if field.is_required() else _default(field.default)
        words = (field.description or "").replace("|", "\\|").replace("<", "&lt;")
        yield f"| `{field.alias or name}` | {default} | {words} |"


def _default(value: Any) -> str:  # noqa: ANN401 - any default
    if value is None or value is PydanticUndefined or value in ((), {}, ""):
        return ""
    if isinstance(value, BaseModel):
        return "" if not isinstance(value, Candidate) else value.name
    return f"`{flow(value)}`"


if __name__ == "__main__":
    for path, words in zip(map(Path, sys.argv[1:]), (reference(), contract_reference()), strict=True):
        path.write_text(with_reference(path.read_text(encoding="utf-8"), words), encoding="utf-8")
