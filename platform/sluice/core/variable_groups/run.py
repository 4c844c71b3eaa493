"""The variables of this machine and of the run that a process belongs to."""

from pathlib import Path

from sluice.core.variable_kinds import folder_or_file, text
from sluice.core.variables import SetBy, Told, Variable, VariableGroup

_SLUICE = SetBy.SLUICE


class RunVariables(VariableGroup):
    """Where a process keeps its files, and which run, code and environment it belongs to."""

    home = Variable(
        "SLUICE_HOME",
        read=lambda _, given: Path(given),
        default=Path(".sluice"),
        told=Told(
            "Folder of everything Sluice keeps on this machine: store, MLflow's database, runs, reports, cache. It may "
            "be moved or copied, and keeps its models. With MLflow's database in it, its path holds no `?` and no `%` "
            "before two hex digits.",
            "`.sluice` in the working directory",
        ),
    )
    name = text(
        "SLUICE_RUN_NAME",
        meaning="The name of a pipeline run's MLflow run, as `sluice run --name` gives it too. `sluice submit --name` "
        "gives KFP's run and it the same one.",
        without="time, pipeline and the id's beginning",
    )
    pipeline = text(
        "SLUICE_PIPELINE",
        meaning="The pipeline's name and the run's id, recorded in manifests and tags; the id also names the run's "
        "folder in the store, and MLflow's runs have it as the tag `sluice.run`.",
        by=_SLUICE,
    )
    run = text("SLUICE_RUN", by=_SLUICE)
    mlflow_run = text(
        "SLUICE_MLFLOW_RUN",
        meaning="The MLflow run of the whole pipeline run, where `sluice run` stands above the steps and ends it.",
        by=_SLUICE,
    )
    lifeline = folder_or_file(
        "SLUICE_LIFELINE",
        meaning="A file that `sluice run` holds a lock on: when that is free, the run has ended, and so do its steps.",
        by=_SLUICE,
    )
    commit = text(
        "SLUICE_COMMIT",
        meaning="The code's git commit, with `+dirty` when files differ from it; otherwise asked of git.",
        by=_SLUICE,
    )
    changes = text(
        "SLUICE_CHANGES",
        meaning="SHA-256 of what differs from that commit; the store keeps it as a patch under `code/`.",
        by=_SLUICE,
    )
    environment = text(
        "SLUICE_ENVIRONMENT",
        meaning="SHA-256 over Python's version and all installed packages; otherwise computed.",
        by=_SLUICE,
    )
    image = text("SLUICE_IMAGE", meaning="The container image, recorded in manifests.", by=_SLUICE)
    termination_log = folder_or_file(
        "SLUICE_TERMINATION_LOG",
        meaning="File that receives a failing step's one line; in a pod `/dev/termination-log` is used.",
        by=_SLUICE,
    )
