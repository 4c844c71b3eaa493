"""New rows by command: prepared as the model's own were, forecast, written whole; what cannot be is one line."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.modeling.model_files import forecast, load_model
from sluice.registry.predicting import opened_model
from sluice.registry.versions import version_by_alias, version_files
from tests.unit import predict_world
from tests.unit.predict_world import Made, Registered


def predict(*words: str) -> tuple[int, str, str]:
    """The command: exit code, what it printed, what it told; a refusal is told as the command tells it."""
    done = CliRunner().invoke(app, ["predict", *words])
    if isinstance(done.exception, BadInput):
        return 2, done.stdout, str(done.exception)
    assert done.exception is None, done.exception
    return done.exit_code, done.stdout, done.stderr


def own_forecasts(made: Made) -> pd.DataFrame:
    """The model's forecasts for the rows that the step `prepare` made, by key."""
    version = version_by_alias(made.model, "champion")
    assert version
    with read_dataset(made.prepared) as (bundle, tables), version_files(version) as folder:
        rows = tables["rows"].to_pandas()
        task = bundle.manifest.details["task"]
        model = load_model(folder)
        said = forecast(model, rows, model.task)  # type: ignore[attr-defined]
        columns = task["classes"] or ["prediction"]
        return pd.DataFrame(said.reshape(len(rows), -1), columns=columns).assign(**{k: rows[k] for k in task["key"]})


def test_the_models_own_rows_get_the_models_own_forecasts(projects: Registered, tmp_path: Path) -> None:
    wanted = own_forecasts(projects.houses).set_index("id")
    lake = pd.read_csv(projects.houses.lake / "houses.csv").sample(frac=1, random_state=1)
    given, out = tmp_path / "new.csv", tmp_path / "out.parquet"
    lake.drop(columns="price").to_csv(given, index=False)
    code, printed, told = predict("houses", str(given), "-o", str(out))
    assert (code, printed) == (0, "")
    found = pd.read_parquet(out)
    assert list(found.columns) == ["id", "prediction"]
    assert found.id.tolist() == lake.id.tolist()
    np.testing.assert_allclose(found.prediction, wanted.loc[found.id].prediction, rtol=1e-12)
    broken = int((lake.area > 300).sum())
    assert f"{broken} values of 'area' outside the contract's range or list count as missing" in told
    assert f"400 forecasts by houses/1 (digest {version_by_alias('houses', 'champion').digest[:12]}, checked)" in told  # type: ignore[union-attr]


def test_classes_come_with_probabilities_from_joined_tables_and_earlier_rows(
    projects: Registered, tmp_path: Path
) -> None:
    table, customers = predict_world.visits()
    new = table[360:]
    given = tmp_path / "new.csv"
    new.drop(columns="kind").to_csv(given, index=False)
    code, printed, told = predict("visits", str(given))
    assert code == 0
    found = pd.read_csv(io.StringIO(printed))
    assert list(found.columns) == ["visit", "prediction", *(f"probability_{c}" for c in ("large", "middle", "small"))]
    assert "prepare.py:rows reads customers: 40 rows of the dataset" in told
    assert "prepare.py:rows reads visits: 360 rows of the dataset" in told
    # The features once more, by pandas alone over all rows.
    spent = table.groupby("customer").amount.cumsum() - table.amount
    spent = spent.where(table.groupby("customer").cumcount() > 0)
    features = table.assign(spent=spent, plan=table.customer.map(customers.set_index("customer").plan))[360:]
    version = version_by_alias("visits", "champion")
    assert version
    with version_files(version) as folder:
        wanted = load_model(folder).predict_proba(features)
    np.testing.assert_allclose(found.filter(like="probability_").to_numpy(), wanted, rtol=1e-9)
    assert found.prediction.tolist() == [("large", "middle", "small")[place] for place in wanted.argmax(axis=1)]
    assert (found.prediction == new.kind.to_numpy()).mean() > 0.8
    # Training rows, asked once more, are in the history under their own key, and change nothing of it.
    again = tmp_path / "again.csv"
    table[:360].to_csv(again, index=False)
    with opened_model("visits") as model:
        answer = model.predict(again).table.to_pandas().set_index("visit")
    wanted = own_forecasts(projects.visits).set_index("visit").loc[answer.index]
    np.testing.assert_allclose(answer["probability_small"], wanted["small"], rtol=1e-9)


def test_other_tables_may_be_given(projects: Registered, tmp_path: Path) -> None:
    table, customers = predict_world.visits()
    given, plans, before = tmp_path / "new.json", tmp_path / "plans.parquet", tmp_path / "before.csv"
    table[360:].drop(columns="kind").to_json(given, orient="records", date_format="iso")
    customers.assign(plan="free").to_parquet(plans)
    table[:360].to_csv(before, index=False)
    words = ["visits", str(given), "--table", f"customers={plans}", "--table", f"visits={before}", "--json"]
    body = json.loads(predict(*words)[1])
    assert {row["prediction"] for row in body["table"]} == {"small"}
    assert (body["rows"], body["forecasts"], body["version"], body["notes"]) == (40, 40, "1", [])
    assert predict(*words[:-3], "--table", f"shops={plans}")[2] == (
        "--table shops: the lake has no such table; it has customers, visits"
    )


