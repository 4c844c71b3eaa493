"""Finding, reading and writing a project's file: `sluice.yaml`, or `sluice.py` with a variable `project`.

Whatever is wrong in it is told by its line: `sluice.yaml:12: …`. `problems_of` finds all that is wrong, for `sluice
check`; reading a project ends with the first.
"""

import json
import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sluice.core.errors import BadInput
from sluice.core.files import faults, written
from sluice.core.plain_text import is_unicode
from sluice.core.strict_yaml import Lines, parse_with_lines
from sluice.project.declaration import SCHEMA, Project
from sluice.project.declaration_errors import Place, near, wrong_keys
from sluice.project.yaml_text import block

PROJECT_YAML = "sluice.yaml"
PROJECT_PY = "sluice.py"
SCHEMA_FILE = "sluice.schema.json"
EDITORS_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""With it an editor shows what each key means, and marks a wrong one while it is typed."""
_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class FileProblem:
    """Something that is wrong in a file.

    Attributes:
        file: The file, as the person would name it from where they are.
        line: Its line, from 1, or None where it is of the file as a whole.
        message: What is wrong, and the way out.
    """

    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        """As compilers write it, so that editors and terminals find the place."""
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass(frozen=True)
class ProjectFile:
    """A project and where it stands.

    Attributes:
        path: Its file, absolute.
        project: What it declares.
        shown: The file as the person would name it.
        lines: Where each entry of a `sluice.yaml` stands.
    """

    path: Path
    project: Project
    shown: str
    lines: Lines

    @property
    def folder(self) -> Path:
        """The project's folder, absolute."""
        return self.path.parent

    def problem(self, place: Place, message: str) -> FileProblem:
        """Something that is wrong with an entry, such as `("rows", "key", 0)`."""
        return FileProblem(self.shown, self.lines.of(place), message)


def find_project(start: Path) -> Path:
    """The file of the project that a folder is in: in it, or in the nearest folder above that has one.

    Raises:
        BadInput: There is none, or a folder has both files.
    """
    for folder in (start.absolute(), *start.absolute().parents):
        found = [folder / name for name in (PROJECT_YAML, PROJECT_PY) if (folder / name).is_file()]
        if len(found) > 1:
            raise BadInput(f"{folder} has both {PROJECT_YAML} and {PROJECT_PY}; keep the one that declares the project")
        if found:
            return found[0]
    raise BadInput(
        f"no {PROJECT_YAML} here or in a folder above; go to the project's folder, or make one: sluice init NAME FILE "
        "--predict COLUMN"
    )


def read_project(path: Path) -> ProjectFile:
    """Read a project's file.

    Args:
        path: A `sluice.yaml` or a `sluice.py`; the latter is run.

    Raises:
        BadInput: It is not as it should be; of several things the first is told, and how many more there are.
    """
    shown = name_from_here(path)
    if path.suffix == ".py":
        return ProjectFile(path.absolute(), run_project(path, shown), shown, Lines())
    project, lines, problems = _judge(read_text(path, shown), shown)
    if project is None:
        raise _refusal(problems)
    return ProjectFile(path.absolute(), project, shown, lines)


def parse_project(text: str, where: str = PROJECT_YAML) -> Project:
    """The project that the text of a `sluice.yaml` declares.

    Raises:
        BadInput: See `read_project`.
    """
    project, _, problems = _judge(text, where)
    if project is None:
        raise _refusal(problems)
    return project


def problems_of(text: str, where: str = PROJECT_YAML) -> list[FileProblem]:
    """All that is wrong with the text of a `sluice.yaml`, in the order of its lines; nothing for a good one."""
    return _judge(text, where)[2]


def project_text(project: Project) -> str:
    """The project as the text of a `sluice.yaml`; what has its default value is left out."""
    body = project.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return f"{EDITORS_LINE}\n{block({'schema': SCHEMA} | body)}"


def write_project(project: Project, path: Path) -> None:
    """Write a `sluice.yaml`, whole or not at all.

    Raises:
        BadInput: A folder stands in its place.
        EnvironmentFault: The disk is full or denies access.
    """
    with written(path) as stream:
        stream.write(project_text(project).encode())


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of a `sluice.yaml`, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Project.model_json_schema()


