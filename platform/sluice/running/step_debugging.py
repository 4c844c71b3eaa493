"""One step of an earlier run, once more, in this process: with the inputs that it had, with the code of today.

Nothing of it lasts but the folder `steps/RUN/STEP` of the home: the store is read and what is written goes there, and
MLflow is given a copy of its database, so that the registry's champion is the real one and no run is added. So the step
that registers models is refused, unless the person says that it shall really register.
"""

import contextlib
import importlib
import inspect
import pdb
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sluice.artifacts.producer import COMMIT, PIPELINE, RUN, code_commit
from sluice.core.environment import changed_variables, set_variables
from sluice.core.errors import BadInput, SluiceError
from sluice.core.home import HOME, home, make_home
from sluice.core.mlflow_settings import RUN_ID, URI
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.core.words import near
from sluice.registry.mlflow_access import tracking_exists, tracking_uri
from sluice.registry.pipeline_runs import PIPELINE_RUN
from sluice.registry.tracking_database import database_file
from sluice.running import own_pipelines, package_pipelines
from sluice.running.catalog import Pipeline, own_step
from sluice.running.run_records import ArtifactRecord, RunRecord, StepRecord
from sluice.storage.locations import STORE, default_store
from sluice.storage.scratch import SCRATCH

FOLDER = "steps"
REGISTERS = ("register",)
_OUT, _STORE, _DATABASE = "outputs", "store", "mlflow.db"
_REGISTRY = TrackingVariables.registry.name


@dataclass(frozen=True)
class StepResult:
    """What a step gave.

    Attributes:
        run: The run whose inputs it had.
        step: Its name there.
        outputs: Its output parameters.
        folder: Where its artifacts are.
        differs: Output parameters that are not what they were in that run, with what they were.
    """

    run: str
    step: str
    outputs: dict[str, Any]
    folder: Path
    differs: dict[str, Any] = field(default_factory=dict)


class StepBroke(SluiceError):
    """The step raised; its traceback has been shown."""


def find_step(run: RunRecord, name: str) -> StepRecord:
    """A step of a run by its name; `_` and `-` mean the same.

    Raises:
        BadInput: The run has none of that name, or did not come so far.
    """
    wanted = name.replace("_", "-")
    found = next((step for step in reversed(run.steps) if step.name in (name, wanted)), None)
    if found is None:
        known = [step.name for step in run.steps]
        told = near(wanted, known) or (f"; it has {', '.join(known)}" if known else "; none began")
        raise BadInput(f"run {run.id} has no step {name!r}{told}")
    return found


def run_step(run: RunRecord, step: StepRecord, pipeline: Pipeline, *, debug: bool, really: bool) -> StepResult:
    """Run a step of a recorded run once more.

    Args:
        run: The run.
        step: Its step.
        pipeline: The run's pipeline as it is now.
        debug: Under Python's debugger, which stops in the function's first line, and where it raises.
        really: Let it write to the store, MLflow and the registry.

    Raises:
        BadInput: The step is no more, its inputs are gone, it registers models and `really` is not set, or it refused
            its input itself.
        StepBroke: It raised something else; the traceback of its own code stands on standard error.
        EnvironmentFault: A service or the machine failed.
    """
    from kfp.dsl.executor import Executor
    from kfp.local import executor_input_utils, executor_output_utils

    if step.withheld:
        raise BadInput(f"run {run.id} does not keep input {step.withheld[0]!r} of {step.name}, which holds a login")
    spec = pipeline.component.pipeline_spec
    if step.component not in spec.components:
        raise BadInput(f"pipeline {pipeline.reference} has no step {step.name!r} any more")
    component = spec.components[step.component]
    container = spec.deployment_spec["executors"][component.executor_label]["container"]
    if own_step(container) in REGISTERS and not really:
        raise BadInput(f"step {step.name!r} registers a version and may make it champion; --really lets it")
    function = _function(pipeline, container)
    arguments = {**step.parameters, **{name: _artifacts(step, name, each) for name, each in step.artifacts.items()}}
    folder = make_home() / FOLDER / run.id / step.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / _OUT).mkdir(parents=True)
    asked = executor_input_utils.construct_executor_input(component, arguments, str(folder / _OUT), False)
    body = executor_input_utils.executor_input_to_dict(asked, component)
    with _environment(folder, pipeline, really=really), _told(function, debug=debug):
        work = Executor(executor_input=body, function_to_execute=function).execute
        if debug:
            _debug(function, work)
        else:
            work()
    made = executor_output_utils.get_outputs_for_task(asked, component)
    outputs = {name: value for name, value in made.items() if name in component.output_definitions.parameters}
    differs = {name: was for name, was in step.outputs.items() if name in outputs and outputs[name] != was}
    return StepResult(run.id, step.name, outputs, folder, differs)


