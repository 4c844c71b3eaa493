"""What is there is found by the beginning of its id, and told; nothing is told that could mean two things."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sluice.artifacts.bundles import publish
from sluice.artifacts.manifests import Producer, TableEntry
from sluice.cli.cluster_resuming import asked_of
from sluice.cli.cluster_step_inputs import step_record
from sluice.cli.main import app
from sluice.cluster.kfp_api import KfpApi
from sluice.core.errors import BadInput
from sluice.running.catalog import find_pipeline
from sluice.running.inspection import find, published
from sluice.running.run_records import Outcome, Recorder, RunRecord, SubmittedRecord, keep_submitted
from sluice.storage.scratch import SCRATCH
from sluice.storage.stores import open_store

RUN = "20260101-000000-counting-ab12"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def dataset(home: Path, step: str, number: int) -> str:
    folder = home / "made" / step
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.parquet").write_bytes(b"x" * number)
    made = Producer(step, {"seed": number}, run=RUN, created=f"2026-01-01T00:00:0{number}+00:00")
    tables = {"rows": TableEntry(("rows.parquet",), number, {"id": "int64"})}
    return publish(open_store(str(home / "store")), folder, "dataset", made, tables=tables).id


def finished(home: Path, run: str = RUN, **fields: Any) -> RunRecord:
    folder = home / "runs" / run
    folder.mkdir(parents=True)
    record = RunRecord(id=run, pipeline="counting", began="2026-01-01T00:00:00+00:00", **fields)
    with Recorder(record, folder).ending():
        pass
    return record


def command(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_datasets_are_listed_newest_first_and_by_step_and_run(home: Path) -> None:
    ids = [dataset(home, step, number) for number, step in enumerate(("ingest", "prepare", "split"), 1)]
    store = open_store(str(home / "store"))
    assert [each.id for each in published(store)] == ids[::-1]
    assert [each.id for each in published(store, step="prepare")] == [ids[1]]
    assert published(store, run="2025") == []
    with pytest.raises(BadInput, match=r"by a step 'splt' \(did you mean 'split'\?\)"):
        published(store, step="splt")
    told = json.loads(command("datasets", "--json"))
    assert (told[0]["id"], told[0]["tables"], told[0]["bytes"]) == (ids[2], {"rows": 3}, 3)
    assert ids[1][:12] in command("datasets", "--step", "prepare")


def test_one_thing_is_shown_by_the_beginning_of_its_id(home: Path) -> None:
    (home / "store").mkdir(parents=True)
    made, run = dataset(home, "split", 3), finished(home, outcome=Outcome(model="houses", model_version="2"))
    store = open_store(str(home / "store"))
    assert (find(made[:8], store).kind, find(made[:8], store).id) == ("dataset", made)
    assert find(made, store).body["columns"] == {"rows": {"id": "int64"}}
    assert (find("ab12", store).id, find("last", store).id) == (run.id, run.id)
    assert json.loads(command("show", "ab12", "--json"))["kind"] == "run"
    assert "id int64" in command("show", made[:6])
    assert "houses/2" in command("runs")


def test_what_means_nothing_or_two_things_is_told(home: Path) -> None:
    made = dataset(home, "split", 3)
    store = open_store(str(home / "store"))
    finished(home)
    with pytest.raises(BadInput, match="at least 4 characters"):
        find(made[:3], store)
    with pytest.raises(BadInput, match=r"is no run of this machine, no dataset of .* and no registered model"):
        find("ffffffffffff" if not made.startswith("f") else "000000000000", store)
    finished(home, f"{made[:6]}-counting-cd34")
    with pytest.raises(BadInput, match=f"may be run {made[:6]}-counting-cd34, dataset {made[:12]}"):
        find(made[:5], store)


def test_a_report_is_told_and_so_is_that_there_is_none(home: Path) -> None:
    page = home / "page.html"
    finished(home, report=str(page))
    with pytest.raises(BadInput, match="is gone; `sluice resume"):
        command("report", "last")
    page.write_text("<p>")
    assert command("report", "last").strip() == str(page)
    finished(home, "20260102-000000-counting-cd34")
    with pytest.raises(BadInput, match="has left no report"):
        command("report", "cd34")


def test_the_version_is_told() -> None:
    assert command("--version").startswith("sluice ")


def test_an_empty_home_has_no_runs(home: Path) -> None:
    assert "no run yet" in command("runs")
    assert json.loads(command("runs", "--json")) == []
    with pytest.raises(BadInput, match="has none yet"):
        command("resume", "last")


class Runs:
    """KFP's answers, in pages of two."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run_service_list_runs(self, page_size: int, page_token: str, sort_by: str, **_: Any) -> Any:
        self.asked.append(sort_by)
        first = int(page_token or 0)
        runs = [
            SimpleNamespace(
                run_id=f"id-{number}",
                display_name=f"name {number}",
                description=None,
                state="SUCCEEDED" if number else "RUNNING",
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
                finished_at=datetime(2026 if number else 1970, 1, 1, 0, 0, 9, tzinfo=UTC),
            )
            for number in range(first, min(first + 2, 5, first + page_size))
        ]
        return SimpleNamespace(runs=runs, next_page_token=str(first + 2) if first + 2 < 5 else "")

    def run_service_get_run(self, run: str, **_: Any) -> Any:
        info = {"pipelineInfo": {"name": "supervised-fused"}}
        given = SimpleNamespace(parameters={"seed": 7.0})
        return SimpleNamespace(pipeline_spec={"pipeline_spec": info}, runtime_config=given)


