"""A run's record says what was asked for and what became of it, whatever ended it, and keeps no secret."""

import contextlib
import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from sluice.core.errors import BadInput
from sluice.core.lifeline import Lifeline, Stopped, is_alive
from sluice.running.catalog import Parameter, Pipeline
from sluice.running.resuming import take_up
from sluice.running.run_records import (
    RECORD,
    Asked,
    Recorder,
    RunRecord,
    SubmittedRecord,
    all_runs,
    asked_for,
    find_run,
    find_submitted,
    keep_submitted,
    outcome_of,
    without_secrets,
)

PIPELINE = Pipeline("counting", "", (Parameter("rows", "Integer", 3, ""), Parameter("lake", "String", "", "")), None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    return tmp_path


def begun(home: Path, run: str = "20260101-000000-counting-ab12", **fields: Any) -> Recorder:
    folder = home / "runs" / run
    folder.mkdir(parents=True)
    asked = asked_for(PIPELINE, {"rows": 5}, {"rows": 5}, run=run, name=run)
    return Recorder(RunRecord(**{**asked, **fields}), folder)


def read(recorder: Recorder, home: Path) -> dict[str, Any]:
    text = (home / "runs" / recorder.record.id / RECORD).read_text()
    return dict(json.loads(text))


def test_what_was_asked_for_stands_there_from_the_start(home: Path) -> None:
    found = read(begun(home), home)
    assert (found["schema"], found["state"], found["given"]) == (1, "running", {"rows": 5})
    assert found["parameters"] == {"rows": 5, "lake": ""}


def test_a_step_is_recorded_with_what_it_read_and_made(home: Path, tmp_path: Path) -> None:
    recorder = begun(home)
    table = dsl.Dataset(name="table", uri=str(tmp_path / "table"), metadata={"rows": 2})
    step = recorder.begin("count", "comp-count", {"rows": 5, "table": table, "tables": [table, table]})
    assert read(recorder, home)["steps"][0]["state"] == "running"
    recorder.end(step, "done", {"Output": "datasets/1", "more": table}, 1.5)
    again = recorder.begin("count", "comp-count", {})
    recorder.end(again, "reused", {}, None)
    first, second = read(recorder, home)["steps"]
    assert (first["name"], first["state"], first["seconds"], first["parameters"]) == ("count", "done", 1.5, {"rows": 5})
    assert [each["uri"] for each in first["artifacts"]["tables"]] == [str(tmp_path / "table")] * 2
    assert first["made"]["more"][0] == {
        "name": "table",
        "type": "system.Dataset",
        "uri": str(tmp_path / "table"),
        "metadata": {"rows": 2},
    }
    assert (second["name"], second["state"], second["seconds"]) == ("count#2", "reused", None)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "succeeded"),
        (BadInput("row 3 is wrong"), "failed"),
        (RuntimeError("boom"), "failed"),
        (KeyboardInterrupt(), "killed"),
        (Stopped(15), "killed"),
    ],
)
def test_the_end_is_recorded_whatever_it_was(home: Path, error: BaseException | None, state: str) -> None:
    recorder = begun(home)
    recorder.begin("count", "comp-count", {})
    with pytest.raises(type(error)) if error else contextlib.nullcontext(), recorder.ending():
        if error:
            raise error
    found = read(recorder, home)
    assert (found["state"], bool(found["ended"])) == (state, True)
    assert ("row 3" in found["error"]) == isinstance(error, BadInput)
    assert found["steps"][0]["state"] == "failed"  # it had not ended


def test_the_page_of_a_gate_that_closed_is_kept_and_is_the_runs_report(home: Path, tmp_path: Path) -> None:
    recorder, page = begun(home), tmp_path / "quality"
    page.write_text("<p>3 errors</p>")
    step = recorder.begin("validate", "comp-validate", {})
    recorder.end(step, "failed", {}, 1.0, [page])
    with pytest.raises(BadInput), recorder.ending():
        raise BadInput("closed")
    kept = Path(read(recorder, home)["report"])
    assert kept.suffix == ".html"
    assert kept.read_text() == "<p>3 errors</p>"
    assert recorder.failed_step() == "validate"


def test_a_run_whose_lifeline_nobody_holds_was_killed(home: Path) -> None:
    recorder = begun(home)
    folder = home / "runs" / recorder.record.id
    line = Lifeline(folder)
    with (folder / "lifeline").open("r+b") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert is_alive(folder)
    assert find_run("last").state == "running"
    line.close()
    assert not is_alive(folder)
    assert find_run("last").state == "killed"


