"""Scoring a dataset: the model's own forecasts, whatever the batches; an id that follows from rows and model alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.components.score.run import run
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.features import new_row_answers
from sluice.registry.predicting import opened_model
from tests.unit.predict_world import Made, Registered
from tests.unit.test_predict import own_forecasts


@pytest.fixture
def scored(projects: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registered:
    """The projects, whose store stays as it is."""
    monkeypatch.setenv("SLUICE_SCRATCH_STORE", str(tmp_path / "scratch"))
    return projects


def forecasts(bundle: Bundle) -> pd.DataFrame:
    with read_dataset(bundle.uri) as (_, tables):
        return tables["forecasts"].to_pandas()


def ingested(model: str) -> tuple[str, str]:
    """The dataset that a model's rows were made of, and the folder of models that it is from."""
    with opened_model(model) as opened:
        assert opened.preparation
        return opened.preparation.dataset.id, opened.version.tags["sluice.models"]


@pytest.mark.parametrize("name", ["houses", "visits"])
def test_a_dataset_gets_the_models_own_forecasts_in_any_batches(
    scored: Registered, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`visits` looks at earlier rows of the same table, so rows of one batch must see those of others."""
    made: Made = getattr(scored, name)
    dataset, models = ingested(name)
    bundle = run(name, dataset=dataset[:12], summary=tmp_path / "summary.md")
    monkeypatch.setattr(new_row_answers, "BATCH_ROWS", 37)
    assert run(f"{name}/1", dataset=dataset).id == bundle.id
    assert bundle.manifest.parents == (dataset, models)
    found, wanted = forecasts(bundle), own_forecasts(made)
    key = wanted.columns[-1]
    wanted = wanted.set_index(key).loc[found[key]]
    shares = [f"probability_{each}" for each in wanted.columns] if name == "visits" else ["prediction"]
    np.testing.assert_allclose(found[shares].to_numpy(), wanted.to_numpy(), rtol=1e-9)
    details = bundle.manifest.details
    assert (details["model"]["name"], details["without_forecast"]) == (name, 0)
    assert f"{len(found)} forecasts of {len(found)} rows of table {name} of dataset" in (
        (tmp_path / "summary.md").read_text()
    )


def test_a_file_gets_the_same_forecasts(scored: Registered) -> None:
    dataset, models = ingested("houses")
    file = scored.houses.lake / "houses.csv"
    by_file = run("houses", rows=file)
    assert by_file.manifest.parents == (models,)
    assert by_file.id == run("houses", rows=file).id
    pd.testing.assert_frame_equal(
        forecasts(by_file).sort_values("id", ignore_index=True),
        forecasts(run("houses", dataset=dataset)).sort_values("id", ignore_index=True),
    )


def test_what_cannot_be_scored_is_named(scored: Registered, tmp_path: Path) -> None:
    dataset, _ = ingested("visits")
    with pytest.raises(BadInput, match="has no table 'houses', of which houses/1 asks; it has customers, visits"):
        run("houses", dataset=dataset)
    with pytest.raises(BadInput, match="parameter 'dataset' is empty; say which one"):
        run("houses")
    with pytest.raises(BadInput, match="no model 'house' is registered; known: houses, visits"):
        run("house", dataset=dataset)
    short = tmp_path / "short.csv"
    short.write_text("id,rooms\n1,2\n")
    with pytest.raises(BadInput, match="has no column 'region', on which the feature 'region' rests"):
        run("houses", rows=short)