def test_values_that_training_never_saw_are_told_and_marked(projects: Registered, tmp_path: Path) -> None:
    given = tmp_path / "new.csv"
    predict_world.houses(5, seed=9).assign(region=["north", "mars", "south", "north", "mars"], rooms=40).to_csv(
        given, index=False
    )
    code, printed, told = predict("houses", str(given), "--unseen")
    assert code == 0
    found = pd.read_csv(io.StringIO(printed))
    assert found.unseen.str.contains("rooms").all()
    assert found.unseen.str.contains("region").tolist() == [False, True, False, False, True]
    assert "unseen: region: " in told
    assert "MARS" in told
    assert "unseen: rooms: " in told


def test_a_column_that_rows_of_the_training_lacked_may_be_absent(projects: Registered, tmp_path: Path) -> None:
    given = tmp_path / "new.csv"
    predict_world.houses(5, seed=9).drop(columns=["area", "price"]).to_csv(given, index=False)
    code, printed, told = predict("houses", str(given))
    assert (code, printed.count("\n")) == (0, 6)
    assert "has no column 'area', so it counts as missing in every row" in told


BAD = {
    "a column is missing": ({"rooms": None}, "has no column 'rooms', on which the features 'rooms', 'per_room' rest"),
    "a column is misspelt": (
        {"region": "regoin"},
        "has no column 'region', on which the feature 'region' rests; did you mean regoin?",
    ),
    "the key is missing": ({"id": None}, "has no column 'id', which identifies a row"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be_judged_are_one_line(projects: Registered, tmp_path: Path, case: str) -> None:
    names, line = BAD[case]
    table = predict_world.houses(5, seed=9)
    table = table.drop(columns=[n for n, new in names.items() if new is None])
    given, out = tmp_path / "new.csv", tmp_path / "out.csv"
    table.rename(columns={n: new for n, new in names.items() if new}).to_csv(given, index=False)
    code, printed, told = predict("houses", str(given), "-o", str(out))
    assert (code, printed, out.exists()) == (2, "", False)
    assert line in told
    assert "\n" not in told


def test_wrong_values_and_files_are_told_by_their_place(projects: Registered, tmp_path: Path) -> None:
    table = predict_world.houses(5, seed=9).astype({"rooms": object, "price": object})
    given = tmp_path / "new.csv"
    table.assign(rooms=[1, 2, "two", 4, 5]).to_csv(given, index=False)
    assert f"{given}, line 4: column 'rooms' has 'two', which is no int64" in predict("houses", str(given))[2]
    table.assign(price="?").to_csv(given, index=False)
    code, _, told = predict("houses", str(given))
    assert code == 0
    assert "'price', which is forecast, is not read" in told
    parquet = tmp_path / "new.parquet"
    predict_world.houses(5, seed=9).assign(rooms=[1, 2.5, 3, 4, 5]).to_parquet(parquet)
    assert f"{parquet}, row 1: column 'rooms' has 2.5, which is no int64" in predict("houses", str(parquet))[2]
    table.iloc[[0, 0]].to_csv(given, index=False)
    assert "rows" in predict("houses", str(given))[2]
    for name, line in {"none.csv": "is not there", "x.xlsx": "no reader for .xlsx", ".": "no reader for"}.items():
        assert line in predict("houses", str(tmp_path / name))[2]


def test_nothing_is_overwritten_and_other_endings_are_refused_before_the_work(
    projects: Registered, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    assert (
        "is there already; name another file, or replace it by --overwrite"
        in predict("houses", "x.csv", "-o", str(out))[2]
    )
    assert "forecasts are written as .csv or .parquet" in predict("houses", "x.csv", "-o", str(tmp_path / "o.xlsx"))[2]
    given = tmp_path / "new.csv"
    predict_world.houses(3, seed=9).to_csv(given, index=False)
    assert predict("houses", str(given), "-o", str(out), "--overwrite")[0] == 0
    assert out.read_text().startswith("id,prediction\n9000,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv"]


def test_a_model_is_meant_by_alias_version_digest_and_the_folder_of_its_models(
    projects: Registered, tmp_path: Path
) -> None:
    version = version_by_alias("houses", "champion")
    assert version
    for reference in ("houses@champion", "houses/1", version.digest[:10], f"models/{version.tags['sluice.models']}"):
        with opened_model(reference) as model:
            assert model.name == "houses/1"
    for reference, line in {
        "houses@gone": "known: houses@challenger",
        "0000000000": "no registered model has the digest",
    }.items():
        with pytest.raises(BadInput, match=line), opened_model(reference):
            pass


def test_a_model_whose_files_or_code_were_changed_is_not_asked(projects: Registered, tmp_path: Path) -> None:
    home = projects.home
    given = tmp_path / "new.csv"
    predict_world.houses(3, seed=9).to_csv(given, index=False)
    version = version_by_alias("houses", "champion")
    assert version
    (weights,) = [p for p in home.glob("mlartifacts/**/state.safetensors") if "models" in p.parts]
    with opened_model("houses") as model:
        assert model.preparation
        archive = home / f"store/code/{model.preparation.code}.zip"
    for path, line in ((weights, "digest"), (archive, "its SHA-256 is")):
        kept = path.read_bytes()
        path.chmod(0o644)
        path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        assert line in predict("houses", str(given))[2]
        path.write_bytes(kept)
    assert predict("houses", str(given))[0] == 0
