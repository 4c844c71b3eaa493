"""Runs a pipeline on this machine: KFP's own local runner, each step a process, MLflow and the store in one folder.

Results are reused through KFP's local cache. Its key holds a step's arguments and input addresses, and those addresses
are content addresses; what the key cannot see, the code and the installed packages, names the cache's folder instead.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from sluice.artifacts.code_state import changes_key, code_state, keep_changes
from sluice.artifacts.producer import (
    CHANGES,
    COMMIT,
    ENVIRONMENT,
    PIPELINE,
    RUN,
    code_changes,
    code_commit,
    code_environment,
)
from sluice.artifacts.run_results import REPORT, RESULT, results_key
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput, SluiceError
from sluice.core.home import HOME, home
from sluice.core.lifeline import Lifeline, stoppable
from sluice.core.mlflow_settings import RUN_ID
from sluice.core.plain_text import one_line, uncoloured
from sluice.core.setting_checks import check_settings
from sluice.core.settings import settings
from sluice.core.termination_message import TERMINATION_LOG, read_message
from sluice.core.variable_groups.system import SystemVariables
from sluice.registry.pipeline_runs import PIPELINE_RUN, run_name
from sluice.registry.tracked_results import keep_report
from sluice.registry.tracking import pipeline_run
from sluice.running import abandoned_runs
from sluice.running.arguments import check_arguments
from sluice.running.catalog import Pipeline
from sluice.running.local_python import check_runs_here, this_python
from sluice.running.run_progress import StepTimes, captured
from sluice.running.run_records import HTML, RUNS, Recorder, RunRecord, asked_for, outcome_of
from sluice.running.step_code import code_digest, imports_of
from sluice.running.step_recording import recorded_steps
from sluice.running.warm_steps import WarmPython, warm_python, warm_steps
from sluice.storage.locations import STORE, default_store

_RAISED = re.compile(r"\s*([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Fault)\b(?::.*)?)$")


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Attributes:
        run: The run's id, also the name of its folder.
        result: The content of the pipeline's output artifact `result`; empty for a pipeline without one.
        report: The HTML report; None for a pipeline that makes none.
        log: Everything that the steps printed; None for a run on a cluster, which keeps the logs itself.
        seconds: From start to end.
        times: Seconds by step; None where the result was reused.
        stored: The report's address in a cluster's store, or empty.
        outputs: The pipeline's other outputs by name: values, and the addresses of artifacts.
        reference: What finds the pipeline again: its name, or its file; empty where that is not known.
        given: The parameters that the person gave.
        parameters: All of them, defaults too.
        project: The folder of the project that it was run for; empty outside of one.
    """

    run: str
    result: dict[str, Any]
    report: Path | None
    log: Path | None
    seconds: float
    times: StepTimes
    stored: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    project: str = ""


