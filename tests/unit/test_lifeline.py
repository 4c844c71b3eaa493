"""Steps end with their run, however it ends: real processes, under a shell as KFP's local runner starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice.core.lifeline import Lifeline, Stopped, abandoned, stoppable

SECONDS = 60.0
STEP = """
import pathlib, sys, time
from sluice.core import lifeline
from sluice.steps.step import step
lifeline.GRACE_SECONDS = float(sys.argv[2])
folder = pathlib.Path(sys.argv[1])
with step("train"):
    (folder / "began").touch()
    try:
        time.sleep(600)
    finally:
        (folder / "unwound").touch()
        time.sleep(float(sys.argv[3]))
"""
RUN = """
import os, pathlib, subprocess, sys
from sluice.core.lifeline import Lifeline, stoppable
folder = pathlib.Path(sys.argv[1])
line = Lifeline(folder)
line.note({"mlflow_run": "abc"})
with stoppable(line.begin_end):
    words = ["sh", "-c", 'x=1; "$0" "$@"', sys.executable, str(folder / "step.py"), *sys.argv[1:]]
    with subprocess.Popen(words, env=os.environ | line.variables) as process:
        process.wait()
"""


def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").is_file() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs" / "one"
    made.mkdir(parents=True)
    (made / "step.py").write_text(STEP)
    return made


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Starts a run whose step sleeps; gives it and the step's process id."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(grace: float = 30, stubborn: float = 0) -> tuple[subprocess.Popen[bytes], int]:
        command = [sys.executable, "-c", RUN, str(folder), str(grace), str(stubborn)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
        own = {"SLUICE_HOME": str(tmp_path), "SLUICE_TERMINATION_LOG": str(tmp_path / "said")}
        started.append(subprocess.Popen(command, env=kept | own))
        eventually((folder / "began").exists, "the step did not begin")
        (pid,) = (int(path.name) for path in (folder / "steps").iterdir())
        return started[-1], pid

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_step_ends_when_its_run_is_killed(
    folder: Path, start: Callable[..., tuple[subprocess.Popen[bytes], int]]
) -> None:
    process, step = start()
    assert list(abandoned(folder.parent)) == [], "it lives"
    process.kill()
    eventually(lambda: not lives(step), "the step lives on")
    assert (folder / "unwound").exists(), "what was open was not closed"
    assert (folder.parents[1] / "said").read_text() == "step train failed with exit code 143: ended by SIGTERM"
    found: list[tuple[Path, dict[str, str]]] = []
    eventually(lambda: found.extend(abandoned(folder.parent)) or found, "nobody would ever tell")
    assert found == [(folder, {"mlflow_run": "abc"})]
    assert not (folder / "lifeline").exists()
    assert list(abandoned(folder.parent)) == [], "told once"


def test_a_step_that_does_not_end_by_itself_is_ended(
    folder: Path, start: Callable[..., tuple[subprocess.Popen[bytes], int]]
) -> None:
    process, step = start(grace=0.5, stubborn=600)
    process.kill()
    eventually((folder / "unwound").exists, "it did not notice")
    assert list(abandoned(folder.parent)) == [], "its step lives"
    eventually(lambda: not lives(step), "the step lives on")


def test_a_run_that_is_told_to_end_waits_for_its_step(
    folder: Path, start: Callable[..., tuple[subprocess.Popen[bytes], int]]
) -> None:
    process, step = start()
    process.terminate()
    assert process.wait(SECONDS) == 143
    assert not lives(step)
    assert json.loads((folder / "lifeline").read_text()) == {"mlflow_run": "abc", "ending": "yes"}


def test_a_step_that_holds_out_is_killed_by_its_run(tmp_path: Path) -> None:
    line = Lifeline(tmp_path)
    hold = (
        "import fcntl, os, sys, time; f = open(f'{sys.argv[1]}/steps/{os.getpid()}', 'wb');"
        "fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        line.end_steps(0.1)
        assert process.wait(SECONDS) == -signal.SIGKILL
    line.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_signal_counts_and_others_handlers_stay() -> None:
    told = []

    def hit() -> None:
        with stoppable(lambda: told.append(1)):
            try:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(SECONDS)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped, match="ended by SIGTERM"):
            hit()
        assert told == [1]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
