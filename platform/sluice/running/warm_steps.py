"""Steps that begin at once: each forks off a process that has imported the libraries already.

A step on this machine is a process of its own, which first imports pandas, DuckDB, MLflow and others: most of a small
run's time. Who runs many pipelines one after the other, as `sluice operate` does, keeps one process that has imported
them and does nothing but fork. A step stays a process of its own, with its own environment, memory and end; the process
that forks has no connections and no settings of a run.

Both ends speak over a Unix socket, in JSON: command, environment and folder of a step go there, with a file descriptor
for its output, and its exit code comes back.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sluice.core.environment import set_variables, unset_variables, variables
from sluice.core.errors import EnvironmentFault
from sluice.core.settings import settings
from sluice.core.variable_groups.system import SystemVariables

_CALL = "-m kfp.dsl.executor_main"
_MODULE = "ephemeral_component.py"
_MOST_BYTES = 64 * 2**20  # of one step's command; KFP hands over a component's source and all its arguments
_READY = b"ready\n"
_LIBRARIES = (
    "kfp.dsl.executor_main",
    "kfp.dsl",
    "duckdb",
    "ibis.backends.duckdb",
    "matplotlib.backends.backend_svg",
    "mlflow.models",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "onnx",
    "onnxruntime",
    "pandas",
    "pyarrow.parquet",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "skops.io",
    "sluice.components.evaluate.run",
    "sluice.components.ingest.run",
    "sluice.components.prepare.run",
    "sluice.components.register.run",
    "sluice.components.report.run",
    "sluice.components.sample.run",
    "sluice.components.split.run",
    "sluice.components.train.run",
    "sluice.components.validate.run",
    "sluice.exporting.export",
)
_RUNTIME = {"_KFP_RUNTIME": "true"}  # KFP then leaves out what only compiling takes


class WarmPython:
    """A process that forks steps; it ends with this one, however that ends."""

    def __init__(self, libraries: Sequence[str] = _LIBRARIES) -> None:
        """Start it; its imports go on while the caller does other things.

        Args:
            libraries: The modules that it imports; one that is not installed is left out.

        Raises:
            EnvironmentFault: It does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this Python and this module
                    [sys.executable, "-m", __name__, str(theirs.fileno()), *libraries],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**variables(), **_process_variables()},
                )
            except OSError as error:
                raise EnvironmentFault(f"no process for the steps can be started: {error}") from None
        self._socket, self._stream = ours, ours.makefile("rb")
        self._is_ready = False

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self, command: Sequence[str], more: dict[str, str] | None = None) -> int:
        """Run a step to its end and print what it says.

        Args:
            command: As KFP's local runner makes it: `sh -ec SCRIPT CODE ARGUMENT …`.
            more: Further variables of its environment.

        Returns:
            Its exit code; of one that a signal ended, the signal's number below zero.

        Raises:
            EnvironmentFault: The process that forks is gone.
        """
        asked = {
            "code": command[3],
            "arguments": list(command[4:]),
            "environment": {**variables(), **(more or {}), **_RUNTIME},
            "folder": str(Path.cwd()),
        }
        read, write = os.pipe()
        with open(read, encoding="utf-8", errors="replace") as said:  # noqa: PTH123 - a descriptor
            try:
                self._ask(json.dumps(asked).encode() + b"\n", write)
            finally:
                os.close(write)
            for line in said:
                print(line, end="")  # noqa: T201 - the run's log takes standard output over
            print("\n")  # noqa: T201 - as KFP's own runner ends a step
            return int(self._line())

    def close(self) -> None:
        """End it."""
        self._stream.close()
        self._socket.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, words: bytes, output: int) -> None:
        if not self._is_ready:
            self._line()
            self._is_ready = True
        try:
            socket.send_fds(self._socket, [len(words).to_bytes(8, "big")], [output])
            self._socket.sendall(words)
        except OSError as error:
            raise EnvironmentFault(f"the process that runs the steps is gone: {error}") from None

    def _line(self) -> bytes:
        try:
            line = self._stream.readline()
        except OSError:
            line = b""
        if not line:
            raise EnvironmentFault(f"the process that runs the steps has ended with code {self._process.wait()}")
        return line


@contextlib.contextmanager
def warm_steps(warm: WarmPython | None) -> Iterator[None]:
    """KFP's local runner starts its steps so for the time of the `with` block; with None, as ever.

    What is no Python component's command, or installs packages first, starts as ever too.
    """
    from kfp.local import subprocess_task_handler

    if warm is None:
        yield
        return
    before = subprocess_task_handler.run_local_subprocess

    def run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        if list(full_command[:2]) == ["sh", "-ec"] and _CALL in full_command[2]:
            return warm.run(full_command, env_vars)
        return int(before(full_command, env_vars))

    subprocess_task_handler.run_local_subprocess = run
    try:
        yield
    finally:
        subprocess_task_handler.run_local_subprocess = before


def _process_variables() -> dict[str, str]:
    """What libraries and Python itself read but once, when they begin: as every step of a run on this machine has."""
    system = settings().system
    return {
        **_RUNTIME,
        SystemVariables.threads.name: system.threads,
        SystemVariables.blas_threads.name: system.blas_threads,
        SystemVariables.utf8.name: "1",
        SystemVariables.safe_path.name: "1",
    }


def serve(number: int, libraries: Sequence[str]) -> None:
    """What the process does that forks: import, say so, and fork a step for each line until the other end is closed."""
    import importlib

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it; that one's end is this one's
    for name in libraries:
        with contextlib.suppress(ImportError):  # an extra that is not installed; who needs it says so
            importlib.import_module(name)
    with socket.socket(fileno=number) as line:
        line.sendall(_READY)
        while asked := _received(line):
            words, output = asked
            child = os.fork()
            if child == 0:
                line.close()
                _be_step(words, output)
            os.close(output)
            line.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _received(line: socket.socket) -> tuple[dict[str, Any], int] | None:
    """What is asked for and where its output goes; None at the end."""
    size, descriptors, _, _ = socket.recv_fds(line, 8, 1)
    if len(size) < 8 or not descriptors:
        return None
    left = int.from_bytes(size, "big")
    if left > _MOST_BYTES:
        return None
    words = bytearray()
    while len(words) < left:
        more = line.recv(left - len(words))
        if not more:
            return None
        words += more
    return json.loads(words), descriptors[0]


def _be_step(asked: dict[str, Any], output: int) -> NoReturn:
    """Be the process that KFP's script would have started."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        unset_variables(*variables())
        set_variables(asked["environment"])
        os.chdir(asked["folder"])
        tempfile.tempdir = None  # it follows from the environment
        code = _executed(asked["code"], asked["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:  # noqa: BLE001 - what Python itself does with it at the end of a process
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:
            (sys.excepthook if sys.excepthook is not sys.__excepthook__ else traceback.print_exception)(
                kind, error, trace
            )
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _executed(code: str, arguments: Sequence[str]) -> int:
    from kfp.dsl import executor_main

    folder = Path(tempfile.mkdtemp())
    try:
        (folder / _MODULE).write_text(code, encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(folder / _MODULE), *arguments]
        executor_main.executor_main()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
