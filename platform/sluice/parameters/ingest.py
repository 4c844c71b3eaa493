"""What a person may set about the step."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from sluice.core.chosen import chosen
from sluice.core.errors import BadInput
from sluice.core.parameter_checks import Check, StepParameters, check_lake
from sluice.extending.sources import SOURCES


def check_sources(name: str, sources: Any) -> None:  # noqa: ANN401 - JSON
    """Refuse what names no source; one of a project's own is found when the step runs.

    Args:
        name: The parameter's, for messages.
        sources: As they were given.

    Raises:
        BadInput: It is no mapping, or one is unknown.
    """
    if not isinstance(sources, Mapping):
        raise BadInput(f"parameter {name!r} is {sources!r}; write a mapping of names to sources")
    for value in sources.values():
        SOURCES.check_known(chosen(name, value).name)


class Parameters(StepParameters):
    """Where the lake is, and what reads its tables."""

    lake: Annotated[str, check_lake] = Field(
        default="",
        description="Where the lake is: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.",
    )
    sources: Annotated[dict[str, Any], check_sources] = Field(
        default={},
        description="By the names that the contract has for them, sources of a project (file.py:name) or of a package.",
    )
    code: str = Field(
        default="",
        description="The address of the project's code, code/<sha256>.zip, where a source is in it.",
    )


CHECKS: dict[str, Check] = Parameters.checks()
"""By parameter."""
