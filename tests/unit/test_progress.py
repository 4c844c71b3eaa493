"""The lines of KFP's real local runner become the lines that a person sees."""

import io
from pathlib import Path

import pytest
from kfp import dsl, local
from rich.console import Console

from sluice.running.run_progress import RunOutput, captured


@dsl.component(base_image="python", install_kfp_package=False)
def count(n: int) -> int:
    from sluice.core.errors import BadInput
    from sluice.core.progress import progress
    from sluice.steps.step import step

    with step("count"):
        progress(f"counting to {n} [of many]")
        if n < 0:
            raise BadInput("n is negative")
    return n


@dsl.pipeline(name="counting")
def counting(n: int = 3) -> None:
    first = count(n=n)
    count(n=first.output)


def _run(folder: Path, n: int) -> tuple[str, RunOutput]:
    terminal = io.StringIO()
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder), enable_caching=True)
    with captured(folder / "run.log", Console(file=terminal, width=80)) as output:
        counting(n=n)
    return terminal.getvalue(), output


def test_steps_their_words_and_reuse_are_shown(tmp_path: Path) -> None:
    shown, output = _run(tmp_path, 3)
    assert "✓ count " in shown
    assert "✓ count-2" in shown
    assert "count: counting to 3 [of many]" in shown
    assert "KFP Executor" not in shown
    assert "KFP Executor" in (tmp_path / "run.log").read_text()
    assert all(seconds is not None for seconds in output.times.seconds.values())

    again, output = _run(tmp_path, 3)
    assert "= count " in again
    assert output.times.seconds == {"count": None, "count-2": None}


def test_a_failed_step_is_marked(tmp_path: Path) -> None:
    terminal = io.StringIO()
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path))
    with pytest.raises(RuntimeError, match="count"), captured(tmp_path / "run.log", Console(file=terminal, width=80)):
        counting(n=-1)
    assert "✗ count" in terminal.getvalue()
