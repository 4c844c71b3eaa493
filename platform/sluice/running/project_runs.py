"""From a project's folder to a run: which pipeline, with which parameters, and the code that goes along."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.environment import set_default
from sluice.core.errors import BadInput
from sluice.core.home import HOME
from sluice.project.archive import Archive
from sluice.project.code_store import publish
from sluice.project.declaration import Project
from sluice.project.files import ProjectFile, find_project, read_project
from sluice.project.packing import closure
from sluice.project.values import split_reference
from sluice.running.arguments import parse_arguments
from sluice.running.catalog import Handed, Pipeline, find_pipeline, handed_of, near, parameters_of
from sluice.running.code_of_steps import missing_packages, wanted_code
from sluice.running.lakes import content_address, copy_lake
from sluice.storage.stores import Store

if TYPE_CHECKING:
    from sluice.project.packages import Kind

HOME_NAME = ".sluice"
LAKE = "lake"
_FIELDS = {  # which entry of the project a parameter comes from, for those that a pipeline may lack
    "sample_fraction": ("sample", "fraction"),
    "sample_rows": ("sample", "rows"),
    "strata": ("sample", "strata"),
    "allocation": ("sample", "allocation"),
    "sample_by": ("sample", "by"),
    "split_strategy": ("split", "by"),
    "gap": ("split", "gap"),
    "folds": ("split", "folds"),
    "shares": ("split", "shares"),
    "candidates": ("train", "candidates"),
    "seconds_per_candidate": ("train", "seconds"),
    "max_rounds": ("train", "rounds"),
    "gate_slices": ("gate", "slices"),
    "gate_checks": ("gate", "checks"),
    "report_sections": ("report", "sections"),
}
_ALWAYS_GIVEN = "seed"  # a pipeline without randomness may lack it


@dataclass(frozen=True)
class ProjectOrder:
    """A run of a project's pipeline, not yet begun; nothing has been written.

    Attributes:
        file: The project.
        pipeline: Its pipeline.
        arguments: All that the project and the person give, checked.
        code: The archives that go along, by the pipeline's parameter that takes their address.
        lake: The folder with the data, where they go along to the store at the pipeline's parameter `lake`; else None.
        given: What the person gave beside the project.
        notes: What a person should know before it begins, each a line.
    """

    file: ProjectFile
    pipeline: Pipeline
    arguments: dict[str, Any]
    code: dict[str, Archive] = field(default_factory=dict)
    lake: Path | None = None
    given: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def publish(self, store: Store, kinds: "Sequence[Kind]" = ()) -> dict[str, Any]:
        """Put the code and the packages that it needs into a store, and give the arguments with the code's addresses.

        Args:
            store: Where to.
            kinds: The machines that the steps may run on; none for this one.

        Raises:
            BadInput: The project's lock is wrong, or its packages have no wheels for these machines.
            EnvironmentFault: The store failed, or pip did.
        """
        lock = self.file.project.packages
        if lock and self.code:
            from sluice.project.packages import Kind
            from sluice.project.wheelhouse import publish_for

            publish_for(store, self.file.folder, lock, kinds or (Kind(),))
        for archive in self.code.values():
            publish(store, archive)
        return self.arguments

    def copy_lake(self) -> str:
        """Copy the data into the default store, where they have to go along; a sentence for people, or nothing.

        Raises:
            BadInput: The folder holds no lake.
            EnvironmentFault: The store failed.
        """
        return copy_lake(self.lake, self.arguments[LAKE]) if self.lake else ""


def here(start: Path) -> ProjectFile:
    """The project that a folder is in.

    Typed in the project, at whatever depth, results are kept in the project's own `.sluice`, unless SLUICE_HOME is set.

    Raises:
        BadInput: There is none, or its file is wrong.
    """
    file = read_project(find_project(start))
    keep_results_in(file.folder)
    return file


def use_project_home() -> None:
    """Where this folder is in a project, look for what runs left in the project's own `.sluice`, as `here` does."""
    try:
        folder = find_project(Path()).parent
    except BadInput:
        return
    keep_results_in(folder.absolute())


