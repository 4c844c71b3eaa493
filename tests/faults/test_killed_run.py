"""A run that is killed leaves nothing half-made: the next run finishes, and registers one version."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.examples import FLIGHTS
from tests.sluice_command import QUICKEST, Sluice

DEADLINE_SECONDS = 240


@pytest.fixture(scope="module")
def up_to_train(few_flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which all that comes before the step train is done: copied by who needs no more of it.

    Its run was killed with its steps, and told of by the next command.
    """
    sluice = Sluice(tmp_path_factory.mktemp("up-to-train"))
    _killed_at("train", sluice, few_flights)
    assert [run.info.status for run in _tracked(sluice.home)] == ["RUNNING"]  # nobody was left to say how it ended
    assert sluice("pipelines", TMPDIR=str(sluice.home / "tmp")).returncode == 0
    (run,) = _tracked(sluice.home)
    assert (run.info.status, run.data.tags["sluice.error"]) == ("KILLED", "the run was killed")
    return sluice.home


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),  # handled as SIGINT is
        pytest.param(signal.SIGKILL, marks=pytest.mark.long),  # tests/local/test_own_pipeline.py kills a run, too
    ],
)
def test_no_step_outlives_its_run_and_mlflow_says_how_it_ended(
    number: signal.Signals, few_flights: Path, up_to_train: Path, tmp_path: Path
) -> None:
    sluice = Sluice(shutil.copytree(up_to_train, tmp_path / "home"))
    before = set(sluice.home.glob("runs/*"))
    process = _start(sluice, few_flights)
    try:
        _wait_for("Executing task 'train'", sluice.home, process, before)
        step = _step(sluice.home, process, before)
        process.send_signal(number)
        code = process.wait(DEADLINE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while _lives(step):
        assert time.monotonic() < deadline, "the step trains on"
        time.sleep(0.05)
    # Any command tells of what was killed.
    assert sluice("pipelines", TMPDIR=str(sluice.home / "tmp")).returncode == 0
    runs = _tracked(sluice.home)
    assert [run.info.status for run in runs] == ["KILLED"] * 2  # the last one first; the other is the fixture's
    # After SIGKILL the step tells it, or the next command, where the machine is too busy for the step to do so in time.
    reasons = ["step train: ended by SIGTERM", "the run was killed"]
    assert runs[0].data.tags["sluice.error"] in (
        reasons if number == signal.SIGKILL else [f"ended by {number.name}", f"step train: ended by {number.name}"]
    )
    assert not list(sluice.home.glob("runs/*/lifeline"))
    assert not list((sluice.home / "tmp").iterdir())
    assert not list(sluice.home.glob("store/.staging-*"))


def _tracked(home: Path) -> list[Run]:
    """All runs in MLflow, the last one first."""
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    return [run for entry in client.search_experiments() for run in client.search_runs([entry.experiment_id])]


def _killed_at(step: str, sluice: Sluice, lake: Path) -> None:
    """A run, killed with its steps when one of these begins."""
    process = _start(sluice, lake)
    try:
        _wait_for(f"Executing task '{step}'", sluice.home, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _step(home: Path, process: subprocess.Popen[bytes], before: Collection[Path]) -> int:
    """The process of the step that runs now, of a run that is none of those before."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        steps = [path for path in home.glob("runs/*/steps/*") if path.parents[1] not in before]
        living = [int(path.name) for path in steps if _lives(int(path.name))]
        if living:
            return living[0]
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    pytest.fail("no step began")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.is_file() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _start(sluice: Sluice, lake: Path) -> subprocess.Popen[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
    command = [sys.executable, "-m", "sluice", "run", FLIGHTS, "-p", f"lake={lake}", *QUICKEST]
    (sluice.home / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        command,
        env=kept | {"SLUICE_HOME": str(sluice.home), "TMPDIR": str(sluice.home / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its steps are killed with it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def _wait_for(step: str, home: Path, process: subprocess.Popen[bytes], before: Collection[Path] = ()) -> None:
    """Until a run that is none of those before says so in its log."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        logs = [path / "run.log" for path in home.glob("runs/*") if path not in before]
        if any(step in log.read_text(errors="replace") for log in logs if log.is_file()):
            return
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    pytest.fail(f"{step} did not begin within {DEADLINE_SECONDS} s")


def _wait_for_tables(home: Path, process: subprocess.Popen[bytes]) -> None:
    """Until MLflow makes its tables: killed then, a first run used to leave a home that was broken for good."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any(path.stat().st_size for path in home.glob(".staging-mlflow-*/mlflow.db")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "no database was begun"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "step", [pytest.param("", marks=pytest.mark.long), "register"], ids=["first tables", "register"]
)
def test_the_next_run_finishes_what_a_killed_one_began(
    step: str, few_flights: Path, up_to_train: Path, tmp_path: Path
) -> None:
    sluice = Sluice(shutil.copytree(up_to_train, tmp_path / "home") if step else tmp_path)
    process = _start(sluice, few_flights)
    try:
        if step:
            _wait_for(f"Executing task '{step}'", sluice.home, process)
        else:
            _wait_for_tables(sluice.home, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = sluice("run", FLIGHTS, "-p", f"lake={few_flights}", *QUICKEST, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["version"] == "1"
    assert len(list(sluice.home.glob("store/promotions/flights-late/*.json"))) == 1
    assert not list(sluice.home.glob(".staging-*"))
    runs = _tracked(sluice.home)
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}, "none may stay RUNNING"
