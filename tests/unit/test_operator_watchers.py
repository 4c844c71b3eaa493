"""What the operator sees of lakes, the registry and runs, on a folder, a real MinIO and a real MLflow database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice.core.errors import BadInput
from sluice.operator.deciding import decide
from sluice.operator.evidence import Evidence, Fault, LakeSeen, RunSeen, ServerSeen, VersionSeen
from sluice.operator.on_cluster import lake_rows
from sluice.operator.on_cluster.conditions import NO_POD, ready
from sluice.operator.on_cluster.lake_rows import LakeRows
from sluice.operator.on_cluster.lakes_seen import look_at_lake
from sluice.operator.on_cluster.registry_seen import Standing
from sluice.operator.on_cluster.resource_index import ResourceIndex
from sluice.operator.on_cluster.servers_seen import ServersSeen
from sluice.operator.on_cluster.watchers import LakesWatcher
from sluice.operator.specs import ContinuousTrainingSpec, ProjectSpec
from sluice.operator.state import State
from sluice.operator.worlds import Subject
from sluice.storage.locations import default_store

CODE = "a" * 64


def lake(folder: Path) -> Path:
    for month in ("01", "02"):
        part = folder / f"flights/month=2013-{month}"
        part.mkdir(parents=True)
        (part / "rows.csv").write_text("a\n1\n")
    (folder / "contract.yaml").write_text("tables: {}\n")
    return folder


def test_another_content_is_another_dataset_and_a_touched_file_is_none(tmp_path: Path) -> None:
    folder = lake(tmp_path / "lake")
    first = look_at_lake(str(folder))
    rows = folder / "flights/month=2013-01/rows.csv"
    rows.write_text("a\n1\n")
    rows.touch()
    assert look_at_lake(str(folder)).seen.dataset == first.seen.dataset
    rows.write_text("a\n2\n")
    assert look_at_lake(str(folder)).seen.dataset != first.seen.dataset
    assert first.partitions == {"month": frozenset({"2013-01", "2013-02"})}
    with pytest.raises(BadInput, match="correct the address"):
        look_at_lake(str(tmp_path / "none"))


def test_a_watcher_says_what_has_changed(tmp_path: Path) -> None:
    folder = lake(tmp_path / "lake")
    project = ProjectSpec.model_validate(
        {"code": CODE, "pipelines": [{"name": "supervised"}], "lakes": [{"name": "l", "address": str(folder)}]}
    )
    spec = ContinuousTrainingSpec.model_validate(
        {"project": "p", "model": "m", "triggers": [{"name": "t", "data": {"partition": "month"}}]}
    )
    watcher, faults = LakesWatcher(60), list[Fault]()
    (seen,) = watcher.seen(project, spec, faults)
    assert (seen.name, list(seen.partitions)) == ("l", ["2013-01", "2013-02"])
    assert watcher.look() == set()
    (folder / "flights/month=2013-03").mkdir()
    (folder / "flights/month=2013-03/rows.csv").write_text("a\n3\n")
    assert watcher.look() == {str(folder)}
    (again,) = watcher.seen(project, spec, faults)
    assert list(again.partitions)[-1] == "2013-03"
    assert not faults
    (folder / "contract.yaml").unlink()
    watcher.look()
    assert watcher.seen(project, spec, faults) == ()
    assert "contract.yaml" in faults[0].words


CONTRACT = """schema: 2
name: flights
tables:
  flights:
    source: {csv: "flights/*/rows.csv"}
    key: [a]
    columns: {a: {type: int64}}
"""


def counting(folder: Path, rows: int = 3, *, task: str = "flights") -> tuple[ProjectSpec, ContinuousTrainingSpec]:
    pipeline = {"name": "supervised", "parameters": {"task": {"rows": {"table": task}}}}
    lakes = [{"name": "l", "address": str(folder)}]
    project = ProjectSpec.model_validate({"code": CODE, "pipelines": [pipeline], "lakes": lakes})
    trigger = {"name": "t", "data": {"rows": rows}}
    spec = ContinuousTrainingSpec.model_validate({"project": "p", "model": "m", "triggers": [trigger]})
    return project, spec


def test_rows_are_those_of_the_manifest_and_new_csv_files_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dataset is one that the step `ingest` made; what it did not read is counted by its bytes."""
    from sluice.components.ingest.run import run

    folder = lake(tmp_path / "lake")
    (folder / "contract.yaml").write_text(CONTRACT)
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))
    ingested = run(str(folder), summary=tmp_path / "summary.md").id
    project, spec = counting(folder)
    watcher, faults = LakesWatcher(60, LakeRows(default_store)), list[Fault]()
    (folder / "flights/month=2013-03").mkdir()
    (folder / "flights/month=2013-03/rows.csv").write_text('a\n3\n"4"\n5\n')
    monkeypatch.setattr(lake_rows, "_count", lambda _store, key: 1000 if "03" not in key else real(_store, key))
    (seen,) = watcher.seen(project, spec, faults, ingested)
    assert (seen.rows, seen.uncounted) == (5, "")  # two of the manifest, three by their bytes
    (unread,) = watcher.seen(project, spec, faults)
    assert unread.rows == 2003, "without a manifest every file is counted"
    assert not faults


