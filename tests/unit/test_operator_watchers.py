"""What the operator sees of lakes, the registry and runs, on a folder, a real MinIO and a real MLflow database."""

from pathlib import Path

import pytest

from sluice.core.errors import BadInput
from sluice.operator.evidence import Fault
from sluice.operator.on_cluster.lakes_seen import look_at_lake
from sluice.operator.on_cluster.watchers import LakesWatcher
from sluice.operator.specs import ContinuousTrainingSpec, ProjectSpec

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
