"""What a run leaves for the commands that look at runs later: what was asked for, what became of it, step by step.

A run on this machine writes `runs/ID/run.json` as it begins, whenever a step begins or ends, and as it ends; so there
is one for a run that failed or was killed, too. Of a run that was submitted to a cluster, which keeps everything else
itself, `submitted/ID.json` says what was asked for. Logins and secrets of the environment stand in neither.
"""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from sluice.artifacts.code_state import UNKNOWN
from sluice.core.addresses import redacted
from sluice.core.errors import BadInput, Killed
from sluice.core.files import written
from sluice.core.home import home, make_home
from sluice.core.lifeline import Stopped, is_alive
from sluice.core.words import near
from sluice.registry.pipeline_runs import error_line
from sluice.running.catalog import Pipeline

RECORD, RUNS, SUBMITTED, LAST = "run.json", "runs", "submitted", "last"
HTML = "system.HTML"
State = Literal["running", "succeeded", "failed", "killed"]
StepState = Literal["running", "done", "reused", "failed"]
_MOST_NAMED = 5  # of the runs that a reference may mean


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ArtifactRecord(_Document):
    """An artifact that a step read or made.

    Attributes:
        name: KFP's name of it.
        type: KFP's word, such as `system.HTML`.
        uri: Where it lies.
        metadata: What its step says of it.
    """

    name: str
    type: str
    uri: str
    metadata: dict[str, Any] = {}


class StepRecord(_Document):
    """One step of a run.

    Attributes:
        name: The task's name in KFP; the second of equal ones, as in a loop, ends with `#2`.
        component: KFP's key of its component in the pipeline's spec.
        state: `reused` where the result of an earlier run was taken.
        began: UTC, ISO 8601.
        seconds: How long it ran; None until its end, and where it was reused.
        parameters: Its input parameters, as the step before it and the pipeline gave them.
        artifacts: Its input artifacts by name.
        outputs: Its output parameters.
        made: Its output artifacts by name.
        pages: HTML files that it left though it failed.
        withheld: Input parameters that hold a login or a secret, which is not written down.
    """

    name: str
    component: str
    state: StepState = "running"
    began: str = ""
    seconds: float | None = None
    parameters: dict[str, Any] = {}
    artifacts: dict[str, list[ArtifactRecord]] = {}
    outputs: dict[str, Any] = {}
    made: dict[str, list[ArtifactRecord]] = {}
    pages: list[str] = []
    withheld: list[str] = []


class Asked(_Document):
    """What somebody asked for when a run began.

    Attributes:
        version: Of this form.
        id: The run's.
        name: What MLflow or KFP calls it.
        pipeline: The pipeline's name.
        source: File and function of a user's own pipeline; empty for one of the installation.
        project: The folder of the project that it was run for; empty outside of one.
        given: The parameters that were given.
        parameters: All of them, defaults too.
        withheld: Those that hold a login or a secret, which is not written down.
        began: UTC, ISO 8601.
        resumes: The run that this one takes up again; empty for none.
    """

    version: Literal[1] = Field(
        default=1, validation_alias=AliasChoices("schema", "version"), serialization_alias="schema"
    )
    id: str
    name: str = ""
    pipeline: str
    source: str = ""
    project: str = ""
    given: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    withheld: list[str] = []
    began: str = ""
    resumes: str = ""

    @property
    def reference(self) -> str:
        """What finds its pipeline again."""
        return self.source or self.pipeline

    def known(self, parameters: Iterable[str]) -> dict[str, Any]:
        """The run's parameters, for a pipeline that has these now; one that was only a default may be gone.

        Raises:
            BadInput: One that was given is gone, or was not written down.
        """
        names = list(parameters)
        if gone := [name for name in self.given if name not in names]:
            raise BadInput(
                f"run {self.id} was given {gone[0]!r}, which {self.pipeline} has no more{near(gone[0], names)}; "
                f"run it anew: sluice run {self.reference}"
            )
        if held := [name for name in self.withheld if name in names]:
            raise BadInput(f"run {self.id} does not keep {held[0]!r}, which holds a login; give it: -p {held[0]}=…")
        return {name: value for name, value in self.parameters.items() if name in names}


class Outcome(_Document):
    """What a run decided: the registered model, its version, which candidate won, and the gate's word."""

    model: str = ""
    model_version: str = ""
    winner: str = ""
    decision: str = ""