def run_pipeline(
    pipeline: Pipeline,
    arguments: Mapping[str, Any],
    console: Console,
    *,
    quiet: bool = False,
    reuse: bool = True,
    run: str = "",
    name: str = "",
    given: Mapping[str, Any] | None = None,
    project: str = "",
    resumes: str = "",
    warm: WarmPython | None = None,
) -> RunResult:
    """Run a pipeline to its end.

    Args:
        pipeline: Which.
        arguments: By parameter name; defaults stand for the rest.
        console: Where progress goes.
        quiet: Show no progress.
        reuse: Take results of earlier runs where code, parameters and inputs are the same.
        run: The run's id where somebody else has given it one already.
        name: What MLflow shall call it; by default SLUICE_RUN_NAME, else one of time and pipeline.
        given: What the person gave, where the arguments were made of more, as for a project; by default the arguments.
        project: The folder of the project that it is run for, for its record.
        resumes: The id of the run that it takes up again, for its record.
        warm: Forks the steps, for who runs several pipelines; by default one of this run alone.

    Raises:
        BadInput: A step refused its input; the message is the step's own, and names the page that the step left.
        EnvironmentFault: A service or the machine failed.
        SluiceError: A step broke; the message names the log.
    """
    started = datetime.now(UTC)
    check_settings()
    check_arguments(pipeline, arguments)
    check_runs_here(_executors(pipeline))
    made = run_name(pipeline.name, run or os.urandom(2).hex())
    run, name = run or made, name or settings().run.name or made
    folder = home() / RUNS / run
    folder.mkdir(parents=True, exist_ok=True)
    log, failure = folder / "run.log", folder / "failure"
    given = arguments if given is None else given
    asked = asked_for(pipeline, arguments, given, run=run, name=name, project=project, resumes=resumes)
    with (
        warm_python(warm) as forking,
        changed_variables(_variables(pipeline, run, failure)),
        _tracked(pipeline, name, arguments, folder) as tracked,
    ):
        recorder = Recorder(_begun(asked, tracked, log), folder)
        with recorder.ending(), recorded_steps(recorder):
            with _explained(log, failure, recorder), captured(log, console, quiet=quiet) as output:
                print(one_line(_code_line()))  # noqa: T201 - the log's first line
                outputs = _execute(pipeline, arguments, folder, forking, reuse=reuse)
            report, result = _left(outputs, run)
            keep_report(tracked, report, result)
            content = _content(result)
            recorder.record.report = str(report or "")
            recorder.record.outcome = outcome_of(content)
    seconds = (datetime.now(UTC) - started).total_seconds()
    return RunResult(
        run,
        content,
        report,
        log,
        seconds,
        output.times,
        outputs={key: _told(value) for key, value in outputs.items() if key not in ("report", "result")},
        reference=pipeline.reference,
        given=dict(given),
        parameters=asked["parameters"],
        project=project,
    )


def _executors(pipeline: Pipeline) -> dict[str, Any]:
    from google.protobuf import json_format

    found: dict[str, Any] = json_format.MessageToDict(pipeline.component.pipeline_spec.deployment_spec)["executors"]
    return found


def _begun(asked: dict[str, Any], tracked: str, log: Path) -> RunRecord:
    """The record of a run that has just been opened in MLflow."""
    return RunRecord(
        **asked,
        commit=code_commit(),
        changes=code_changes(),
        environment=settings().run.environment,
        store=default_store().uri,
        mlflow_run=tracked,
        log=str(log),
    )


def _left(outputs: Mapping[str, Any], run: str) -> tuple[Path | None, Path | None]:
    """Report and result as files: the pipeline's outputs of these names, else what our steps put into the store."""
    report, result = _file(outputs.get("report")), _file(outputs.get("result"))
    if report and outputs["report"].schema_title != HTML:
        report = None
    if result and not _content(result):
        result = None
    store = default_store()
    if report is None and store.exists(results_key(run, REPORT)):
        report = home() / "reports" / f"{run}.html"
        report.parent.mkdir(parents=True, exist_ok=True)
        store.get_file(results_key(run, REPORT), report)
    elif report:
        report = _keep_report(report, run)
    if result is None and store.exists(results_key(run, RESULT)):
        result = home() / RUNS / run / RESULT
        store.get_file(results_key(run, RESULT), result)
    return report, result


def _file(output: Any) -> Path | None:  # noqa: ANN401 - one of KFP's artifacts, or a value
    path = Path(str(getattr(output, "path", "") or ""))
    return path if path.is_file() else None


