"""`import sluice`: datasets, models and runs in a notebook, as a person's own Python uses them."""

import json
import subprocess
import sys
from pathlib import Path

import ibis
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import sluice
from sluice.registry.mlflow_access import mlflow_module
from sluice.registry.versions import version_by_alias
from tests.unit import predict_world
from tests.unit.bare_environment import linked_packages, run_bare
from tests.unit.predict_world import Registered

PREDICT = """
import json, sys
import mlflow, pandas as pd
served = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(served.predict(pd.read_csv(sys.argv[2])).prediction.tolist()))
"""


def test_importing_it_takes_no_time_and_every_name_is_there() -> None:
    slow = "{'pandas', 'pyarrow', 'ibis', 'mlflow', 'pydantic', 'kfp'}"
    found = subprocess.run(
        [sys.executable, "-c", f"import sluice, sys; print({slow} & set(sys.modules), len(dir(sluice)))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert found.stdout.startswith("set()")
    assert all(getattr(sluice, name).__doc__ for name in sluice.__all__)
    assert set(sluice.__all__) <= set(dir(sluice))
    with pytest.raises(AttributeError, match="module 'sluice' has no attribute 'Projects'"):
        _ = sluice.Projects


def test_a_dataset_opens_by_id_address_and_model_as_arrow_pandas_and_ibis(projects: Registered) -> None:
    wanted = projects.houses.prepared
    found = sluice.open_dataset("houses", step="prepare")
    assert (found.bundle.uri, found.step, found.rows) == (wanted, "prepare", {"rows": 400})
    for reference in (wanted, found.id, found.id[:9]):
        assert sluice.open_dataset(reference).id == found.id
    frame = found.pandas()
    assert isinstance(found.arrow(), pa.Table)
    assert isinstance(found.ibis("rows"), ibis.Table)
    assert found.ibis().area.sum().to_pyarrow().as_py() == pytest.approx(frame.area.sum())
    assert found.arrow().column("price").to_pylist() == frame.price.tolist()
    split = sluice.open_dataset("houses@champion")
    assert split.rows == {"train": 240, "validation": 80, "test": 80}
    with pytest.raises(sluice.BadInput, match="has several tables; it has test, train, validation"):
        split.pandas()
    with pytest.raises(sluice.BadInput, match=r"no table 'tests' \(did you mean 'test'\?\)"):
        split.pandas("tests")
    with pytest.raises(sluice.BadInput, match=r"no dataset of a step 'prepar' \(did you mean 'prepare'\?\)"):
        sluice.open_dataset("houses", step="prepar")
    with pytest.raises(sluice.BadInput, match="no model 'nothing' is registered"):
        sluice.open_dataset("nothing")


def test_a_model_forecasts_tables_of_every_kind_the_same(projects: Registered, tmp_path: Path) -> None:
    model = sluice.load_model("houses")
    assert (model.name, model.classes, model.features[0]) == ("houses/1", (), "rooms")
    rows = predict_world.houses(6, seed=9).drop(columns="price")
    rows.to_csv(tmp_path / "new.csv", index=False)
    wanted = model.predict(rows)
    assert wanted.id.tolist() == rows.id.tolist()
    for given in (pa.Table.from_pandas(rows), ibis.memtable(rows), str(tmp_path / "new.csv"), rows.convert_dtypes()):
        pd.testing.assert_frame_equal(model.predict(given), wanted)
    with pytest.warns(sluice.ModelWarning, match="rooms"):
        model.predict(rows.assign(rooms=99))
    with pytest.raises(sluice.BadInput, match="the table has no column 'rooms'"):
        model.predict(rows.drop(columns="rooms"))
    with pytest.raises(sluice.BadInput, match="a list is no table"):
        model.predict([1])


def test_plain_mlflow_answers_for_raw_rows_where_only_the_models_requirements_are(
    projects: Registered, tmp_path: Path
) -> None:
    """Own prepare code that changes a column under its own name, an own candidate with a module of its own."""
    version = version_by_alias("houses", "champion")
    assert version
    folder = Path(mlflow.artifacts.download_artifacts("models:/houses/1", dst_path=str(tmp_path / "model")))
    stated = (folder / "requirements.txt").read_text().split()
    assert any(line.startswith("scikit-learn==") for line in stated)  # the candidate's code imports it
    assert not any(line.startswith("torch==") for line in stated)
    rows, given = predict_world.houses(8, seed=9).drop(columns="price"), tmp_path / "new.csv"
    rows.to_csv(given, index=False)
    packages = linked_packages(tmp_path / "packages", stated)
    said = json.loads(run_bare(packages, PREDICT, str(folder), str(given), home=tmp_path).splitlines()[-1])
    np.testing.assert_allclose(said, sluice.load_model("houses").predict(rows).prediction, rtol=1e-9)


def test_plain_mlflow_says_what_it_cannot_make(projects: Registered) -> None:
    mlflow_module()  # points MLflow at the home of this test
    served = mlflow.pyfunc.load_model("models:/visits/1")
    table, _ = predict_world.visits()
    with pytest.raises(mlflow.MlflowException, match="plan"):
        served.predict(table[360:])
    rows = table[360:].assign(plan="paid", spent=200.0)
    assert list(served.predict(rows).columns) == ["large", "middle", "small"]