def asked_for(
    pipeline: Pipeline,
    arguments: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    run: str,
    name: str,
    project: str = "",
    resumes: str = "",
) -> dict[str, Any]:
    """The fields of `Asked`, for a run that begins now."""
    defaults = {parameter.name: parameter.default for parameter in pipeline.parameters if not parameter.required}
    parameters, withheld = without_secrets(defaults | dict(arguments))
    return {
        "id": run,
        "name": name,
        "pipeline": pipeline.name,
        "source": pipeline.source,
        "project": project,
        "given": without_secrets(given)[0],
        "parameters": parameters,
        "withheld": withheld,
        "began": _written(datetime.now(UTC)),
        "resumes": resumes,
    }


def outcome_of(result: Mapping[str, Any]) -> Outcome | None:
    """What a pipeline's result decided; None where the result is not one of the step `register`."""
    if not {"task", "version", "winner", "decision"} <= set(result):
        return None
    return Outcome(
        model=str(result["task"]),
        model_version=str(result["version"]),
        winner=str(result["winner"]),
        decision=str(result["decision"]),
    )


class RunRecord(Asked):
    """A run on this machine.

    Attributes:
        state: What became of it.
        ended: UTC, ISO 8601; empty until then.
        seconds: From start to end.
        error: The one line that it ended with.
        commit: Of the code, as in manifests.
        changes: The digest of what differed from it.
        environment: The digest of the installed packages.
        store: The store's address.
        mlflow_run: The MLflow run.
        log: The log.
        report: The report; of a run that failed, the page of the step that closed the gate. Empty for none.
        outcome: None where the pipeline registers nothing.
        steps: In the order in which they began.
    """

    state: State = "running"
    ended: str = ""
    seconds: float | None = None
    error: str = ""
    commit: str = UNKNOWN
    changes: str = ""
    environment: str = ""
    store: str = ""
    mlflow_run: str = ""
    log: str = ""
    report: str = ""
    outcome: Outcome | None = None
    steps: list[StepRecord] = []


class SubmittedRecord(Asked):
    """A run on a cluster: where it is, and whether all its steps share one pod."""

    place: str = ""
    fused: bool = False


Record = TypeVar("Record", bound=Asked)


class Recorder:
    """Keeps the record of a run of this process up to date; its methods may be called from several threads.

    Args:
        record: As the run begins.
        folder: The run's folder.
    """

    def __init__(self, record: RunRecord, folder: Path) -> None:
        self.record = record
        self._path = folder / RECORD
        self._lock = threading.RLock()
        record.began = record.began or _written(datetime.now(UTC))
        self._began = datetime.fromisoformat(record.began)
        self._save()

    def begin(self, name: str, component: str, arguments: Mapping[str, Any]) -> StepRecord:
        """A step begins, with these arguments of KFP's."""
        with self._lock:
            equal = sum(step.name.partition("#")[0] == name for step in self.record.steps)
            plain = {key: value for key, value in arguments.items() if not _artifacts(value)}
            parameters, withheld = without_secrets(plain)
            step = StepRecord(
                name=f"{name}#{equal + 1}" if equal else name,
                component=component,
                began=_written(datetime.now(UTC)),
                parameters=parameters,
                artifacts={key: found for key, value in arguments.items() if (found := _artifacts(value))},
                withheld=withheld,
            )
            self.record.steps.append(step)
            self._save()
            return step

    def end(
        self,
        step: StepRecord,
        state: StepState,
        outputs: Mapping[str, Any],
        seconds: float | None,
        pages: Iterable[Path] = (),
    ) -> None:
        """A step has ended.

        Args:
            step: As `begin` gave it.
            state: How.
            outputs: KFP's outputs by name; none of a step that failed.
            seconds: How long it ran; None where its result was reused.
            pages: HTML files that a failed step left; each is copied to the reports' folder.
        """
        with self._lock:
            plain = {key: value for key, value in outputs.items() if not _artifacts(value)}
            step.state, step.seconds = state, None if seconds is None else round(seconds, 3)
            step.outputs = without_secrets(plain)[0]
            step.made = {key: found for key, value in outputs.items() if (found := _artifacts(value))}
            step.pages = [str(self._keep(page, step.name)) for page in pages]
            self._save()

    def failed_step(self) -> str:
        """The name of the step that failed; empty where none did."""
        return next((step.name for step in self.record.steps if step.state == "failed"), "")

    def failed_page(self) -> str:
        """The page of the step that failed; empty where it left none."""
        return next((page for step in self.record.steps if step.state == "failed" for page in step.pages), "")

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Write down how the `with` block ends."""
        try:
            yield
        except BaseException as error:
            killed = isinstance(error, Killed | Stopped | KeyboardInterrupt)
            self._finish("killed" if killed else "failed", error_line(str(error) or type(error).__name__))
            raise
        self._finish("succeeded", "")

    def _finish(self, state: State, error: str) -> None:
        with self._lock:
            now = datetime.now(UTC)
            self.record.state, self.record.error, self.record.ended = state, error, _written(now)
            self.record.seconds = round((now - self._began).total_seconds(), 3)
            self.record.report = self.record.report or self.failed_page()
            for step in self.record.steps:
                if step.state == "running":
                    step.state = "failed"
            self._save()

    def _keep(self, page: Path, step: str) -> Path:
        target = home() / "reports" / f"{self.record.id}-{step.replace('#', '-')}-{page.stem}.html"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)
        return target

    def _save(self) -> None:
        save(self.record, self._path)


def save(record: Asked, path: Path) -> None:
    """Write a record, whole or not at all."""
    with written(path) as out:
        out.write((record.model_dump_json(by_alias=True, indent=1) + "\n").encode())


def without_secrets(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Values as they may be written down, and the names of those that held a login or a secret."""
    shown = {name: _shown(value) for name, value in values.items()}
    return shown, [name for name, value in values.items() if shown[name] != value]


