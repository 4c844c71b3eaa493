"""The end of a run in a terminal: which candidates were cut, and how to repeat them."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sluice.cli.run_summary import show
from sluice.evaluation.record import CandidateRow, Number
from sluice.registry.evaluation_verdict import candidate_table
from sluice.running.local_run import RunResult
from sluice.running.run_progress import StepTimes

CUT = "cut by the clock after round 9; max_rounds=9 repeats it on any machine"


def told(*, task: Any = None, stored: str = "", **cut: str) -> str:
    estimate = {"value": 0.5, "low": 0.45, "high": 0.55}
    names = ("zero-rule", "gradient-boosted-trees", "embedding-network")
    rows: list[dict[str, Any]] = [
        {"name": name, "baseline": name == "zero-rule", "metrics": {"log_loss": estimate, "roc_auc": estimate}}
        | ({"cut": cut[key]} if (key := name.split("-")[0]) in cut else {})
        for name in names
    ]
    result = {"question": "Late?", "candidates": rows, "winner": names[1], "decision": "promoted", "task": "late"}
    result |= {"version": 1, "replaced": None, "reason": "no champion yet", "checks": [], "pipeline": "supervised"}
    given = {"task": task} if task else {}
    return shown(RunResult("r", result, Path("report.html"), None, 1.0, StepTimes(), stored, parameters=given))


def shown(done: RunResult) -> str:
    stream = io.StringIO()
    show(done, Console(file=stream, width=80))
    return stream.getvalue()


def test_a_version_that_was_registered_is_offered_raw_rows_where_it_takes_some() -> None:
    assert "sluice predict late/1 new.csv -o forecasts.csv  " in told(task={"name": "late"})
    assert "predict late/1 new.csv -o forecasts.csv --cluster" in told(task={"name": "late"}, stored="s3://x/y")
    assert "predict" not in told(), "a model of images has no rows of a table"


@pytest.mark.parametrize("key", ["gradient", "embedding"])
def test_a_cut_candidate_is_marked_in_the_table_and_says_how_to_repeat_it(key: str) -> None:
    lines = told(**{key: CUT}).splitlines()
    name = next(line.split()[0] for line in lines if line.startswith(key))
    row = next(line.rstrip() for line in lines if line.startswith(name))
    assert row.endswith("winner, cut" if key == "gradient" else "cut")
    assert f"• {name}: {CUT}" in " ".join(" ".join(lines).split())


def test_the_words_reach_the_terminal_from_the_evaluation() -> None:
    number = Number(value=0.5, low=0.4, high=0.6, n=10, method="bootstrap")
    kept = {"name": "trees", "baseline": False, "metrics": {}, "cut": CUT}
    row = CandidateRow(**kept, family="sklearn", rank=4, size=9, parameters={}, validation=number)
    assert candidate_table((row,)) == [kept]


def test_a_whole_candidate_is_not() -> None:
    """Also in the result of a Sluice that did not say."""
    assert "cut" not in told()
    assert "cut" not in told(gradient="")