def _content(result: Path | None) -> dict[str, Any]:
    """A result's JSON object; a user's own output of that name may be anything, and counts as none then."""
    try:
        content = json.loads(result.read_text(encoding="utf-8")) if result else {}
    except (ValueError, OSError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _told(output: Any) -> Any:  # noqa: ANN401 - one of KFP's artifacts, a list of them, or a value
    if isinstance(output, list):
        return [_told(each) for each in output]
    return str(output.uri) if hasattr(output, "uri") else output


@contextlib.contextmanager
def _tracked(pipeline: Pipeline, name: str, arguments: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """The run's MLflow run, for the time of the `with` block; however that ends, no step's process outlives it.

    Yields:
        The MLflow run's id.
    """
    values = {parameter.name: parameter.default for parameter in pipeline.parameters} | dict(arguments)
    line = Lifeline(folder)
    with (
        contextlib.closing(line),
        stoppable(line.begin_end),
        tempfile.TemporaryDirectory(prefix=abandoned_runs.SCRATCH_PREFIX, ignore_cleanup_errors=True) as scratch,
    ):
        # Before the run is opened in MLflow: it may be killed the moment after.
        line.note(abandoned_runs.notes(scratch))
        with pipeline_run(name, values) as run:
            line.note({abandoned_runs.TRACKED: run})
            try:
                with changed_variables(
                    {**line.variables, RUN_ID: run, PIPELINE_RUN: run, SystemVariables.scratch.name: scratch}
                ):
                    yield run
            finally:
                line.end_steps()


def _variables(pipeline: Pipeline, run: str, failure: Path) -> dict[str, str]:
    """What the steps' processes learn from their environment."""
    return {
        HOME: str(home()),
        STORE: default_store().uri,
        PIPELINE: pipeline.name,
        RUN: run,
        COMMIT: code_commit(),
        CHANGES: _kept_changes(),
        ENVIRONMENT: code_environment(),
        TERMINATION_LOG: str(failure),
        # Idle threads of BLAS and OpenMP spin: on a busy machine they cost more than they compute here.
        SystemVariables.threads.name: settings().system.threads,
        SystemVariables.blas_threads.name: settings().system.blas_threads,
        SystemVariables.utf8.name: "1",  # what steps write and say is UTF-8, whatever the locale of the person
        SystemVariables.safe_path.name: "1",  # nor may a project's sluice.py shadow the package
    }


def _kept_changes() -> str:
    """The digest of what differs from the commit, once the store keeps it."""
    if settings().run.commit:
        return code_changes()
    return keep_changes(default_store(), code_state())


def _code_line() -> str:
    changes = code_changes()
    kept = f", with the changes in {default_store().uri}/{changes_key(changes)}" if changes else ""
    return f"Code: commit {code_commit()}{kept}; environment {settings().run.environment}"


def _execute(
    pipeline: Pipeline, arguments: Mapping[str, Any], folder: Path, warm: WarmPython | None, *, reuse: bool
) -> dict[str, Any]:
    from kfp import local

    # KFP removes this folder at the end of a run, so it must be one of its own.
    workspace = tempfile.mkdtemp(prefix="workspace-", dir=settings().system.scratch)
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder),
        workspace_root=workspace,
        enable_caching=reuse,
        cache_root=str(_cache(pipeline)),
    )
    with this_python(), warm_steps(warm), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You may be attemping to run", category=RuntimeWarning)
        outputs: dict[str, Any] = pipeline.component(**arguments).outputs
    return outputs


def _cache(pipeline: Pipeline) -> Path:
    """Where results of this code are kept. They hold addresses, so a home that was moved begins anew.

    The functions of a user's own pipeline stand in the key of each result; what their file imports stands here.
    """
    made_by = f"{code_digest(imports_of(pipeline.source))} {home()} {default_store().uri}"
    return home() / "cache" / hashlib.sha256(os.fsencode(made_by)).hexdigest()


@contextlib.contextmanager
def _explained(log: Path, failure: Path, recorder: Recorder) -> Iterator[None]:
    """KFP's runner says only which step failed; say instead what the step itself said."""
    try:
        yield
    except RuntimeError as error:
        said = read_message(failure.read_text(encoding="utf-8")) if failure.exists() else None
        page = recorder.failed_page()
        if isinstance(said, BadInput) and page:
            raise BadInput(f"{said}; its page: {page}") from None
        if said:
            raise said from None
        told = f"{uncoloured(str(error))} Its output, with the traceback, is in {log}"
        if (step := recorder.failed_step()) and (reason := _last_error(log)):
            run = recorder.record.id
            told = f"step {step}: {reason}; the traceback is in {log}; `sluice step {run} {step} --pdb` runs it alone"
        raise SluiceError(told) from None


def _last_error(log: Path) -> str:
    """The last line of the last traceback in a log; empty where there is none."""
    found = ""
    with contextlib.suppress(OSError), log.open(encoding="utf-8") as lines:
        for line in lines:
            if match := _RAISED.match(line):
                found = match[1].strip()
    return found


def _keep_report(path: Path, run: str) -> Path:
    """Give the report a name that a browser knows."""
    target = home() / "reports" / f"{run}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    return target
