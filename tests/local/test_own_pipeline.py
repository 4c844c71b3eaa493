"""A pipeline of the user's own, as a user runs it: run, broken, looked at, taken up again, debugged step by step."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sluice_command import Sluice

OWN = """
from kfp import dsl


@dsl.component(base_image="python:3.11", packages_to_install=["pandas"])
def count(rows: int, table: dsl.Output[dsl.Dataset]) -> int:
    import pandas as pd

    pd.DataFrame({{"row": range(rows)}}).to_csv(table.path, index=False)
    return rows


@dsl.component(base_image="acme/thing:1")
def add(a: int, more: int, table: dsl.Input[dsl.Dataset], page: dsl.Output[dsl.HTML]) -> int:
    with open(table.path) as lines:
        assert len(lines.readlines()) == a + 1
    {body}
    return a + more


@dsl.pipeline(name="adding")
def adding(rows: int, more: int = 3) -> int:
    counted = count(rows=rows)
    return add(a=counted.outputs["Output"], more=more, table=counted.outputs["table"]).outputs["Output"]
"""
BROKEN = 'open(page.path, "w").write("<p>why</p>")\n    raise ValueError(f"unlucky {more}")'
SECONDS = 120.0


def write(folder: Path, body: str) -> Path:
    path = folder / "own.py"
    path.write_text(OWN.format(body=body))
    return path


def states(sluice: Sluice, run: str = "last") -> dict[str, str]:
    told = sluice("show", run, "--json")
    assert told.returncode == 0, told.stderr
    return {step["name"]: step["state"] for step in json.loads(told.stdout)["steps"]}


def test_from_a_run_that_breaks_to_one_that_is_taken_up(tmp_path: Path) -> None:
    sluice, path = Sluice(tmp_path / "home"), write(tmp_path, BROKEN)
    broken = sluice("run", str(path), "-p", "rows=4", "-p", "more=13")
    assert broken.returncode == 1
    assert "error: step add: ValueError: unlucky 13; the traceback is in" in broken.stderr
    (run,) = json.loads(sluice("runs", "--json").stdout)
    assert (run["state"], run["pipeline"]) == ("failed", "adding")
    assert "unlucky 13" in run["error"]
    assert states(sluice) == {"count": "done", "add": "failed"}
    page = Path(sluice("report", "last").stdout.strip())
    assert page.read_text() == "<p>why</p>"

    alone = sluice("step", run["id"], "add")
    assert alone.returncode == 1
    assert "ValueError: unlucky 13" in alone.stderr
    assert f'File "{path}"' in alone.stderr
    assert "executor.py" not in alone.stderr  # only the user's own code

    write(tmp_path, "more = more + 1")
    done = sluice("resume", "last", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["outputs"], told["report"], told["result"]) == ({"Output": 18}, None, {})
    assert states(sluice) == {"count": "reused", "add": "done"}
    record = json.loads(sluice("show", "last", "--json").stdout)
    assert (record["resumes"], record["given"]) == (run["id"], {"rows": 4, "more": 13})
    again = sluice("step", "last", "add", "--json")
    assert (json.loads(again.stdout)["outputs"], json.loads(again.stdout)["differs"]) == ({"Output": 18}, {})
    assert len(json.loads(sluice("runs", "--json").stdout)) == 2  # a step that is run alone is no run


def test_a_debugger_stops_in_the_users_own_file(tmp_path: Path) -> None:
    sluice, path = Sluice(tmp_path / "home"), write(tmp_path, "pass")
    done = sluice("run", str(path), "-p", "rows=4")
    assert done.returncode == 0, done.stderr
    assert "Output   7" in done.stdout
    command = [sys.executable, "-m", "sluice", "step", "last", "add", "--pdb"]
    environment = os.environ | {"SLUICE_HOME": str(sluice.home)}
    asked = subprocess.run(
        command, input="p (a, more)\nc\n", env=environment, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert (
        f"> {path}({path.read_text().splitlines().index('    with open(table.path) as lines:') + 1})add()"
        in asked.stdout
    )
    assert "(4, 3)" in asked.stdout
    left = subprocess.run(command, input="q\n", env=environment, capture_output=True, text=True, check=False)
    assert left.returncode == 130


def test_a_run_that_was_killed_is_taken_up_from_where_it_was(tmp_path: Path) -> None:
    sluice, path = Sluice(tmp_path / "home"), write(tmp_path, "import time; time.sleep(600)")
    words = [sys.executable, "-m", "sluice", "run", str(path), "-p", "rows=4"]
    environment = os.environ | {"SLUICE_HOME": str(sluice.home)}
    run = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + SECONDS
        while not any('"add"' in found.read_text() for found in sluice.home.glob("runs/*/run.json")):
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert json.loads(sluice("runs", "--json").stdout)[0]["state"] == "running"
        assert "still runs" in sluice("resume", "last").stderr
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=30)
    while (found := json.loads(sluice("runs", "--json").stdout)[0]["state"]) == "running":
        assert time.monotonic() < deadline  # its step ends with it
    assert found == "killed"
    write(tmp_path, "pass")
    done = sluice("resume", "last", "-p", "more=1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs"] == {"Output": 5}
    assert states(sluice) == {"count": "reused", "add": "done"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", "own.py:1: invalid syntax"),
        ("x = 1\n", "own.py:1: no pipeline stands in this file"),
        (OWN.format(body="pass").replace('"pandas"', '"nothing-of-it"'), "step 'count' asks for nothing-of-it"),
    ],
)
def test_what_cannot_run_ends_in_one_line_and_leaves_nothing(tmp_path: Path, text: str, words: str) -> None:
    sluice = Sluice(tmp_path / "home")
    (tmp_path / "own.py").write_text(text)
    done = sluice("run", str(tmp_path / "own.py"), "-p", "rows=4")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home/runs").exists()
