"""The file that `sluice operate` reads: the resources of a cluster in YAML, and a past to live through again."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from sluice.core.errors import BadInput
from sluice.core.strict_yaml import parse_yaml
from sluice.core.words import near
from sluice.operator.parts import API_VERSION, NAME, Part
from sluice.operator.specs import BackfillSpec, ContinuousTrainingSpec, RequestSpec
from sluice.project.files import ProjectFile, find_project, read_project
from sluice.project.values import split_reference

FILE = "operate.yaml"
_SEPARATOR = re.compile(r"^---[ \t]*$", re.MULTILINE)
S = TypeVar("S", bound=Part)


class Ask(Part):
    """A request that a person makes on some day of a past that is lived again."""

    at: date = Field(description="The day; it is asked at noon, UTC.")
    request: RequestSpec = Field(description="What is asked.")


class RehearsalSpec(Part):
    """A past that is lived through again: data arrive month by month, rows are asked for, labels come late."""

    since: date = Field(description="The first day on which rows are asked for.")
    until: date = Field(description="The day after the last.")
    arrivals: Annotated[str, Field(max_length=200)] = Field(
        description="FILE.py:NAME of the project: called with a folder and a day, it lays out what the lake holds on "
        "that day and gives a sentence about what is new, or None where nothing is."
    )
    arrive_on: Annotated[int, Field(ge=1, le=28)] = Field(
        default=1, description="The day of the month on which data arrive."
    )
    window: Literal["day", "week", "month"] = Field(default="week", description="How long the monitor's windows are.")
    asks: Annotated[tuple[Ask, ...], Field(max_length=100)] = Field(default=(), description="What people ask for.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.since >= self.until:
            raise ValueError(f"since {self.since} is not before until {self.until}")
        if split_reference(self.arrivals) is None:
            raise ValueError(f"arrivals {self.arrivals!r} is no function of the project; write FILE.py:NAME")
        return self


SPECS: dict[str, type[Part]] = {
    "ContinuousTraining": ContinuousTrainingSpec,
    "Rehearsal": RehearsalSpec,
    "Backfill": BackfillSpec,
}


@dataclass(frozen=True)
class Document:
    """One document of the file: its kind, name and specification."""

    kind: str
    name: str
    spec: Part


@dataclass(frozen=True)
class Operated:
    """What is operated.

    Attributes:
        path: The file.
        project: The project that it is of.
        name: The ContinuousTraining's.
        training: Its specification.
        rehearsal: The past that is lived again; None for the present.
        backfills: By name.
    """

    path: Path
    project: ProjectFile
    name: str
    training: ContinuousTrainingSpec
    rehearsal: RehearsalSpec | None
    backfills: dict[str, BackfillSpec]


def read_operated(place: Path) -> Operated:
    """Read what is to be operated.

    Args:
        place: The file, or the project's folder with a file `operate.yaml`.

    Raises:
        BadInput: There is none, or something in it is wrong; the message says where.
    """
    path = place / FILE if place.is_dir() else place
    if not path.is_file():
        raise BadInput(f"{path} is not there; name a file with a ContinuousTraining (docs/operating.md shows one)")
    found = read_documents(path)
    project = read_project(find_project(path.parent))
    trainings = [each for each in found if isinstance(each.spec, ContinuousTrainingSpec)]
    rehearsals = [each.spec for each in found if isinstance(each.spec, RehearsalSpec)]
    if len(trainings) != 1 or len(rehearsals) > 1:
        raise BadInput(f"{path} has {len(trainings)} ContinuousTrainings and {len(rehearsals)} Rehearsals; write one")
    spec = trainings[0].spec
    assert isinstance(spec, ContinuousTrainingSpec), "chosen so above"  # noqa: S101
    if spec.project != project.project.name:
        raise BadInput(f"{path}: spec.project is {spec.project!r}, and {project.shown} is {project.project.name!r}")
    backfills = {each.name: each.spec for each in found if isinstance(each.spec, BackfillSpec)}
    return Operated(path, project, trainings[0].name, spec, rehearsals[0] if rehearsals else None, backfills)


def read_documents(path: Path) -> list[Document]:
    """All documents of a file; raises as `read_operated`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    line, found = 1, []
    for part in _SEPARATOR.split(text):
        where = f"{path}, the document in line {line}"
        if body := parse_yaml(part, where):
            found.append(_document(body, where))
        line += part.count("\n")
    return found


def _document(body: Any, where: str) -> Document:  # noqa: ANN401 - YAML
    if not isinstance(body, dict) or body.get("apiVersion") != API_VERSION:
        raise BadInput(f"{where}: write `apiVersion: {API_VERSION}`")
    kind, metadata = str(body.get("kind")), body.get("metadata")
    if kind not in SPECS:
        raise BadInput(f"{where}: kind {kind!r} is not operated here{near(kind, list(SPECS))}; {', '.join(SPECS)} are")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if not re.fullmatch(NAME, name):
        raise BadInput(f"{where}: metadata.name {name!r} is no name; write lower-case letters, digits and `-`")
    if unknown := [key for key in body if key not in ("apiVersion", "kind", "metadata", "spec", "status")]:
        raise BadInput(f"{where}: {unknown[0]!r} is no entry of a resource")
    return Document(kind, name, parse_spec(SPECS[kind], body.get("spec") or {}, where))


def parse_spec(kind: type[S], body: Any, where: str) -> S:  # noqa: ANN401 - YAML or JSON
    """A specification; raises BadInput that names the first wrong entry."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("spec", *first["loc"])))
        raise BadInput(f"{where}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
