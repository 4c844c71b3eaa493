"""Runs in a notebook: begun, and what they left: the result, the evaluation record, the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sluice.artifacts.run_results import RESULT, read_result, results_key
from sluice.core.errors import BadInput
from sluice.project.declaration import Project
from sluice.project.files import PROJECT_PY, ProjectFile
from sluice.running import run_records
from sluice.running.project_runs import here, keep_results_in, order, use_project_home
from sluice.storage.stores import open_store

if TYPE_CHECKING:
    from sluice.evaluation.record import EvaluationRecord
    from sluice.notebook.datasets import Dataset
    from sluice.notebook.models import Model

_EVALUATION = "evaluation"


@dataclass(frozen=True)
class Run:
    """A run on this machine.

    Attributes:
        record: What was asked for and what became of it, step by step.
    """

    record: run_records.RunRecord

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    @property
    def state(self) -> str:
        """`running`, `succeeded`, `failed` or `killed`."""
        return self.record.state

    @property
    def error(self) -> str:
        """The one line that it ended with; empty where it succeeded."""
        return self.record.error

    @cached_property
    def result(self) -> dict[str, Any]:
        """Its result: winner, decision, reason, candidates, datasets, version.

        Raises:
            BadInput: It has left none.
        """
        store = open_store(self.record.store) if self.record.store else None
        if store is None or not store.exists(results_key(self.id, RESULT)):
            why = f": {self.error}" if self.error else ""
            raise BadInput(f"run {self.id} ({self.state}) has left no result{why}")
        return read_result(store, self.id)

    @property
    def decision(self) -> str:
        """The gate's word: promoted, unchanged, refused or undecided; empty where nothing was registered."""
        return self.record.outcome.decision if self.record.outcome else ""

    @property
    def metrics(self) -> pd.DataFrame:
        """The candidates' metrics on the test rows: one row a candidate and metric, with the 95 % interval.

        Columns: candidate, baseline, metric, value, low, high.
        """
        rows = [
            {"candidate": row["name"], "baseline": row["baseline"], "metric": name}
            | {end: number[end] for end in ("value", "low", "high")}
            for row in self.result["candidates"]
            for name, number in row["metrics"].items()
        ]
        return pd.DataFrame(rows)

    @cached_property
    def evaluation(self) -> "EvaluationRecord":
        """The record that report, registry and gate are made of: each number with n, interval and method.

        Raises:
            BadInput: The run made none, or its file is gone.
        """
        from sluice.registry.evaluation_verdict import read_record

        for step in reversed(self.record.steps):
            for artifact in step.made.get(_EVALUATION, ()):
                path = Path(artifact.uri)
                if not path.is_file():
                    raise BadInput(f"{path} is gone; `sluice resume {self.id}` makes it anew")
                return read_record(path)
        raise BadInput(f"run {self.id} ({self.state}) has evaluated nothing")

    @property
    def report(self) -> Path:
        """The HTML report; of a run that a gate ended, the page that says why.

        Raises:
            BadInput: There is none.
        """
        path = Path(self.record.report)
        if not self.record.report or not path.is_file():
            raise BadInput(f"run {self.id} ({self.state}) has no report; `sluice resume {self.id}` makes it anew")
        return path

    def html(self) -> str:
        """The report's text."""
        return self.report.read_text(encoding="utf-8")

    def dataset(self, step: str = "") -> "Dataset":
        """A dataset that a step of it made; see `open_dataset`."""
        from sluice.notebook.datasets import open_dataset

        return open_dataset(self.id, step=step)

    def model(self) -> "Model":
        """The version that it registered.

        Raises:
            BadInput: It registered none.
        """
        from sluice.notebook.models import load_model

        if self.record.outcome is None:
            raise BadInput(f"run {self.id} ({self.state}) has registered no model")
        return load_model(f"{self.record.outcome.model}/{self.record.outcome.model_version}")

    def __repr__(self) -> str:
        """Id, state and decision."""
        made = self.record.outcome
        told = f": {made.decision} {made.model}/{made.model_version} ({made.winner})" if made else ""
        return f"<Run {self.id} {self.state}{told or (self.error and f': {self.error}')}>"


def run(
    project: str | Path | Project = ".",
    *,
    parameters: Mapping[str, Any] | None = None,
    folder: str | Path = ".",
    fresh: bool = False,
    quiet: bool = False,
) -> Run:
    """Run a project on this machine, from its data to a judged and registered model.

    Args:
        project: Its folder, or what declares it.
        parameters: Of the pipeline, by name, in place of the project's: `{"max_rounds": 20}`.
        folder: For an object that declares a project: where its data and its code are.
        fresh: Run every step, reuse no earlier result.
        quiet: Show no progress.

    Returns:
        The run, ended; also where the gate refused the model.

    Raises:
        BadInput: The project is wrong, or a step refused its input; the message is the step's own.
        EnvironmentFault: A service or the machine failed.
    """
    import json

    from sluice.running.local_run import run_pipeline
    from sluice.running.terminal import console
    from sluice.storage.locations import default_store

    file = _file(project, Path(folder).absolute()) if isinstance(project, Project) else here(Path(project))
    pairs = [f"{name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in (parameters or {}).items()]
    ordered = order(file, pairs)
    done = run_pipeline(
        ordered.pipeline,
        ordered.publish(default_store()),
        console(),
        quiet=quiet,
        reuse=not fresh,
        given=ordered.given,
        project=str(file.folder),
    )
    return Run(run_records.find_run(done.run))


def _file(project: Project, folder: Path) -> ProjectFile:
    """A project that an object declares, as if a `sluice.py` in the folder did."""
    from sluice.core.strict_yaml import Lines

    keep_results_in(folder)
    return ProjectFile(folder / PROJECT_PY, project, "project", Lines())


def runs() -> list[Run]:
    """The runs on this machine, newest first."""
    use_project_home()
    return [Run(record) for record in run_records.all_runs()]


def get_run(reference: str = run_records.LAST) -> Run:
    """A run on this machine.

    Args:
        reference: Its id, the beginning or end of it, or `last`.

    Raises:
        BadInput: There is none, or several.
    """
    use_project_home()
    return Run(run_records.find_run(reference))
