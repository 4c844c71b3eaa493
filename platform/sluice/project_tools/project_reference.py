"""The reference of the project file in the documentation, made from the models."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

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
    Resources,
    Rows,
    Sample,
    Split,
    Toleration,
    Train,
)
from sluice.project.yaml_text import flow

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
_PARTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The file", Project),
    ("`rows`", Rows),
    ("`label`", Label),
    ("`sample`", Sample),
    ("`split`", Split),
    ("`train`", Train),
    ("`gate`", Gate),
    ("`steps`: each step", Resources),
    ("`steps`: each toleration", Toleration),
)

_CANDIDATES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("`linear`:", LinearSettings),
    ("`trees`:", TreesSettings),
    ("`network`, for a table:", TableNetworkSettings),
    ("`network`, for images:", ImageNetworkSettings),
)


def reference() -> str:
    """All keys of a project file as Markdown: a table for each mapping."""
    parts = [f"### {title}\n\n{_table(model)}" for title, model in _PARTS]
    parts += ["### Settings of candidates", *(f"{title}\n\n{_table(model)}" for title, model in _CANDIDATES)]
    return "\n\n".join(parts) + "\n"


def with_reference(text: str) -> str:
    """A document with the reference between its two marks.

    Raises:
        ValueError: The document lacks the marks.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the document lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _table(model: type[BaseModel]) -> str:
    return "\n".join(("| key | default | what |", "|---|---|---|", *_rows(model)))


def _rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
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
    document = Path(sys.argv[1])
    document.write_text(with_reference(document.read_text(encoding="utf-8")), encoding="utf-8")
