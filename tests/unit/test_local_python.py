"""Steps start with this Python, and import our packages, wherever these, the command and the run's folders lie."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.modeling.distributed.processes import _defaults
from sluice.running.catalog import find_pipeline
from sluice.running.local_python import this_python, with_python

ROOT = Path(__file__).parents[2]


def _command(*arguments: str) -> list[str]:
    executors = find_pipeline("supervised_images").component.pipeline_spec.deployment_spec["executors"]
    container = next(iter(executors.values()))["container"]
    return [str(word) for word in container["command"]] + list(arguments)


@settings(max_examples=100)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0/\r"), min_size=1))
def test_the_script_calls_the_interpreter_as_one_word(name: str) -> None:
    executable = f"/bin/{name}/python3"
    script = with_python(_command(), executable)[2]
    assert shlex.split(script.partition("_KFP_RUNTIME=true ")[2].partition(" -m kfp.dsl")[0]) == [executable]


def test_a_shell_starts_it(tmp_path: Path) -> None:
    program = tmp_path / "a $(b) 'c' python3" / "python3"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)
    command = with_python(_command("--executor_input", "{}"), str(program))
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("|")
    assert said[:2] == ["-m", "kfp.dsl.executor_main"]
    assert "{}" in said


def test_no_other_argument_is_rewritten() -> None:
    command = _command("--executor_input", '{"path": "/data/python3/lake"}')
    changed = with_python(command, "/a b/python3")
    assert "'/a b/python3' -m kfp.dsl.executor_main" in changed[2]
    assert changed[3:] == command[3:]
    assert changed[:2] == command[:2]


def test_kfp_s_runner_takes_it_for_the_run_alone() -> None:
    from kfp.local import subprocess_task_handler as kfp

    before = kfp.replace_python_executable
    with this_python():
        assert kfp.replace_python_executable is with_python
    assert kfp.replace_python_executable is before


@pytest.mark.parametrize("words", [("-m", "sluice"), ("-c", "from sluice.cli.main import main; main()")])
def test_folders_of_a_user_s_own_are_not_taken_for_ours(tmp_path: Path, words: tuple[str, ...]) -> None:
    for name in ("components", "pipelines", "core"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('not ours')\n")
    path = os.pathsep.join(filter(None, (".", os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path, "SLUICE_HOME": str(tmp_path / "home")}
    command = [sys.executable, *words, "pipelines", "--json"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "supervised" in done.stdout


def test_a_project_s_sluice_py_is_not_taken_for_the_package_by_workers(tmp_path: Path) -> None:
    """Those of a distributed training are started by `python -m` where the command was typed."""
    (tmp_path / "sluice.py").write_text("raise SystemExit('not ours')\n")
    command = [sys.executable, "-m", "sluice.core.words"]
    for environment, ended in ((_defaults(os.environ), 0), (os.environ, 1)):
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == ended, done.stderr
