"""Steps that begin at once: each forks off a process that has imported the libraries already.

A step on this machine is a process of its own, which first imports pandas, DuckDB, MLflow and others: most of a small
run's time. So a run keeps one process that does nothing but import and fork: what the first step to come takes, and
nothing before a step takes it, so that nothing is imported twice or in vain. A step stays a process of its own, with
its own environment, memory and end; the process that forks has no connections and no settings of a run.

Both ends speak over a Unix socket, in JSON: command, environment and folder of a step go there, with a file descriptor
for its output, and its exit code comes back.

Linux alone: on macOS what the system's own libraries hold does not outlive a fork.
"""

import contextlib
import gc
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sluice.core.environment import set_variables, unset_variables, variables
from sluice.core.errors import EnvironmentFault
from sluice.core.settings import settings
from sluice.core.variable_groups.system import SystemVariables

_CALL = "-m kfp.dsl.executor_main"
_MODULE = "ephemeral_component.py"
_MOST_BYTES = 64 * 2**20  # of one step's command; KFP hands over a component's source and all its arguments
_READY = b"ready\n"
_FIRST = ("kfp.dsl.executor_main", "kfp.dsl", "pandas", "pyarrow.parquet", "duckdb", "ibis.backends.duckdb")
_OURS = re.compile(r"^\s*from (sluice\.[\w.]+) import ", re.MULTILINE)
_SKOPS = "sluice.modeling.skops_files:skops_io"
_MODELS = ("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "sklearn.ensemble", _SKOPS)
_PAGE = ("matplotlib.backends.backend_svg",)
_LATER = {
    "sluice.components.validate.run": _PAGE,
    "sluice.components.train.run": (*_MODELS, *_PAGE),
    "sluice.components.evaluate.run": (*_MODELS, *_PAGE),
    "sluice.components.register.run": _MODELS,
}
"""What the modules that a step begins with, and those of other steps, import inside of functions only: modules, or
functions that import.

Not ONNX Runtime, whose threads a fork does not take along: a process that has it from before a fork breaks at its end.
"""
_END_SECONDS = 30.0
_ENDS = (signal.SIGTERM,)
_RUNTIME = {"_KFP_RUNTIME": "true"}  # KFP then leaves out what only compiling takes


class WarmPython:
    """A process that forks steps; it ends with this one, however that ends."""

    def __init__(self) -> None:
        """Start it; it imports what all steps take while the caller does other things.

        Raises:
            EnvironmentFault: It does not start.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this Python and this module
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env={**variables(), **_process_variables()},
                )
            except OSError as error:
                raise EnvironmentFault(f"no process for the steps can be started: {error}") from None
        self._socket, self._stream = ours, ours.makefile("rb")
        self._is_ready = False
        self._alone = threading.Lock()

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid

    @contextlib.contextmanager
    def free(self) -> Iterator[bool]:
        """Whether no other thread's step runs; for the time of the `with` block none begins."""
        free = self._alone.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._alone.release()

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
        """End it, and with it a step that did not end by itself."""
        self._stream.close()
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
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
def warm_python(given: WarmPython | None = None) -> Iterator[WarmPython | None]:
    """What forks steps for the time of the `with` block: the given one, or a new one that ends with it.

    None where the system knows no safe fork; there each step starts Python anew.
    """
    if given or sys.platform != "linux":
        yield given
        return
    with contextlib.closing(WarmPython()) as own:
        yield own


@contextlib.contextmanager
def warm_steps(warm: WarmPython | None) -> Iterator[None]:
    """KFP's local runner starts its steps so for the time of the `with` block; with None, as ever.

    What is no Python component's command, installs packages first, or is one of several at once starts as ever too.
    """
    from kfp.local import subprocess_task_handler

    if warm is None:
        yield
        return
    before = subprocess_task_handler.run_local_subprocess

    def run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
        with warm.free() as free:
            if free and list(full_command[:2]) == ["sh", "-ec"] and _CALL in full_command[2]:
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


class _Forking:
    """What the process does that forks."""

    def __init__(self, line: socket.socket) -> None:
        self._line, self._child = line, 0

    def serve(self) -> int:
        """Import, say so, and fork a step for each line until the other end is closed.

        Returns:
            The exit code: of a step in its process, 0 in the one that forks.
        """
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it; that one's end is this one's
        signal.signal(signal.SIGTERM, self._terminate)
        _import(*_FIRST)
        with contextlib.suppress(OSError):  # whoever started it is gone
            self._line.sendall(_READY)
            while asked := _received(self._line):
                words, output = asked
                for module in _OURS.findall(words["code"]):
                    _import(module, *_LATER.get(module, ()))
                gc.freeze()  # a step's collections need not look through what was imported
                signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # until each of the two knows which one it is
                self._child = os.fork()
                if not self._child:
                    self._line.close()
                    return _be_step(words, output)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
                os.close(output)
                code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
                self._child = 0
                self._line.sendall(b"%d\n" % code)
        return 0

    def _terminate(self, number: int, _: object) -> None:
        """End with the step that runs, if one does: it may have to tell somebody."""
        if self._child:
            os.kill(self._child, number)
        else:
            os._exit(128 + number)


def _import(*modules: str) -> None:
    gc.disable()  # nothing that is imported is garbage
    for module in modules:
        name, _, function = module.partition(":")
        with contextlib.suppress(Exception):  # of an extra that is not installed, or broken; the step says so
            found = importlib.import_module(name)
            if function:
                getattr(found, function)()
    gc.enable()


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


def _be_step(asked: dict[str, Any], output: int) -> int:
    """Be the process that KFP's script would have started; its exit code, unless it raises."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    unset_variables(*variables())
    set_variables(asked["environment"])
    os.chdir(asked["folder"])
    tempfile.tempdir = None  # it follows from the environment
    from kfp.dsl import executor_main

    folder = Path(tempfile.mkdtemp())
    try:
        (folder / _MODULE).write_text(asked["code"], encoding="utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(folder / _MODULE), *asked["arguments"]]
        executor_main.executor_main()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        sys.exit(_Forking(given).serve())
