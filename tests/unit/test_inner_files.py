"""A refusal about a file inside a published folder or a registered version begins with what the person gave."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.artifacts.bundles import Bundle, local_copy, publish
from sluice.artifacts.producer import producer
from sluice.components.evaluate.run import judge
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.inner_files import told_by
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.modeling.model_files import MODEL, load_model
from sluice.problems.task import task_of
from sluice.storage.locations import default_store
from tests.unit import small_world

SETTINGS = EvaluationSettings(GateLimits(min_slice_rows=40), resamples=20, seed=1)
SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no JSON": (lambda model: (model / MODEL).write_text("{"), f"weather/{MODEL} does not describe a model"),
    "a pickle": (lambda model: (model / "x.bin").write_bytes(b"\x80\x04N."), "weather/x.bin holds a pickle"),
    "a wrong table": (
        lambda model: _edit(model / MODEL, lambda body: body["options"].update(table=[])),
        "weather is no readable baseline model",
    ),
    "no model": (lambda model: shutil.rmtree(model), "weather is no folder with a model"),
    "no training record": (
        lambda model: (model.parent / "training.json").write_text("[]"),
        "training.json is no training record",
    ),
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))


def _edit(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def _spoilt(tmp_path: Path, data: Bundle, spoil: Callable[[Path], object]) -> Bundle:
    """A models bundle whose digests are right and whose content is not: it was damaged before it was published."""
    made = small_world.models(data, tmp_path / "models")
    folder = tmp_path / "spoilt"
    with local_copy(made) as files:
        shutil.copytree(files, folder, ignore=shutil.ignore_patterns("manifest.json"))
    spoil(folder / "weather")
    details = task_of(made).details()
    return publish(default_store(), folder, "model", producer("train", {}), parents=(data.id,), details=details)


@pytest.mark.parametrize("name", SPOILT)
def test_evaluate_names_the_address_first(tmp_path: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    data = small_world.splits(600)
    models = _spoilt(tmp_path, data, spoil)
    with pytest.raises(BadInput) as caught:
        judge(data.uri, models.uri, SETTINGS)
    message = str(caught.value)
    assert message.startswith(f"{models.uri}: {said}"), message
    assert message.count(models.id) == 1


def test_the_temporary_folder_of_a_copy_is_not_named(tmp_path: Path) -> None:
    """As where the store is a bucket: the folder is gone when somebody reads the line."""
    (tmp_path / "weather").mkdir()
    with pytest.raises(BadInput) as caught, told_by("s3://bucket/models/abc", tmp_path):
        load_model(tmp_path / "weather")
    assert str(caught.value).startswith("s3://bucket/models/abc: weather/model.json is missing")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("error", [BadInput("row 7 has no label"), EnvironmentFault("the disk is full"), KeyError("a")])
def test_other_errors_stay_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, told_by("models:/late/1", tmp_path):
        raise error
    assert caught.value is error