def keep_results_in(folder: Path) -> None:
    """Keep results in a project's own `.sluice`, where this process is in the project and SLUICE_HOME is not set."""
    if Path.cwd().is_relative_to(folder):
        set_default(HOME, str(folder / HOME_NAME))


def order(file: ProjectFile, pairs: Sequence[str], *, in_store: bool = False) -> ProjectOrder:
    """What a project's run takes.

    Args:
        file: The project.
        pairs: `key=value` words that overrule it.
        in_store: Whether data that lie in the project's folder must be copied to a store, for steps that run elsewhere;
            their address there follows from their content.

    Raises:
        BadInput: The pipeline lacks a parameter that the project gives, a value is wrong, or code cannot be packed.
    """
    project = file.project
    pipeline = find_pipeline(_pipeline_name(file))
    known = {parameter.name for parameter in pipeline.parameters}
    declared = dict(_declared(file, pipeline, known))
    folder = None
    if LAKE in known:
        declared[LAKE] = project.lake_address(file.folder)
        if in_store and Path(declared[LAKE]).is_absolute() and not any(pair.startswith(f"{LAKE}=") for pair in pairs):
            folder = Path(declared[LAKE])
            declared[LAKE] = content_address(folder, project.name)
    code = {
        name: closure(file.folder, wanted, project.files, packages=project.packages or "")
        for name, wanted in wanted_code(file, known).items()
    }
    declared |= {name: archive.key for name, archive in code.items()}
    arguments = parse_arguments(pipeline, pairs, declared)
    given = {name: arguments[name] for name in (pair.partition("=")[0] for pair in pairs)}
    notes = tuple(missing_packages(file)) if in_store else ()
    return ProjectOrder(file, pipeline, arguments, code, folder, given, notes)


def _pipeline_name(file: ProjectFile) -> str:
    name = file.project.pipeline
    return str(file.folder / name) if split_reference(name) else name


def _declared(file: ProjectFile, pipeline: Pipeline, known: set[str]) -> Iterator[tuple[str, Any]]:
    """The parameters that the project gives, by the pipeline's names for them.

    What the project leaves at its default is passed over where the pipeline has no such parameter.
    """
    project = file.project
    for name, value in project.pipeline_parameters().items():
        if name in known:
            yield name, value
        elif "." in name:
            for found in _of_step(file, pipeline, name):
                yield found, value
        elif name in project.parameters:
            where = file.problem(("parameters", name), "")
            raise BadInput(f"{where}pipeline {pipeline.name} has no parameter {name!r}{near(name, list(known))}")
        elif _said(project, name):
            place = _FIELDS.get(name, (name,))
            where = file.problem(place, "")
            raise BadInput(f"{where}pipeline {pipeline.name} has no parameter {name!r}; leave {'.'.join(place)} out")


def _of_step(file: ProjectFile, pipeline: Pipeline, name: str) -> list[str]:
    step, _, own = name.partition(".")
    found = parameters_of(pipeline, step, own)
    if not found:
        every = [f"{each.step}.{each.name}" for each in _every(pipeline)]
        raise BadInput(
            f"{file.problem(('parameters', name), '')}pipeline {pipeline.name} hands no parameter on to {name!r}"
            f"{near(name, every)}"
        )
    return found


def _every(pipeline: Pipeline) -> Iterator[Handed]:
    for places in handed_of(pipeline).values():
        yield from places


def _said(project: Project, name: str) -> bool:
    """Whether the project speaks of what a parameter is for, and not only by a default."""
    if name in (_ALWAYS_GIVEN, "task"):
        return name in project.model_fields_set
    section, entry = _FIELDS.get(name, ("", ""))
    return not section or entry in getattr(project, section).model_fields_set
