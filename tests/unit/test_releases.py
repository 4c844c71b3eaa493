"""A version moved to another environment: same digest, same evidence, on record there, and nothing built again."""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.operator.audit import deeds
from sluice.registry.predicting import opened_model
from sluice.registry.promotions import promotions
from sluice.registry.releases import read_release, take_in, write_release
from sluice.registry.versions import find_version
from sluice.running.lineage import lineage as trace
from sluice.storage.locations import default_store
from tests.unit.predict_world import Registered


def invoke(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def production(tmp_path: Path, empty_tracking: Path) -> Path:
    """An environment without a model."""
    home = tmp_path / "production"
    home.mkdir()
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    return home


def test_a_version_moves_with_its_evidence_and_forecasts_the_same(
    projects: Registered, production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = find_version("visits/1")
    rows = projects.visits.lake / "visits.csv"
    with opened_model("visits/1") as model:
        said = model.predict(rows).table
    told = json.loads(invoke("promote", "visits/1", "--to", str(production), "--reason", "a week here", "--json"))
    assert (told["decision"], told["version"], told["digest"]) == ("appointed", "1", here.digest)
    assert "SLUICE_HOME" in os.environ
    assert os.environ["SLUICE_HOME"] == str(projects.home)
    assert find_version("visits/1") == here  # nothing changed where it came from
    monkeypatch.setenv("SLUICE_HOME", str(production))
    there = find_version("visits@champion")
    assert there.digest == here.digest
    assert {k: v for k, v in there.tags.items() if k.startswith("sluice.")} == {
        k: v for k, v in here.tags.items() if k.startswith("sluice.")
    }
    with opened_model("visits@champion") as model:
        assert model.predict(rows).table.equals(said)
    (record,) = promotions(default_store(), "visits")
    assert record.evidence["release"]["records"][0]["digest"] == here.digest
    assert trace("visits").model.digest == here.digest
    assert [(each.did, each.about, each.reason) for each in deeds(default_store())] == [
        ("appointed", "visits/1", "a week here")
    ]


@pytest.mark.usefixtures("projects")
def test_the_same_release_is_the_same_bytes_and_comes_in_once(
    production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / f"{name}.release.zip" for name in "ab"]
    for each in files:
        write_release("houses/1", default_store(), each)
    one, two = (hashlib.sha256(each.read_bytes()).hexdigest() for each in files)
    assert one == two
    monkeypatch.setenv("SLUICE_HOME", str(production))
    first = take_in(files[0], default_store(), "first")
    assert take_in(files[1], default_store(), "second") == first
    assert len(promotions(default_store(), "houses")) == 1


@pytest.mark.usefixtures("projects")
def test_what_was_changed_on_the_way_is_refused(
    production: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "houses.release.zip"
    release = write_release("houses/1", default_store(), path)
    changed = tmp_path / "changed.zip"
    victim = next(key for key in release.objects if key.startswith("models/") and not key.endswith("manifest.json"))
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data + b" " if name == f"objects/{victim}" else data)
    monkeypatch.setenv("SLUICE_HOME", str(production))
    with pytest.raises(BadInput):
        take_in(changed, default_store(), "changed")
    assert promotions(default_store(), "houses") == []
    (tmp_path / "none.zip").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="is no release"):
        read_release(tmp_path / "none.zip")
    with pytest.raises(BadInput, match="there is no such folder"):
        CliRunner().invoke(
            app, ["promote", str(path), "--to", str(tmp_path / "away"), "--reason", "x"], catch_exceptions=False
        )