real = lake_rows._count


@pytest.mark.parametrize(
    ("contract", "task", "why"),
    [
        (CONTRACT.replace('{csv: "flights/*/rows.csv"}', "{sql: sqlite:///x.db, table: t}"), "flights", "a database"),
        (CONTRACT.replace("csv:", "json:").replace("rows.csv", "rows.json"), "flights", "no file of table"),
        (CONTRACT.replace('"flights/*/rows.csv"', '"flights/*/rows.*"'), "flights", "no CSV file"),
        (CONTRACT, "other", "does not say in which of the lake's tables (flights)"),
    ],
)
def test_what_cannot_be_counted_says_why_in_a_condition(tmp_path: Path, contract: str, task: str, why: str) -> None:
    folder = lake(tmp_path / "lake")
    (folder / "contract.yaml").write_text(contract)
    project, spec = counting(folder, task=task)
    (seen,) = LakesWatcher(60, LakeRows(default_store)).seen(project, spec, [])
    assert seen.rows is None
    assert why in seen.uncounted
    subject, now = Subject("team", "late", "u"), datetime(2026, 1, 1, tzinfo=UTC)
    state = decide(subject, spec, State(), Evidence(code=CODE, lakes=(seen,)), now).state
    (told,) = [each for each in state.conditions if each.type == "RowsCounted"]
    assert (told.status, why in told.message) == ("False", True)


def test_rows_that_a_run_has_counted_are_what_new_ones_are_counted_from() -> None:
    """A dataset that was learned from uncounted is counted once its manifest is there; then new rows fire."""
    spec = ContinuousTrainingSpec.model_validate(
        {"project": "p", "model": "m", "triggers": [{"name": "t", "data": {"rows": 100}}]}
    )
    subject, now = Subject("team", "late", "u"), datetime(2026, 1, 1, tzinfo=UTC)
    lake = LakeSeen(name="l", dataset="d1", arrived=now, uncounted="nobody has read it")
    state = decide(subject, spec, State(), Evidence(code=CODE, lakes=(lake,)), now).state
    run = RunSeen(key=state.intents[0].key, id="r", state="succeeded", version="1", passed=True, promoted=True)

    def look(rows: int, dataset: str) -> State:
        there = lake.model_copy(update={"rows": rows, "dataset": dataset, "uncounted": ""})
        return decide(subject, spec, state, Evidence(code=CODE, lakes=(there,), runs=(run,)), now).state

    state = look(1000, "d1")
    assert state.learned["l"].rows == 1000
    state = look(1099, "d2")
    assert len(state.intents) == 1
    state = look(1100, "d2")
    assert len(state.intents) == 2
    assert "100 rows more" in state.intents[-1].reason


def test_only_servers_that_have_answered_and_stopped_speak_against_a_champion() -> None:
    index, now = ResourceIndex(), datetime(2026, 1, 1, tzinfo=UTC)
    champion = VersionSeen(model="late", version="2", digest="d", since=now)
    before = {"type": "Ready", "status": "False", "reason": "NotValid", "lastTransitionTime": "2025-01-01T00:00:00Z"}

    def told(reason: str, *, answered: bool, holds: bool = False) -> ServerSeen | None:
        status = {"answered": answered, "conditions": ready({"conditions": [before]}, reason, "words", holds=holds)}
        head = {"name": "s", "uid": "u", "generation": 1}
        index.put("ModelServer", {"metadata": head, "spec": {"model": "late@champion"}, "status": status})
        return ServersSeen(index).seen("late", Standing(champion))

    assert told("NotValid", answered=True) is None
    assert told(NO_POD, answered=False) is None, "its first pods begin"
    stopped = told(NO_POD, answered=True)
    assert stopped
    assert not stopped.healthy
    assert stopped.since.year > 2025, "what it was before was another thing"
    fine = told("Answers", answered=True, holds=True)
    assert fine
    assert fine.healthy