def _shown(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def _artifacts(value: Any) -> list[ArtifactRecord]:  # noqa: ANN401 - one of KFP's artifacts, a list of them, or JSON
    found = value if isinstance(value, list) else [value]
    if not found or not all(hasattr(each, "schema_title") for each in found):
        return []
    return [
        ArtifactRecord(
            name=each.name, type=each.schema_title, uri=each.uri, metadata=json.loads(json.dumps(each.metadata))
        )
        for each in found
    ]


def all_runs() -> list[RunRecord]:
    """The runs of this home, newest first; one that was killed is told so. What has no whole record is passed over."""
    found = []
    for path in (home() / RUNS).glob(f"*/{RECORD}"):
        with contextlib.suppress(BadInput):
            found.append(read_run(path))
    return sorted(found, key=lambda run: (run.began, run.id), reverse=True)


def read_run(path: Path) -> RunRecord:
    """A run's record, with the state that is true now.

    Raises:
        BadInput: The file is none.
    """
    record = _read(path, RunRecord)
    if record.state == "running" and not is_alive(path.parent):
        again = _read(path, RunRecord)  # it may have ended between the two looks
        record = again if again.state != "running" else again.model_copy(update={"state": "killed"})
    return record


def find_run(reference: str) -> RunRecord:
    """The run that a reference means.

    Args:
        reference: A run's id, its beginning, its end after the last `-`, or `last` for the newest.

    Raises:
        BadInput: There is none, or several; the message names some.
    """
    runs = all_runs()
    if reference == LAST and runs:
        return runs[0]
    found = runs_named(reference, runs)
    if len(found) == 1:
        return found[0]
    ids = [run.id for run in runs]
    if found:
        raise BadInput(f"run {reference!r} may be any of {_some([run.id for run in found])}; write more of the id")
    known = f"; known: {_some(ids)}" if ids else f"; {home()} has none yet"
    raise BadInput(f"no run {reference!r} is recorded here{near(reference, ids) or known}; `sluice runs` lists them")


def runs_named(reference: str, runs: Iterable[RunRecord]) -> list[RunRecord]:
    """The runs whose id is, begins with, or ends with what is given."""
    known = list(runs)
    exact = [run for run in known if run.id == reference]
    return exact or [run for run in known if run.id.startswith(reference) or run.id.endswith(f"-{reference}")]


def keep_submitted(record: SubmittedRecord) -> None:
    """Write down what was submitted."""
    target = make_home() / SUBMITTED / f"{record.id}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    save(record, target)


def find_submitted(run: str) -> SubmittedRecord | None:
    """What this machine submitted as a run of this id, or of an id that begins so; None where it was another machine.

    Raises:
        BadInput: Several begin so.
    """
    if not re.fullmatch(r"[\w-]+", run):
        return None
    found = sorted((home() / SUBMITTED).glob(f"{run}*.json"))
    if len(found) > 1:
        raise BadInput(f"run {run!r} may be any of {_some([path.stem for path in found])}; write more of the id")
    return _read(found[0], SubmittedRecord) if found else None


def _read(path: Path, kind: type[Record]) -> Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise BadInput(f"{path} is no record of a run ({place}: {first['msg']}); another Sluice wrote it") from None


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _written(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
