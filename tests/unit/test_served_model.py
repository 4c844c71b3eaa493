"""A registered model takes what a natural table holds, and gives each row the model's own probabilities."""

import base64
import json
import logging
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.pyfunc.scoring_server import invocations

from sluice.features.columns import category_text
from sluice.features.learned_inputs import learn_inputs
from sluice.features.model_inputs import write_inputs
from sluice.modeling.model_digests import model_digest
from sluice.modeling.model_files import save_model
from sluice.registry.model_logging import Registration, packaged
from tests.unit import served_world
from tests.unit.model_world import IMAGES, fitted, image_rows
from tests.unit.served_world import KINDS, TASK, held, values_of

FRAME, _ = served_world.rows(40, seed=9)
FEATURES = list(TASK.features)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_world.saved(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def served(folder: Path) -> Any:
    return mlflow.pyfunc.load_model(str(folder))


def expected(frame: pd.DataFrame = FRAME) -> np.ndarray:
    return served_world.model().predict_proba(frame)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[int], pd.DataFrame]:
    """Some rows of FRAME, each column held in a way of its own, in any order, among others; and which rows they are."""
    places = draw(st.lists(st.integers(0, len(FRAME) - 1), min_size=1, max_size=6))
    columns = {}
    for name in draw(st.permutations(FEATURES)):
        values = values_of(FRAME.iloc[places], name)
        kinds = [kind for kind, (able, _) in KINDS[name].items() if able(values)]
        columns[name] = held(name, draw(st.sampled_from(kinds)), values)
    index = draw(st.sampled_from([range(len(places)), [7] * len(places), [f"r{n}" for n in range(len(places))]]))
    table = pd.DataFrame(columns).set_axis(index)
    return places, table.assign(unknown="x") if draw(st.booleans()) else table