def _artifacts(step: StepRecord, name: str, records: list[ArtifactRecord]) -> Any:  # noqa: ANN401 - KFP's artifacts
    from kfp.dsl.executor import create_artifact_instance

    found = []
    for record in records:
        if "://" not in record.uri and not Path(record.uri).exists():
            raise BadInput(f"step {step.name!r} read {name!r} from {record.uri}, which is gone; run the pipeline again")
        body = {"name": record.name, "uri": record.uri, "metadata": record.metadata}
        found.append(create_artifact_instance({**body, "type": {"schemaTitle": record.type}}))
    return found[0] if len(found) == 1 else found


def _function(pipeline: Pipeline, container: Any) -> Callable[..., Any]:  # noqa: ANN401 - KFP's message Struct
    """The function of a step where it was written, so that a debugger and a traceback show its own file."""
    words = [str(word) for word in container["args"]] if "args" in container else []
    name = words[words.index("--function_to_execute") + 1] if "--function_to_execute" in words else ""
    if step := own_step(container):
        function = getattr(importlib.import_module(f"sluice.components.{step}.component"), step).python_func
    else:
        source, component = pipeline.source, pipeline.component
        known = own_pipelines.functions(source) if source else package_pipelines.functions(component)
        function = known.get(name)
    if function is None and name:
        function = _from_source(str(list(container["command"])[-1]), name)
    if function is None:
        raise BadInput("the step runs a program of an image; only steps that are Python functions run here")
    found: Callable[..., Any] = function
    return found


def _from_source(source: str, name: str) -> Callable[..., Any] | None:
    """A function of the code that a compiled pipeline carries, in a file that tracebacks can show."""
    place = make_home() / FOLDER / "compiled" / f"{name}.py"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(source, encoding="utf-8")
    values: dict[str, Any] = {"__name__": f"compiled_{name}"}
    exec(compile(source, str(place), "exec"), values)  # noqa: S102 - the step's own code, which KFP would run just so
    found: Callable[..., Any] | None = values.get(name)
    return found


@contextlib.contextmanager
def _environment(folder: Path, pipeline: Pipeline, *, really: bool) -> Iterator[None]:
    """What the step learns from its environment: no run that it belongs to, and nothing of ours to write to."""
    values = {HOME: str(home()), STORE: default_store().uri, PIPELINE: pipeline.name, COMMIT: code_commit()}
    with changed_variables(values, without=(RUN, RUN_ID, PIPELINE_RUN)):
        if not really:
            set_variables({SCRATCH: str(folder / _STORE)} | _tracking_apart(folder / _DATABASE))
        yield


def _tracking_apart(copy: Path) -> dict[str, str]:
    """Where MLflow writes instead: a copy of its database; of a server only the registry is read."""
    here = tracking_uri()
    file = database_file(here)
    apart = {URI: f"sqlite:///{copy}"}
    if file is None:
        return apart | {_REGISTRY: here}
    if tracking_exists() and file.exists():
        with contextlib.closing(sqlite3.connect(file)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
            old.backup(new)
    return apart


@contextlib.contextmanager
def _told(function: Callable[..., Any], *, debug: bool) -> Iterator[None]:
    """Show how a step broke: the traceback of its own code; and hand it to the debugger where that is wanted."""
    hook = sys.excepthook
    try:
        yield
    except KeyboardInterrupt:
        raise
    except (SystemExit, Exception) as error:  # noqa: BLE001 - whatever a step raises, shown below
        cause = error.__context__ if isinstance(error, SystemExit) and error.__context__ else error
        if isinstance(cause, SystemExit) and not cause.code:
            return
        trail = _own_frames(cause, function)
        if debug or not isinstance(cause, SluiceError):
            traceback.print_exception(type(cause), cause, trail, file=sys.stderr)
        if debug and trail:
            pdb.post_mortem(trail)
        if isinstance(cause, SluiceError):
            raise cause from None
        raise StepBroke(f"{type(cause).__name__}: {cause}") from None
    finally:
        sys.excepthook = hook


def _own_frames(error: BaseException, function: Callable[..., Any]) -> TracebackType | None:
    """The traceback from the step's function on, without what called it."""
    trail, own = error.__traceback__, inspect.unwrap(function).__code__
    while trail and trail.tb_frame.f_code is not own:
        trail = trail.tb_next
    return trail or error.__traceback__


def _debug(function: Callable[..., Any], work: Callable[[], object]) -> None:
    """Run a step under the debugger, which goes on to the function's first line.

    Raises:
        KeyboardInterrupt: The person left it before the end.
    """
    code = inspect.unwrap(function).__code__
    first = next((line for *_, line in code.co_lines() if line and line > code.co_firstlineno), code.co_firstlineno)
    debugger, ended = pdb.Pdb(readrc=False), []
    debugger.set_break(code.co_filename, first, temporary=True)
    debugger.rcLines = ["continue"]
    debugger.runcall(lambda: ended.append(work()))
    if not ended:
        raise KeyboardInterrupt


def body(result: StepResult) -> dict[str, Any]:
    """A step's result as JSON values."""
    told = {"run": result.run, "step": result.step, "outputs": result.outputs, "differs": result.differs}
    return {**told, "folder": str(result.folder)}
