"""Which code of a project each step is handed: its own references' files, and the lock of the packages it needs."""

from collections.abc import Iterator
from typing import Any

from packaging.utils import canonicalize_name

from sluice.core.errors import BadInput
from sluice.core.extensions import PACKAGE, Registry
from sluice.extending.gate_checks import GATE_CHECKS
from sluice.extending.prepare_functions import PREPARE_FUNCTIONS
from sluice.extending.samplers import SAMPLERS
from sluice.extending.sections import REPORT_SECTIONS
from sluice.extending.sources import SOURCES
from sluice.problems.metrics import METRICS
from sluice.problems.registry import PROBLEMS
from sluice.project.declaration import Project
from sluice.project.files import ProjectFile
from sluice.project.step_calls import step_references
from sluice.project.values import split_reference
from sluice.sampling.splitters import SPLITTERS


def wanted_code(file: ProjectFile, known: set[str]) -> dict[str, list[str]]:
    """The references that each step needs, by the pipeline's parameter for the address of its code.

    A step gets the files of its own references alone, so that an edit of a candidate does not prepare the rows anew.
    A pipeline of the user's with the one parameter `code` gets all, and the functions that it calls as steps. One that
    needs a package's thing, and no file, gets the project's lock.
    """
    project = file.project
    named = _named(project)
    if project.label.kind:  # a pipeline that only prepares rows needs it no further
        for name in {"train_code", "evaluate_code"} & known:
            named[name].append((project.label.kind, PROBLEMS))
    own = {name: [each for each, _ in found if split_reference(each)] for name, found in named.items()}
    locked = {name for name, found in named.items() if project.packages and any(_package(*each) for each in found)}
    if "code" in known:
        references = [each for each in project.references() if each != project.pipeline]
        own = {"code": [*references, *step_references(file.folder, project.pipeline)]}
        locked = {"code"} if project.packages else set()
    for name, found in own.items():
        if found and name not in known:
            raise BadInput(
                f"the project names {found[0]}, and its pipeline {project.pipeline} has no parameter {name!r} to take "
                "the code along; add it to the pipeline, or leave the reference out"
            )
    return {name: list(dict.fromkeys(found)) for name, found in own.items() if found or name in locked & known}


def _named(project: Project) -> dict[str, list[tuple[str, Registry[Any] | None]]]:
    """What the project names for each step, by the pipeline's parameter for its code, with the registry to ask.

    A package's family of models is needed by every step that opens the model, so that has to be in the images.
    """
    metric = [(project.metric, METRICS)] if project.metric else []
    kind = [(project.label.kind, PROBLEMS)] if project.label.kind else []
    return {
        "ingest_code": [(source.name, SOURCES) for source in project.sources.values()],
        "prepare_code": [*kind, *([(project.prepare, PREPARE_FUNCTIONS)] if project.prepare else [])],
        "sample_code": [(project.sample.by, SAMPLERS)] if project.sample.by else [],
        "split_code": [(project.split.by, SPLITTERS)] if project.split.by else [],
        "train_code": [*((candidate.name, None) for candidate in project.train.candidates), *metric],
        "evaluate_code": [
            *metric,
            *((check.name, GATE_CHECKS) for check in project.gate.checks),
            *((section.name, REPORT_SECTIONS) for section in project.report.sections),
        ],
    }


def _package(name: str, registry: Registry[Any] | None) -> str:
    """The package that brings something, with its version; empty for Sluice's own and a project's."""
    brought = registry.origin(name) if registry else ""
    return brought.removeprefix(PACKAGE) if brought.startswith(PACKAGE) else ""


def _locked(file: ProjectFile) -> set[str]:
    """The names of the packages that the project brings along, in their canonical form."""
    from sluice.project.packages import read_lock  # the only one that needs the package packaging

    lock = file.project.packages
    return {pin.name for pin in read_lock((file.folder / lock).read_bytes(), lock)} if lock else set()


def missing_packages(file: ProjectFile) -> Iterator[str]:
    """What a pod may lack: packages that bring something, and are not in the project's lock nor in an image it names.

    Whether Sluice's own images have them, as a site may have made them, is not known here: the step tells it.
    """
    project = file.project
    locked = _locked(file)
    for parameter, found in _named(project).items():
        step = parameter.removesuffix("_code")
        images = [share.image for each in (step, "*") if (share := project.steps.get(each)) and share.image]
        for name, registry in found:
            package = _package(name, registry)
            if registry and package and not images and canonicalize_name(package.partition(" ")[0]) not in locked:
                yield (
                    f"{registry.title} {name!r} is {package}'s, which the image of step {step} must have; if it has "
                    f"not, add the package to packages: of {file.path.name}"
                )
