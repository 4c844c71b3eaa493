"""Whether a project will run: its file, its code, its contract and its data, looked at in a second or two.

Nothing is trained and nothing of the project's code is run. What `prepare.py` makes of the tables is therefore not
looked at; a run's own steps do that.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sluice.contract.reading import CONTRACT, Contract, TableContract, parse_contract
from sluice.core.durations import duration_words
from sluice.core.errors import BadInput
from sluice.core.extensions import Registry, extension_packages
from sluice.core.strict_yaml import Lines, parse_with_lines
from sluice.extending.gate_checks import GATE_CHECKS
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.extending.samplers import SAMPLERS
from sluice.extending.sections import REPORT_SECTIONS
from sluice.extending.sources import SOURCES
from sluice.parameters.train import check_candidates, check_one_to_judge
from sluice.pipelines import IMAGES, PIPELINES, TABLES, pipeline_names
from sluice.problems.metrics import BUILT_IN, METRICS
from sluice.problems.registry import PROBLEMS
from sluice.problems.task import REGRESSION
from sluice.project.declaration import Project
from sluice.project.declaration_errors import Place, near
from sluice.project.feature_patterns import choose_columns
from sluice.project.files import (
    PROJECT_PY,
    FileProblem,
    ProjectFile,
    find_project,
    name_from_here,
    problems_of,
    read_project,
    read_text,
)
from sluice.project.values import split_reference
from sluice.project_tools.code_references import reference_problems
from sluice.project_tools.posed_problems import posed_problem
from sluice.sampling.splitters import SPLITTERS

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class ProjectFinding:
    """One thing that was found.

    Attributes:
        level: `error` where a run would end there; `warning` for what a person should know.
        file: The file, as the person would name it.
        line: Its line, or None.
        message: What it is, and the way out.
    """

    level: Level
    file: str
    line: int | None
    message: str

    def __str__(self) -> str:
        """As compilers write it."""
        return str(FileProblem(self.file, self.line, self.message))


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        project: The project's name; empty where its file cannot be read.
        findings: All of them, errors first.
        facts: What was counted: `rows`, `features`, `kind`, `split`.
        seconds: How long it took.
    """

    project: str
    findings: tuple[ProjectFinding, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return sum(finding.level == "error" for finding in self.findings)

    def summary(self) -> str:
        """In one line: what is asked of how many rows, and how much is wrong."""
        warnings = len(self.findings) - self.errors
        wrong = f"{_count(self.errors, 'error')}, {_count(warnings, 'warning')}"
        told = [f"{self.facts['rows']:,} rows"] if "rows" in self.facts else []
        told += [str(self.facts["kind"])] if "kind" in self.facts else []
        told += [_count(self.facts["features"], "feature")] if "features" in self.facts else []
        if "split" in self.facts:
            told.append(
                "about " + " / ".join(f"{rows:,}" for rows in self.facts["split"]) + " to train, validate, test"
            )
        return f"{self.project or 'the project'}: {', '.join([*told, wrong])} in {self.seconds:.1f} s"

    def body(self) -> dict[str, Any]:
        """As JSON values."""
        findings = [asdict(finding) for finding in self.findings]
        return {
            "project": self.project,
            "errors": self.errors,
            "findings": findings,
            "seconds": self.seconds,
        } | self.facts


@dataclass(frozen=True)
class CheckedProject:
    """A project with the contract of its data: what the checks look at.

    Attributes:
        file: The project's file.
        lake: The folder of the data.
        contract: Their contract.
        shown: The contract's file as the person would name it.
        lines: Where its entries stand.
    """

    file: ProjectFile
    lake: Path
    contract: Contract
    shown: str
    lines: Lines

    @property
    def project(self) -> Project:
        """What is declared."""
        return self.file.project

    @property
    def stated(self) -> TableContract:
        """What the contract says of the rows' table."""
        return self.contract.tables[self.project.rows.table]

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row: the project's, else the contract's."""
        return self.project.rows.key or self.stated.key

    def here(self, level: Level, place: Place, message: str) -> ProjectFinding:
        """A finding in the project's file."""
        problem = self.file.problem(place, message)
        return ProjectFinding(level, problem.file, problem.line, message)

    def there(self, level: Level, message: str, column: str = "") -> ProjectFinding:
        """A finding in the contract, at the rows' table or one of its columns."""
        place: Place = ("tables", self.project.rows.table, *(("columns", column) if column else ()))
        return ProjectFinding(level, self.shown, self.lines.of(place), message)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def check_project(start: Path) -> Checked:
    """Check the project that a folder is in.

    Args:
        start: The folder, or one in the project.

    Raises:
        BadInput: There is no project.
    """
    begun = time.monotonic()
    path = find_project(start)
    findings: list[ProjectFinding] = []
    facts: dict[str, Any] = {}
    name = ""
    file = _read(path, findings)
    if file:
        name = file.project.name
        findings += [ProjectFinding("error", p.file, p.line, p.message) for p in reference_problems(file)]
        findings += _settings(file)
        findings += _packages(file)
        asked = _open(file, findings)
        if asked:
            findings += [*_columns(asked), *_sources(asked)]
            if not any(finding.level == "error" for finding in findings):
                _look_at_data(asked, findings, facts)
    ordered = sorted(findings, key=lambda finding: (finding.level != "error", finding.file, finding.line or 0))
    return Checked(name, tuple(dict.fromkeys(ordered)), facts, round(time.monotonic() - begun, 3))


def _read(path: Path, findings: list[ProjectFinding]) -> ProjectFile | None:
    shown = name_from_here(path)
    try:
        if path.name != PROJECT_PY and (problems := problems_of(read_text(path, shown), shown)):
            findings += [ProjectFinding("error", problem.file, problem.line, problem.message) for problem in problems]
            return None
        return read_project(path)
    except BadInput as error:
        findings.append(_of_refusal(error, shown))
        return None


def _of_refusal(error: BadInput, shown: str) -> ProjectFinding:
    """A refusal's one line as a finding of a file; its line is taken from the message where it names one."""
    rest = str(error).removeprefix(shown)
    for start, end in ((":", ":"), (", line ", ":"), (", line ", ",")):
        number, found, words = rest.removeprefix(start).partition(end)
        if rest.startswith(start) and found and number.isdecimal():
            return ProjectFinding("error", shown, int(number), words.strip())
    return ProjectFinding("error", shown, None, rest.strip(" :,"))


def _open(file: ProjectFile, findings: list[ProjectFinding]) -> CheckedProject | None:
    """The project with its contract; None where there is none to look at."""
    address = file.project.lake_address(file.folder)
    lake = Path(address)
    if not lake.is_absolute():
        findings.append(_at(file, "warning", ("data",), f"{address} lies in a store, and is not looked at"))
        return None
    place = lake / CONTRACT
    if not place.is_file() and file.project.pipeline.replace("-", "_") not in TABLES:
        words = f"{name_from_here(lake)} has no {CONTRACT}: what {file.project.pipeline} reads is not looked at"
        findings.append(_at(file, "warning", ("data",), words))
        return None
    if not place.is_file():
        words = f"{lake} has no {CONTRACT}; put the data there, or name another folder"
        findings.append(_at(file, "error", ("data",), words))
        return None
    shown = name_from_here(place)
    try:
        text = read_text(place, shown)
        contract = parse_contract(text, shown)
    except BadInput as error:
        findings.append(_of_refusal(error, shown))
        return None
    table = file.project.rows.table
    if table not in contract.tables:
        words = f"{table!r} is no table of {shown}{near(table, contract.tables)}; it has {', '.join(contract.tables)}"
        findings.append(_at(file, "error", ("rows", "table"), words))
        return None
    return CheckedProject(file, lake, contract, shown, parse_with_lines(text, shown)[1])


def _at(file: ProjectFile, level: Level, place: Place, message: str) -> ProjectFinding:
    problem = file.problem(place, message)
    return ProjectFinding(level, problem.file, problem.line, message)


def _settings(file: ProjectFile) -> Iterator[ProjectFinding]:
    """What the project names of Sluice's own: splitters, metrics, candidates, steps; and its files."""
    project = file.project
    for place, name, registry in _extensions(project):
        try:
            registry.check_known(name)
        except BadInput as error:
            yield _at(file, "error", place, str(error))
    yield from _names(file)
    yield from _candidates(file)
    steps = ["*", *_steps()]
    for name in project.steps if _is_sluices(project.pipeline) else ():  # of others KFP alone can tell the steps
        if name not in steps:
            yield _at(file, "error", ("steps", name), f"{name!r} is no step{near(name, steps)}")
    for i, name in enumerate(project.files):
        if not _means_a_file(file.folder, name):
            yield _at(
                file, "error", ("files", i), f"{name!r} means no file of the project; correct it, or take it away"
            )


def _is_sluices(pipeline: str) -> bool:
    return pipeline.replace("-", "_") in pipeline_names()


def _names(file: ProjectFile) -> Iterator[ProjectFinding]:
    """Metrics and pipelines that nobody offers."""
    posed, label = posed_problem(file), file.project.label
    if posed.form == REGRESSION and (label.classes or label.positive is not None):
        key = "classes" if label.classes else "positive"
        yield _at(file, "error", ("label", key), f"{label.kind} predicts numbers, which have no {key}; leave it out")
    metrics = sorted({*BUILT_IN, *METRICS.names(), *(posed.metrics or ())})
    metric = file.project.metric if posed.metrics is not None else None
    named = (("metric", metric, metrics), ("pipeline", file.project.pipeline, PIPELINES.names()))
    for key, name, known in named:
        same = [each.replace("-", "_") for each in known]
        if name and not split_reference(name) and name.replace("-", "_") not in same:
            yield _at(file, "error", (key,), f"{name!r} is unknown{near(name, known)}; use {', '.join(known)}")


def _extensions(project: Project) -> Iterator[tuple[Place, str, Registry[Any]]]:
    """What the project names of a registry: Sluice's own, an installed package's, or a file's, which is found there."""
    for name, source in project.sources.items():
        yield ("sources", name), source.name, SOURCES
    if project.prepare:
        yield ("prepare",), project.prepare, PREPARE_FUNCTIONS
    if project.label.kind:
        yield ("label", "kind"), project.label.kind, PROBLEMS
    if project.sample.by:
        yield ("sample", "by"), project.sample.by, SAMPLERS
    if project.split.by:
        yield ("split", "by"), project.split.by, SPLITTERS
    for i, check in enumerate(project.gate.checks):
        yield ("gate", "checks", i), check.name, GATE_CHECKS
    for i, section in enumerate(project.report.sections):
        yield ("report", "sections", i), section.name, REPORT_SECTIONS


def _candidates(file: ProjectFile) -> Iterator[ProjectFinding]:
    """Candidates that are unknown, or whose settings are; those of a project's own are looked at with its code."""
    project = file.project
    pipeline = project.pipeline.replace("-", "_")
    images = True if pipeline in IMAGES else False if pipeline in TABLES else None
    for i, candidate in enumerate(project.train.candidates):
        try:
            check_candidates("candidates", [candidate.model_dump(mode="json")], images=images)
        except BadInput as error:
            yield _at(file, "error", ("train", "candidates", i), str(error).removeprefix("parameter "))
    try:
        check_one_to_judge("candidates", [each.name for each in project.train.candidates])
    except BadInput as error:
        yield _at(file, "error", ("train", "candidates"), str(error).removeprefix("parameter "))


def _packages(file: ProjectFile) -> Iterator[ProjectFinding]:
    """A lock that is not there or wrong, and packages that are here in another version."""
    lock = file.project.packages
    if not lock:
        return
    if not _means_a_file(file.folder, lock):
        yield _at(file, "error", ("packages",), f"{lock!r} is no file of the project; write the lock, or correct it")
        return
    from packaging.utils import canonicalize_name

    from sluice.project.packages import Kind, is_installed, read_lock

    shown = name_from_here(file.folder / lock)
    try:
        pins = read_lock((file.folder / lock).read_bytes(), shown)
    except BadInput as error:
        yield _of_refusal(error, shown)
        return
    machine = Kind().markers()
    extending = {canonicalize_name(name) for name in extension_packages()}  # here to be known by name; pods need them
    for pin in pins:
        try:
            if pin.applies(machine) and is_installed(pin) and pin.name not in extending:
                words = f"{pin.name} {pin.version} is installed with Sluice, and is not brought along; take it out"
                yield ProjectFinding("warning", shown, None, words)
        except BadInput as error:
            yield _at(file, "error", ("packages",), str(error).partition(": ")[2])


def _means_a_file(folder: Path, pattern: str) -> bool:
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        return False
    try:
        return any(path.is_file() for path in folder.glob(pattern))
    except ValueError:  # no pattern at all
        return False


def _steps() -> list[str]:
    from sluice import components

    folders = [Path(path) for path in components.__path__]
    return sorted(face.parent.name for folder in folders for face in folder.glob("*/component.py"))


def _columns(asked: CheckedProject) -> Iterator[ProjectFinding]:
    """Columns that the project names and the contract does not; features that are known too late."""
    project, stated = asked.project, asked.stated
    if project.prepare:
        return
    columns = list(stated.columns)
    for place, name in _named_columns(project):
        if name not in stated.columns:
            words = f"{name!r} is no column of {project.rows.table}{near(name, columns)}"
            yield asked.here("error", place, f"{words}; {asked.shown} names its columns")
    time = stated.columns.get(project.rows.time or "")
    if time and time.type not in ("timestamp", "date"):
        yield asked.here("error", ("rows", "time"), f"{project.rows.time!r} is {time.type}, no timestamp; name another")
    elif time and time.nullable:
        words = f"{project.rows.time!r} dates the rows, so it must never be missing; take nullable: true away, or name"
        yield asked.here("error", ("rows", "time"), f"{words} another column")
    yield from _feature_findings(asked)


def _sources(asked: CheckedProject) -> Iterator[ProjectFinding]:
    """Tables that the contract has read by a name that nobody brings, and sources that no table is read by."""
    named = {table: stated.source.get("by", "") for table, stated in asked.contract.tables.items()}
    for table, name in named.items():
        if name and name not in asked.project.sources and name not in SOURCES.names():
            words = f"{name!r} is no source of the project{near(name, asked.project.sources)}; write sources: "
            line = asked.lines.of(("tables", table, "source"))
            yield ProjectFinding(
                "error", asked.shown, line, f"{words}{{{name}: FILE.py:NAME}} in {asked.file.path.name}"
            )
    for name in asked.project.sources:
        if name not in named.values():
            yield asked.here("error", ("sources", name), f"no table of {asked.shown} is read by {name!r}; leave it out")


def _named_columns(project: Project) -> Iterator[tuple[Place, str]]:
    single: dict[Place, str | None] = {
        ("rows", "time"): project.rows.time,
        ("rows", "group"): project.rows.group,
        ("label", "column"): project.label.column,
        ("train", "baseline"): project.train.baseline,
    }
    yield from ((place, name) for place, name in single.items() if name)
    lists: dict[Place, tuple[str, ...]] = {
        ("rows", "key"): project.rows.key,
        ("sample", "strata"): project.sample.strata,
        ("slices",): project.slices,
        ("gate", "slices"): project.gate.slices or (),
    }
    for place, names in lists.items():
        yield from (((*place, i), name) for i, name in enumerate(names))


def features_of(asked: CheckedProject) -> tuple[str, ...]:
    """The project's features: what its patterns mean, as the step prepare has it, without times.

    A pattern passes over the columns that are something else (key, group); one of these may be named all the same.

    Raises:
        BadInput: A pattern means no column.
    """
    project, stated = asked.project, asked.stated
    never, seldom = {project.label.column, project.rows.time}, {project.rows.group, *asked.key}
    meant = [name for name in choose_columns(project.features, list(stated.columns)) if name not in never]
    taken = [name for name in meant if name in project.features or name not in seldom]
    is_time = {name for name in taken if stated.columns[name].type in ("timestamp", "date")}
    return tuple(name for name in taken if name in project.features or name not in is_time)


def _feature_findings(asked: CheckedProject) -> Iterator[ProjectFinding]:
    try:
        features = features_of(asked)
    except BadInput:
        yield from _wrong_patterns(asked)
        return
    if not features:
        yield asked.here("error", ("features",), "no column is left to learn from; name some")
    contract = asked.contract
    clock = asked.project.rows.time or asked.stated.dated_by
    dated = asked.stated.columns.get(clock or "")
    if not clock or not dated or dated.nullable or dated.type not in ("timestamp", "date"):
        clock = None  # told already
    else:
        contract = contract.with_time(asked.project.rows.table, clock)
    for name in features:
        if asked.stated.columns[name].type in ("timestamp", "date"):
            words = f"{name!r} is a time, and models take numbers and texts; make an interval of it in prepare"
            yield asked.here("error", ("features", *_position(asked.project.features, name)), words)
        elif clock:
            yield from _availability(asked, contract, name, clock)


def _wrong_patterns(asked: CheckedProject) -> Iterator[ProjectFinding]:
    project = asked.project
    for i, pattern in enumerate(project.features):
        try:
            choose_columns([pattern], list(asked.stated.columns))
        except BadInput as error:
            yield asked.here("error", ("features", i), str(error).removeprefix("features: "))


def _availability(asked: CheckedProject, contract: Contract, name: str, clock: str) -> Iterator[ProjectFinding]:
    """Whether a feature is known at its row's time; where features are not declared, it would only be left out."""
    known = contract.availability(asked.project.rows.table, name)
    if known is not None and known.with_its_row:
        return
    declared = any(not pattern.startswith("!") for pattern in asked.project.features)
    level: Level = "error" if declared else "warning"
    if known is None:
        words = f"nobody has said when {name!r} is known, and the question is asked at {clock!r}; add known: 0s, a lag "
        yield asked.there(level, f"{words}such as 30d, or a moment", name)
        return
    lag = "" if known.lag is None else f", {duration_words(known.lag)} after {clock!r}"
    words = f"{name!r} is known too late ({known.name}{lag}) for a question that is asked at {clock!r}"
    if declared:
        place: Place = ("features", *_position(asked.project.features, name))
        yield asked.here(level, place, f"{words}; leave it out, or make a history of it in prepare")
    else:
        yield asked.there(level, f"{words}: it is left out", name)


def _position(patterns: tuple[str, ...], name: str) -> tuple[int, ...]:
    """The place of the pattern that means a feature."""
    for i, pattern in enumerate(patterns):
        try:
            if choose_columns([pattern], [name]):
                return (i,)
        except BadInput:
            continue
    return ()


def _look_at_data(asked: CheckedProject, findings: list[ProjectFinding], facts: dict[str, Any]) -> None:
    from sluice.project_tools.data_check import look  # DuckDB and NumPy: only where there are data to look at

    try:
        found, counted = look(asked)
    except BadInput as error:
        findings.append(
            ProjectFinding("error", asked.shown, asked.lines.of(("tables", asked.project.rows.table)), str(error))
        )
        return
    findings += found
    facts.update(counted)