@given(tables())
@settings(max_examples=40)
def test_the_same_rows_held_in_any_way_get_the_models_own_probabilities(
    served: Any, given: tuple[list[int], pd.DataFrame]
) -> None:
    places, table = given
    answer = served.predict(table)
    assert list(answer.columns) == list(TASK.classes)
    assert list(answer.index) == list(table.index)
    np.testing.assert_allclose(answer.to_numpy(), expected()[places], rtol=0, atol=1e-12)
    one_by_one = [served.predict(table.iloc[[row]]).to_numpy()[0] for row in range(len(table))]
    np.testing.assert_allclose(one_by_one, expected()[places], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", FEATURES)
def test_every_way_to_hold_every_column_is_taken(served: Any, name: str) -> None:
    taken = 0
    for part in (FRAME, FRAME.dropna().reset_index(drop=True)):
        for kind in KINDS[name]:
            column = held(name, kind, values_of(part, name))
            if column is not None:
                answer = served.predict(part.assign(**{name: column}))
                np.testing.assert_allclose(answer.to_numpy(), expected(part), rtol=0, atol=1e-12, err_msg=kind)
                taken += 1
    assert taken > len(KINDS[name])


VALUES = st.one_of(
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.booleans(),
    st.decimals(allow_nan=True),
    st.text(max_size=3),
    st.none(),
)


@given(VALUES)
def test_a_value_has_one_text(value: Any) -> None:
    text = category_text(value)
    if isinstance(value, str):
        assert text == value
    elif value is None or str(value).lower().lstrip("-").startswith(("nan", "snan")):
        assert text is pd.NA
    elif isinstance(value, bool):
        assert text == str(value) == category_text(np.bool_(value))
    else:
        assert float(text) == float(value)
        if float(value).is_integer() and abs(value) < 2**53:
            assert text == str(int(value)) == category_text(float(value)) == category_text(np.float64(value))


def test_own_test_rows_are_taken_as_parquet_holds_them(served: Any, tmp_path: Path) -> None:
    path = tmp_path / "test.parquet"
    FRAME.astype({"hour": "int64", "festive": "int64"}).to_parquet(path)
    for backend in ("numpy_nullable", "pyarrow"):
        table = pd.read_parquet(path, dtype_backend=backend)
        np.testing.assert_allclose(served.predict(table).to_numpy(), expected(), atol=1e-12)
    np.testing.assert_allclose(served.predict(pd.read_parquet(path)).to_numpy(), expected(), atol=1e-12)


def test_no_row_is_no_answer(served: Any) -> None:
    assert served.predict(FRAME.iloc[:0]).shape == (0, 2)


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs"])
def test_a_server_answers_for_json(served: Any, form: str) -> None:
    orient = {"inputs": "list"}.get(form, form.removeprefix("dataframe_"))
    body = json.loads(json.dumps(FRAME[FEATURES].astype(object).where(FRAME.notna(), None).to_dict(orient)))
    if form == "dataframe_split":
        body.pop("index")
    request = json.dumps({form: body, "params": {"decision": True, "report": True}})
    answer = invocations(request, "application/json", served, served.metadata.get_input_schema())
    assert answer.status == 200
    found = pd.DataFrame(json.loads(answer.response)["predictions"])
    np.testing.assert_allclose(found[list(TASK.classes)].to_numpy(), expected(), atol=1e-12)
    assert set(found["unseen"]) == {""}


def test_a_server_answers_for_parquet(served: Any) -> None:
    answer = invocations(FRAME.to_parquet(), "application/vnd.apache.parquet", served, served.metadata.signature.inputs)
    found = pd.DataFrame(json.loads(answer.response)["predictions"])
    np.testing.assert_allclose(found[list(TASK.classes)].to_numpy(), expected(), atol=1e-12)


def test_a_server_says_what_is_wrong_with_a_request(served: Any) -> None:
    request = json.dumps({"dataframe_records": [{**FRAME[FEATURES].iloc[0].to_dict(), "hour": "noon"}]}, default=int)
    with pytest.raises(mlflow.MlflowException, match=r"feature column 'hour' .* first in row 0: 'noon'") as caught:
        invocations(request, "application/json", served, served.metadata.get_input_schema())
    assert caught.value.get_http_status_code() == 400


def test_the_decision_follows_the_threshold_that_travels(served: Any) -> None:
    answer = served.predict(FRAME, params={"decision": True})
    wanted = np.where(expected()[:, 1] >= served_world.THRESHOLD.value, "late", "on time")
    assert answer["decision"].tolist() == wanted.tolist()
    assert not (wanted == np.where(expected()[:, 1] >= 0.5, "late", "on time")).all()
    assert served.metadata.metadata["sluice.threshold"] == "0.3"
    assert served.metadata.metadata["sluice.threshold_rule"] == "greatest F1 on the validation rows"


def test_a_model_from_before_says_less_and_answers_the_same(tmp_path: Path) -> None:
    old = mlflow.pyfunc.load_model(str(served_world.saved(tmp_path / "old", inputs=False)))
    answer = old.predict(FRAME, params={"decision": True, "report": True})
    np.testing.assert_allclose(answer[list(TASK.classes)].to_numpy(), expected(), atol=1e-12)
    assert answer["decision"].tolist() == np.array(TASK.classes)[expected().argmax(axis=1)].tolist()
    assert set(answer["unseen"]) == {""}
    with pytest.raises(mlflow.MlflowException, match="temp"):
        old.predict(FRAME.drop(columns="temp"))


def test_a_column_that_training_lacked_too_may_be_absent(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="sluice.model"):
        answer = served.predict(FRAME.drop(columns=["temp", "gate"]))
    without = FRAME.assign(temp=np.nan, gate=None)
    np.testing.assert_allclose(answer.to_numpy(), expected(without), atol=1e-12)
    lines = [record.message for record in caplog.records if record.name == "sluice.model"]
    assert lines == [f"{name}: not in the table, so it counts as missing in every row" for name in ("temp", "gate")]


def test_a_column_that_training_always_had_must_be_there(served: Any) -> None:
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['festive', 'carrier'\]"):
        served.predict(FRAME[["hour", "arrival_minute", "gate"]])
    with pytest.raises(mlflow.MlflowException, match="feature column 'hour' is there 2 times"):
        served._model_impl.predict(pd.concat([FRAME, FRAME[["hour"]]], axis=1))


def raw(frame: pd.DataFrame) -> pd.DataFrame:
    times = frame.arrival_minute // 60 * 100 + frame.arrival_minute % 60
    return frame.drop(columns="arrival_minute").assign(sched_arr_time=times)


@pytest.mark.parametrize("kind", ["int64", "float64", "Int64", "texts", "objects", "category", "polars, arrow"])
def test_raw_rows_get_the_features_that_training_computed(served: Any, kind: str) -> None:
    table = raw(FRAME)
    column = held("arrival_minute", kind, table.sched_arr_time.tolist())
    answer = served.predict(table.assign(sched_arr_time=column).set_axis([3] * len(table)))
    np.testing.assert_allclose(answer.to_numpy(), expected(), atol=1e-12)


def test_a_feature_that_is_given_wins_over_its_raw_columns(served: Any) -> None:
    table = FRAME.assign(sched_arr_time=0)
    np.testing.assert_allclose(served.predict(table).to_numpy(), expected(), atol=1e-12)


def test_neither_feature_nor_raw_column_is_named(served: Any) -> None:
    table = FRAME.drop(columns="arrival_minute")
    with pytest.raises(mlflow.MlflowException, match=r"'arrival_minute' is missing, and so is 'sched_arr_time'"):
        served.predict(table)
    with pytest.raises(mlflow.MlflowException, match=r"'sched_arr_time', row 0: 7.5 where whole numbers are wanted"):
        served.predict(table.assign(sched_arr_time=7.5))


def test_the_signature_tells_names_and_what_may_be_absent(served: Any) -> None:
    inputs = served.metadata.signature.inputs
    assert inputs.input_names() == [*FEATURES, "sched_arr_time"]
    assert inputs.required_input_names() == ["festive", "carrier"]
    assert served.metadata.metadata["sluice.inputs"] == {
        **dict.fromkeys(TASK.numeric, "number"),
        **dict.fromkeys(TASK.categorical, "string"),
        "sched_arr_time": "BIGINT",
    }


def test_images_are_taken_as_bytes_and_as_base64(tmp_path: Path) -> None:
    files, model = tmp_path / "files", fitted(IMAGES.name, "logistic-regression")
    images, _ = image_rows(900, 904)
    save_model(files, model, IMAGES)
    write_inputs(files, learn_inputs(images, IMAGES))
    wanted = Registration(IMAGES, files, model_digest(files), images, {}, "")
    mlflow.pyfunc.save_model(str(tmp_path / "model"), **packaged(wanted, tmp_path / "code"))
    served = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    np.testing.assert_allclose(served.predict(images).to_numpy(), model.predict_proba(images), atol=1e-12)
    records = [{"image": base64.b64encode(data).decode()} for data in images["image"]]
    request = json.dumps({"dataframe_records": records, "params": {"decision": True}})
    answer = invocations(request, "application/json", served, served.metadata.get_input_schema())
    decisions = [row["decision"] for row in json.loads(answer.response)["predictions"]]
    assert decisions == [IMAGES.classes[place] for place in model.predict_proba(images).argmax(axis=1)]
    assert any(line.startswith("pillow==") for line in (tmp_path / "model/requirements.txt").read_text().split())
