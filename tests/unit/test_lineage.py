"""Lineage of a really registered model: what was read, how it was sampled and split, who decided, what it replaced."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from sluice.cli.lineage_tree import show
from sluice.core.errors import BadInput
from sluice.registry.versions import parse_reference
from sluice.running.lineage import lineage
from tests.unit import small_world
from tests.unit.test_register import Pipeline


@pytest.fixture
def pipeline(tracked_home: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(small_world.splits(), tmp_path / "work")


def test_the_champion_is_traced_back_to_the_lake(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    found = lineage("late")
    assert [entry.step for entry in found.origins] == ["ingest", "sample", "split", "train"]
    assert found.origins[0].sources[0].path == "operations.db#flights"
    assert found.origins[1].design["strata"] == ["late"]
    assert found.origins[2].parameters["shares"] == [0.6, 0.2, 0.2]
    assert found.origins[2].rows == {"train": 1800, "validation": 600, "test": 600}
    assert [record.decision for record in found.decisions] == ["promoted"]
    assert found.model.candidate == "weather"
    assert json.loads(json.dumps(found.to_json()))["model"]["version"] == "1"
    assert lineage("late/1") == lineage("late@challenger") == found


def test_versions_know_what_they_replaced(pipeline: Pipeline) -> None:
    pipeline(small_world.WORSE)
    pipeline(small_world.GOOD)
    first, second = lineage("late/1"), lineage("late@champion")
    assert (first.replaced, first.replaced_by) == (None, "2")
    assert (second.model.version, second.replaced, second.replaced_by) == ("2", "1", None)
    assert first.model.aliases == ()


def test_a_refused_version_keeps_its_evidence(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    pipeline(small_world.WORSE)
    (record,) = lineage("late@challenger").decisions
    assert record.decision == "refused"
    passed = {check["name"]: check["passed"] for check in record.evidence["checks"]}
    assert passed == {"evidence": True, "baselines": True, "champion": False, "calibration": True, "slices": False}


def test_the_tree_shows_it_all(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    out = io.StringIO()
    show(lineage("late"), Console(file=out, width=100))
    shown = out.getvalue()
    for word in (
        "late version 1",
        "challenger, champion",
        "✓ promoted",
        "operations.db#flights",
        "strategy=time",
        "3,000",
    ):
        assert word in shown, word


def test_an_unknown_model_is_answered_with_the_known_ones(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    pipeline(small_world.WORSE)
    for reference, named in {
        "late@nobody": "late@champion, late/1",
        "late/7": "late/1",
        "early": "known: late",
        "late@": "no model reference",
        "": "no model reference",
        "late/x": "no model reference",
    }.items():
        with pytest.raises(BadInput, match=named):
            lineage(reference)


def test_without_any_run_the_way_to_a_first_model_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(BadInput, match="`sluice run` in a project's folder makes one"):
        lineage("late")
    assert list(tmp_path.iterdir()) == []


def test_a_removed_dataset_is_named(pipeline: Pipeline, tracked_home: Path) -> None:
    pipeline(small_world.GOOD)
    sampled = lineage("late").origins[1].id
    shutil.rmtree(tracked_home / "store" / "datasets" / sampled)
    with pytest.raises(BadInput, match=sampled):
        lineage("late")


def test_references_are_parsed() -> None:
    assert parse_reference("flights-late") == ("flights-late", "champion", "")
    assert parse_reference("flights-late@challenger") == ("flights-late", "challenger", "")
    assert parse_reference("flights-late/12") == ("flights-late", "", "12")


def test_a_version_of_any_number_is_only_not_there(pipeline: Pipeline) -> None:
    pipeline(small_world.GOOD)
    for number in ("0", "2147483648", "99999999999999999999", "9" * 5000):
        with pytest.raises(BadInput, match="is not registered; known: "):
            lineage(f"late/{number}")