def schema_text() -> str:
    """The same as the text of a `sluice.schema.json`."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def name_from_here(path: Path) -> str:
    """A file as the person would name it from the folder where they are; absolute where that lies elsewhere."""
    relative = os.path.relpath(path)
    return str(path.absolute()) if relative.startswith("..") else relative


def read_text(path: Path, shown: str) -> str:
    """The text of a file that people write.

    Raises:
        BadInput: It is not there, larger than 4 MiB, or not UTF-8.
        EnvironmentFault: It may not be read.
    """
    with faults(shown):
        content = path.read_bytes()
    if len(content) > _MOST_BYTES:
        raise BadInput(f"{shown} is larger than {_MOST_BYTES >> 20} MiB, the most that is read; make it smaller")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(f"{shown}:{line}: not UTF-8; save the file in UTF-8") from None


def run_project(path: Path, shown: str) -> Project:
    """The variable `project` of a `sluice.py`.

    Raises:
        BadInput: The file cannot be run, or has no such variable; the line is the last one of the file that ran.
    """
    names: dict[str, Any] = {"__name__": "sluice_project", "__file__": str(path)}
    try:
        exec(compile(read_text(path, shown), str(path), "exec"), names)  # noqa: S102 - the user's own file
    except SyntaxError as error:
        raise BadInput(f"{shown}:{error.lineno or 1}: {error.msg}") from None
    except ValidationError as error:
        first = wrong_keys(error, Project)[0]
        raise BadInput(f"{shown}:{_line(error, path)}: {first.named()}") from None
    except SystemExit as error:
        raise BadInput(f"{shown}:{_line(error, path)}: it ends the program; it must only set `project`") from None
    except Exception as error:  # noqa: BLE001 - whatever the user's code does
        raise BadInput(f"{shown}:{_line(error, path)}: {type(error).__name__}: {error}") from None
    found = names.get("project")
    if "project" not in names:
        hint = near("project", [name for name in names if not name.startswith("__")])
        raise BadInput(f"{shown}: it sets no variable `project`{hint}; write project = sluice.Project(…)")
    if not isinstance(found, Project):
        raise BadInput(f"{shown}: `project` is of type {type(found).__name__}; write project = sluice.Project(…)")
    return found


def _line(error: BaseException, path: Path) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)


def _judge(text: str, where: str) -> tuple[Project | None, Lines, list[FileProblem]]:
    try:
        body, lines = parse_with_lines(text, where)
    except BadInput as error:
        return None, Lines(), [_from_parser(str(error), where)]
    if version := _version_problem(body):
        return None, lines, [FileProblem(where, lines.of(("schema",)) or 1, version)]
    if half := _half(body, ()):
        return None, lines, [FileProblem(where, lines.of(half), "half a character; write the character itself")]
    try:
        return Project.model_validate(body), lines, []
    except ValidationError as error:
        wrong = wrong_keys(error, Project)
    problems = [FileProblem(where, lines.of(each.place) or 1, each.named()) for each in wrong]
    return None, lines, sorted(problems, key=lambda problem: problem.line or 0)


def _version_problem(body: Any) -> str | None:  # noqa: ANN401 - YAML
    if body is None:
        return "the file is empty; write name, data, rows and label, or let `sluice init` write it"
    if not isinstance(body, Mapping):
        return "the file must be a mapping with name, data, rows and label"
    version = body.get("schema", SCHEMA)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        return f"schema: {str(version)[:40]!r} is no version of this file; write schema: {SCHEMA}"
    if version > SCHEMA:
        number = str(version) if version < 10**9 else "given"
        return f"schema {number} is newer than this Sluice, which reads {SCHEMA}; upgrade Sluice to work on it"
    return None


def _half(value: Any, place: Place) -> Place | None:  # noqa: ANN401 - YAML
    """The place of a text that no UTF-8 can hold: YAML's escapes can write half a character."""
    if isinstance(value, str):
        return None if is_unicode(value) else place
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if isinstance(key, str) and not is_unicode(key):
            return (*place, key)
        if found := _half(each, (*place, key)):
            return found
    return None


def _from_parser(message: str, where: str) -> FileProblem:
    """An error of the YAML reader, which writes `FILE, line 3: …` or `FILE is not YAML: line 3: …`."""
    rest = message.removeprefix(where)
    for before, kind in ((", line ", ""), (" is not YAML: line ", "not YAML: ")):
        number, colon, words = rest.removeprefix(before).partition(": ")
        if rest.startswith(before) and colon and number.isdecimal():
            return FileProblem(where, int(number), kind + words)
    return FileProblem(where, None, rest.strip(" ,:"))


def _refusal(problems: list[FileProblem]) -> BadInput:
    more = f" (and {len(problems) - 1} more: `sluice check` lists them)" if len(problems) > 1 else ""
    return BadInput(f"{problems[0]}{more}")
