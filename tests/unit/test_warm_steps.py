"""Steps that fork: each a process of its own, as one that begins Python anew."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from kfp.local import subprocess_task_handler

from sluice.core.errors import EnvironmentFault
from sluice.running.warm_steps import WarmPython, warm_steps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="steps fork on Linux alone: run this there")
CODE = """
import os, sys, time
def step(number: int) -> int:
    print("in step", os.environ["OF_THIS_STEP"], flush=True)
    print("imported", "sluice.components.sample.run" in sys.modules, flush=True)
    if number == 7:
        sys.exit(2)
    if number == 8:
        raise ValueError("the step's own")
    if number == 9:
        os.kill(os.getpid(), 9)
    if number == 10:
        time.sleep(600)
    os.environ["LEFT_BEHIND"] = "yes"
    import threading
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread's last word", flush=True))).start()
    return number + int("LEFT_BEHIND" in os.environ)
"""
TAKES = """
def other() -> None:
    from sluice.components.sample.run import run
"""


def command(number: int, folder: Path, code: str = CODE) -> list[str]:
    places = f'{{"outputFile": "{folder}/out.json", "parameters": {{"Output": {{"outputFile": "{folder}/Output"}}}}}}'
    given = f'{{"inputs": {{"parameterValues": {{"number": {number}}}}}, "outputs": {places}}}'
    script = "python3 -m kfp.dsl.executor_main"
    return ["sh", "-ec", script, code, "--function_to_execute", "step", "--executor_input", given]


def test_a_forked_step_is_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OF_THIS_STEP", "one")
    with closing(WarmPython()) as warm:
        assert warm.run(command(1, tmp_path)) == 0
        assert json.loads((tmp_path / "out.json").read_text())["parameterValues"] == {"Output": 2}
        said = capsys.readouterr().out
        assert "in step one\nimported False" in said
        assert "a thread's last word" in said, "a process ends with its threads"
        monkeypatch.setenv("OF_THIS_STEP", "two")
        assert warm.run(command(7, tmp_path)) == 2
        assert "in step two" in capsys.readouterr().out
        assert warm.run(command(8, tmp_path)) == 1
        assert "ValueError: the step's own" in capsys.readouterr().out
        assert warm.run(command(9, tmp_path)) == -9
        assert warm.run(command(3, tmp_path, CODE + TAKES), {"OF_THIS_STEP": "four"}) == 0
        assert "in step four\nimported True" in capsys.readouterr().out, "what a step takes is there before it begins"
        os.kill(warm.process, signal.SIGKILL)
        with pytest.raises(EnvironmentFault, match="the process that runs the steps"):
            warm.run(command(1, tmp_path))


def test_a_step_ends_with_who_runs_it_and_of_two_at_once_one_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THIS_STEP", "long")
    anew = list[list[str]]()
    monkeypatch.setattr(subprocess_task_handler, "run_local_subprocess", lambda words, _: anew.append(words) or 5)
    warm = WarmPython()
    codes = list[int]()
    with warm_steps(warm):
        run = subprocess_task_handler.run_local_subprocess
        thread = threading.Thread(target=lambda: codes.append(run(command(10, tmp_path), {"OF_THIS_STEP": "first"})))
        thread.start()
        end = time.monotonic() + 60
        while not (children := of(warm.process)):
            assert time.monotonic() < end, "no step began"
            time.sleep(0.02)
        assert run(command(1, tmp_path), None) == 5
        assert len(anew) == 1
        os.kill(warm.process, signal.SIGTERM)
        thread.join(60)
    assert codes == [-signal.SIGTERM]
    warm.close()
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def of(process: int) -> list[str]:
    """The processes that it has forked."""
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


LEFT_OUT = """
import sys
from sluice.running import warm_steps
for name in ("ingest", "validate", "prepare", "sample", "split", "train", "evaluate", "register", "report"):
    module = f"sluice.components.{name}.run"
    warm_steps._import(module, *warm_steps._LATER.get(module, ()))
    assert module in sys.modules, module
assert "skops.io" in sys.modules and "mlflow.tracking" in sys.modules
print(sorted({"onnxruntime", "torch", "grpc"} & set(sys.modules)))
"""


def test_nothing_is_imported_before_a_fork_that_breaks_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