def test_secrets_are_not_written_down(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "hunter2secret")
    values = {"lake": "s3://me:pass-word@host/x", "words": ["a", "hunter2secret"], "rows": 3, "deep": {"a": [1.5]}}
    shown, withheld = without_secrets(values)
    assert withheld == ["lake", "words"]
    assert "pass-word" not in str(shown)
    assert "hunter2secret" not in str(shown)
    asked = asked_for(PIPELINE, {"lake": "s3://me:pass-word@host/x"}, {}, run="r", name="r")
    with pytest.raises(BadInput, match="does not keep 'lake', which holds a login; give it: -p lake"):
        Asked(**asked).known(["rows", "lake"])


def test_runs_are_found_by_either_end_of_their_id(home: Path) -> None:
    ids = ["20260101-000000-counting-ab12", "20260102-000000-counting-cd34", "20260102-000001-other-ef56"]
    for number, run in enumerate(ids):
        recorder = begun(home, run, began=f"2026-01-0{number + 1}T00:00:00+00:00")
        with recorder.ending():
            pass
    assert [run.id for run in all_runs()] == ids[::-1]
    assert find_run("last").id == ids[2]
    assert find_run("cd34").id == find_run("20260102-000000").id == find_run(ids[1]).id == ids[1]
    with pytest.raises(BadInput, match="may be any of 20260102-000001-other-ef56, 20260102-000000-counting-cd34"):
        find_run("20260102")
    with pytest.raises(BadInput, match=r"did you mean '20260101-000000-counting-ab12'\?"):
        find_run("20260101-000000-countng-ab12")
    (home / "runs" / ids[0] / RECORD).write_text("{}")
    assert len(all_runs()) == 2  # one that is no record hides no other


def test_what_was_submitted_is_found_by_the_beginning_of_its_id(home: Path) -> None:
    for run in ("1f0c-a", "1f0d-b"):
        keep_submitted(SubmittedRecord(id=run, pipeline="counting", place="here", fused=True))
    found = find_submitted("1f0c")
    assert found is not None
    assert (found.id, found.fused) == ("1f0c-a", True)
    assert find_submitted("9") is None
    assert find_submitted("../x") is None
    with pytest.raises(BadInput, match="may be any of 1f0c-a, 1f0d-b"):
        find_submitted("1f0")


def test_an_outcome_is_that_of_a_step_register_alone() -> None:
    result = {"task": "houses", "version": 2, "winner": "trees", "decision": "promoted"}
    made = outcome_of(result)
    assert made is not None
    assert (made.model, made.model_version, made.decision) == ("houses", "2", "promoted")
    assert outcome_of({"task": "houses"}) is None
    assert outcome_of({}) is None


OWN = """
from kfp import dsl


@dsl.component(base_image="python:3.11")
def count(rows: int) -> int:
    return rows


@dsl.pipeline
def counting(rows: int{more}):
    count(rows=rows)
"""


def _recorded(tmp_path: Path, **fields: Any) -> Asked:
    source = tmp_path / "own.py"
    source.write_text(OWN.format(more=""))
    return Asked(**{"id": "r1", "pipeline": "counting", "source": f"{source}:counting", **fields})


def test_a_run_is_taken_up_with_its_parameters_and_changes(tmp_path: Path) -> None:
    before = _recorded(tmp_path, given={"rows": 5}, parameters={"rows": 5.0, "gone": 1})
    again = take_up(before, [])
    assert (again.arguments, again.given, again.project) == ({"rows": 5}, {"rows": 5}, None)
    assert isinstance(again.arguments["rows"], int)  # KFP's JSON had 5.0
    assert take_up(before, ["rows=6"]).arguments == {"rows": 6}


def test_a_run_cannot_be_taken_up_without_what_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"was given 'row', which counting has no more \(did you mean 'rows'\?\)"):
        take_up(_recorded(tmp_path, given={"row": 5}, parameters={"row": 5}), [])
    held = _recorded(tmp_path, given={"rows": 5}, parameters={"rows": 5}, withheld=["rows"])
    with pytest.raises(BadInput, match="does not keep 'rows'"):
        take_up(held, [])
    assert take_up(held, ["rows=6"]).arguments == {"rows": 6}


def test_a_parameter_that_came_since_must_be_given(tmp_path: Path) -> None:
    before = _recorded(tmp_path, given={"rows": 5}, parameters={"rows": 5})
    (tmp_path / "own.py").write_text(OWN.format(more=", share: float"))
    with pytest.raises(BadInput, match="needs 'share'"):
        take_up(before, [])
    assert take_up(before, ["share=0.5"]).arguments == {"rows": 5, "share": 0.5}