def api() -> KfpApi:
    made = KfpApi("http://127.0.0.1:9")
    made._runs = Runs()
    return made


@pytest.mark.parametrize("most", [1, 3, 9])
def test_a_clusters_runs_come_page_by_page(most: int) -> None:
    found = api().runs(most)
    assert [run.id for run in found] == [f"id-{number}" for number in range(min(most, 5))]
    assert found[0].seconds is None
    assert all(run.seconds == 9 for run in found[1:])


def test_a_cluster_run_is_known_from_here_else_from_kfp() -> None:
    asked, fused = asked_of(api(), "1f0c")
    assert (asked.pipeline, asked.given, fused) == ("supervised", {"seed": 7.0}, True)
    keep_submitted(SubmittedRecord(id="1f0c-a", pipeline="counting", source="/x/own.py:counting"))
    asked, fused = asked_of(api(), "1f0c")
    assert (asked.reference, fused) == ("/x/own.py:counting", False)


def _workflow(executor_input: dict[str, Any]) -> dict[str, Any]:
    words = ["/kfp-launcher/launch", "--executor_input", json.dumps(executor_input), "--"]
    patch = json.dumps({"containers": [{"name": "main", "command": words, "args": ["sh"]}]})
    node = {"name": "run-x.root.train.executor", "inputs": {"parameters": [{"name": "pod-spec-patch", "value": patch}]}}
    cached = {"name": "run-x.root.split-driver", "outputs": {"parameters": [{"name": "pod-spec-patch", "value": ""}]}}
    return {"metadata": {"name": "run-x"}, "status": {"nodes": {"a": cached, "b": node}}}


def test_a_steps_inputs_are_read_from_its_clusters_workflow() -> None:
    pipeline = find_pipeline("supervised")
    asked = {"inputs": {"parameterValues": {"splits": "datasets/1", "seed": 7}}, "outputs": {}}
    found = step_record(_workflow(asked), pipeline, "r", "train")
    assert (found.component, found.parameters) == ("comp-train", {"splits": "datasets/1", "seed": 7})
    with pytest.raises(BadInput, match="took an earlier result"):
        step_record(_workflow(asked), pipeline, "r", "split")
    with pytest.raises(BadInput, match=r"no step 'trian' \(did you mean 'train'\?\)"):
        step_record(_workflow(asked), pipeline, "r", "trian")
    with pytest.raises(BadInput, match="reads page from KFP's own bucket"):
        step_record(_workflow({"inputs": {"artifacts": {"page": {}}}}), pipeline, "r", "train")


def test_a_scratch_store_is_read_through_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "real"
    real = open_store(str(place))
    real.put_bytes("a/old", b"old")
    real.put_bytes("kept", b"kept")
    monkeypatch.setenv(SCRATCH, str(tmp_path / "scratch"))
    over = open_store(str(place))
    over.put_bytes("a/new", b"new")
    over.put_bytes("a/old", b"changed")
    assert not over.put_if_absent("kept", b"again")
    assert (over.uri, list(over.keys("a/"))) == (real.uri, ["a/new", "a/old"])
    assert (over.get_bytes("a/new"), over.get_bytes("a/old")) == (b"new", b"changed")
    assert open_store(f"{place}/a").get_bytes("new") == b"new"  # a folder in it, opened as a store
    over.delete("a/new")
    assert not over.exists("a/new")
    monkeypatch.delenv(SCRATCH)
    assert (list(real.keys()), real.get_bytes("a/old")) == (["a/old", "kept"], b"old")
    assert open_store(str(place)).get_bytes("a/old") == b"old"
