"""A model of any family comes back from its folder as it went in; what is no model is refused in one line."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput
from sluice.modeling.model_files import MODEL, Predictor, load_model, save_model
from tests.unit.model_world import IMAGE_NAMES, IMAGES, TABLE, TABLE_NAMES, fitted, image_rows, png, table_rows

EVERY = [*((TABLE.name, name) for name in TABLE_NAMES), *((IMAGES.name, name) for name in IMAGE_NAMES)]
every_model = pytest.mark.parametrize(("task", "name"), EVERY)


def rows_for(task: str) -> pd.DataFrame:
    return table_rows(300, seed=5)[0] if task == TABLE.name else image_rows(900, 960)[0]


def saved(folder: Path, task: str, name: str) -> Path:
    model = fitted(task, name)
    save_model(folder / name, model, model.task)
    return folder / name


@every_model
def test_a_model_comes_back_with_the_same_forecasts(tmp_path: Path, task: str, name: str) -> None:
    model, rows = fitted(task, name), rows_for(task)
    loaded = load_model(saved(tmp_path, task, name))
    proba = loaded.predict_proba(rows)
    assert loaded.classes == model.classes
    assert proba.dtype == np.float64
    assert proba.shape == (len(rows), len(model.classes))
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-9)
    assert (proba >= 0).all()
    np.testing.assert_array_equal(proba, model.predict_proba(rows))


@every_model
def test_the_same_model_is_the_same_bytes(tmp_path: Path, task: str, name: str) -> None:
    one, two = saved(tmp_path / "one", task, name), saved(tmp_path / "two", task, name)
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in two.iterdir())
    assert all(sha256_file(one / name) == sha256_file(two / name) for name in names)


@every_model
def test_a_forecast_depends_on_its_own_row_only(task: str, name: str) -> None:
    model, rows = fitted(task, name), rows_for(task)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = model.predict_proba(rows.iloc[order][rows.columns[::-1]].assign(unknown=1))
    np.testing.assert_allclose(shuffled, model.predict_proba(rows)[order], rtol=1e-5, atol=1e-7)


@every_model
def test_no_row_is_no_forecast(task: str, name: str) -> None:
    model = fitted(task, name)
    assert model.predict_proba(rows_for(task).iloc[:0]).shape == (0, len(model.classes))


@pytest.mark.parametrize("name", [name for name in TABLE_NAMES if name not in ("random", "zero-rule")])
def test_a_missing_column_is_named(name: str) -> None:
    column = "weather" if name == "heuristic" else "carrier"
    with pytest.raises(BadInput, match=f"feature column '{column}' is missing"):
        fitted(TABLE.name, name).predict_proba(rows_for(TABLE.name).drop(columns=column))


@pytest.mark.parametrize("name", ["logistic-regression", "gradient-boosted-trees", "embedding-network"])
def test_a_column_of_another_type_is_named(name: str) -> None:
    with pytest.raises(BadInput, match=r"feature column 'wind' holds .* where numbers are wanted"):
        fitted(TABLE.name, name).predict_proba(rows_for(TABLE.name).assign(wind="strong"))


ODD_NUMBERS = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**62), 2**62)


@pytest.mark.parametrize("name", TABLE_NAMES)
@given(wind=ODD_NUMBERS, weather=st.none() | st.text(max_size=5), carrier=st.none() | st.sampled_from(["C1", "new"]))
@settings(max_examples=30)
def test_any_value_has_a_forecast(name: str, wind: float | None, weather: str | None, carrier: str | None) -> None:
    row = {"wind": [wind], "empty": [1.5], "constant": [None], "weather": [weather], "carrier": [carrier]}
    proba = fitted(TABLE.name, name).predict_proba(pd.DataFrame(row))
    assert np.isfinite(proba).all()
    assert abs(proba.sum() - 1) < 1e-9


@pytest.mark.parametrize("name", [name for name in IMAGE_NAMES if name not in ("random", "zero-rule")])
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"", "row 0 is no PNG image"),
        (None, "row 0: NoneType where the bytes"),
        (png(np.zeros((9, 8))), "9 grey where 8 x 8 grey is wanted"),
        (png(np.zeros((8, 8, 3))), "colour where"),
    ],
)
def test_a_value_that_is_no_such_image_is_named(name: str, value: object, named: str) -> None:
    with pytest.raises(BadInput, match="image") as caught:
        fitted(IMAGES.name, name).predict_proba(pd.DataFrame({"image": [value]}))
    assert named in str(caught.value)


@pytest.mark.parametrize("name", ["gradient-boosted-trees", "logistic-regression", "heuristic"])
def test_a_process_that_loads_another_family_never_imports_torch(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path, TABLE.name, name)
    code = (
        "import sys; from pathlib import Path; from sluice.modeling.model_files import load_model; "
        f"load_model(Path({str(folder)!r})); loaded = {{'torch', 'mlflow', 'kfp'}} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def _edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    body = json.loads((folder / MODEL).read_text())
    change(body)
    (folder / MODEL).write_text(json.dumps(body))


def _weights(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = {name: tensor.copy() for name, tensor in load_file(folder / "weights.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")


NETWORK, TREES = "embedding-network", "gradient-boosted-trees"
WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("zero-rule", lambda f: (f / MODEL).unlink(), "model.json is missing"),
    ("zero-rule", lambda f: (f / MODEL).write_text("{"), "does not describe a model"),
    ("zero-rule", lambda f: (f / MODEL).write_text("[" * 100_000), "does not describe a model"),
    ("zero-rule", lambda f: _edit(f, lambda b: b.pop("family")), "'family' is missing"),
    ("zero-rule", lambda f: _edit(f, lambda b: b.pop("task")), "'task' is missing"),
    ("zero-rule", lambda f: _edit(f, lambda b: b["task"].pop("label")), "label"),
    ("zero-rule", lambda f: _edit(f, lambda b: b.update(version=9)), "version 9"),
    ("zero-rule", lambda f: _edit(f, lambda b: b.update(family="forest")), "family 'forest' is unknown"),
    ("zero-rule", lambda f: _edit(f, lambda b: b["options"].update(shares=[0.5])), "class shares"),
    ("zero-rule", lambda f: _edit(f, lambda b: b["options"].update(shares=[float("nan"), 1])), "NaN is no JSON number"),
    ("zero-rule", lambda f: _edit(f, lambda b: b["options"].update(kind="oracle")), "'oracle' is unknown"),
    ("heuristic", lambda f: _edit(f, lambda b: b["options"]["values"].pop()), "do not match"),
    ("heuristic", lambda f: _edit(f, lambda b: b["task"].update(heuristic="sky")), "names 'sky' for the heuristic"),
    (TREES, lambda f: (f / "model.skops").unlink(), "model.skops"),
    (TREES, lambda f: (f / "model.skops").write_bytes(b"PK\x03\x04"), "no readable sklearn model"),
    (TREES, lambda f: _edit(f, lambda b: b["options"].update(estimator="logistic-regression")), "no logistic"),
    (TREES, lambda f: _edit(f, lambda b: b["options"]["encoder"]["vocabularies"].pop()), "zip"),
    (TREES, lambda f: _edit(f, lambda b: b["task"].update(classes=["a", "b", "c"], numeric=["wind"])), "features"),
    (NETWORK, lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors"),
    (NETWORK, lambda f: (f / "weights.safetensors").write_bytes(b"\0" * 100), "no readable network model"),
    (NETWORK, lambda f: _weights(f, lambda w: w.pop("layers.0.bias")), "weight 'layers.0.bias'"),
    (NETWORK, lambda f: _weights(f, lambda w: w.update(more=np.zeros(1, np.float32))), "more"),
    (NETWORK, lambda f: _weights(f, lambda w: w.update({"layers.0.bias": np.zeros(3, np.float32)})), "of shape (128,)"),
    (NETWORK, lambda f: _weights(f, lambda w: w["layers.0.bias"].fill(np.nan)), "not finite"),
    (NETWORK, lambda f: _edit(f, lambda b: b["options"]["sizes"].update(hidden=[10**15, 64])), "should be float32"),
    (NETWORK, lambda f: _edit(f, lambda b: b["options"]["sizes"].update(classes=3)), "classes are not the task's"),
    (NETWORK, lambda f: _edit(f, lambda b: b["options"]["sizes"].update(numeric=2)), "not the encoder's"),
    (NETWORK, lambda f: _edit(f, lambda b: b["options"].update(kind="oracle")), "'oracle' is unknown"),
]


def test_a_library_that_is_not_there_is_no_fault_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path, TABLE.name, NETWORK)
    for name in [name for name in sys.modules if name == "torch" or name == "sluice.modeling.networks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python marks what cannot be imported
    with pytest.raises(BadInput, match=r"family network, which needs torch, and that is not installed here; install"):
        load_model(folder)


@pytest.mark.parametrize(("name", "spoil", "named"), WRONG)
def test_what_is_no_model_is_refused_in_one_line(
    tmp_path: Path, name: str, spoil: Callable[[Path], object], named: str
) -> None:
    folder = saved(tmp_path, TABLE.name, name)
    spoil(folder)
    with pytest.raises(BadInput) as caught:
        load_model(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert named in message
    assert "\n" not in message


def test_no_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no folder with a model"):
        load_model(tmp_path / "nowhere")


REFUSED = re.compile(
    r"is no readable \w+ model \(.+\)|does not describe a model \(.+\)|has version .+; this Sluice reads version 1"
    r"|family .+ is unknown; there are |holds '.+', which no model of Sluice contains|takes no pickles"
)


@every_model
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_mutated_model_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, task: str, name: str, data: st.DataObject
) -> None:
    folder = saved(tmp_path_factory.mktemp("mutated"), task, name)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    before = path.read_bytes()
    path.write_bytes(_mutated(before, data))
    try:
        model: Predictor = load_model(folder)
        proba = model.predict_proba(rows_for(task).head(20))
    except BadInput as error:
        message = str(error)
        renamed = "is missing; the table has" in message  # a column's name is no part of what makes a model whole
        assert renamed or (str(folder) in message and REFUSED.search(message)), message
    else:
        assert proba.shape == (20, len(model.classes))
        if path.read_bytes() == before:
            np.testing.assert_array_equal(proba, fitted(task, name).predict_proba(rows_for(task).head(20)))


def _mutated(content: bytes, data: st.DataObject) -> bytes:
    """Cut, overwrite or insert bytes; in JSON, also another value for some field."""
    place = data.draw(st.integers(0, max(len(content) - 1, 0)))
    change = data.draw(st.binary(min_size=1, max_size=6) | st.sampled_from([b"1e999", b"-1", b"null", b"[]", b'"x"']))
    kind = data.draw(st.sampled_from(["cut", "overwrite", "insert", "token"]))
    if kind == "cut":
        return content[:place]
    if kind == "insert":
        return content[:place] + change + content[place:]
    if kind == "overwrite":
        return content[:place] + change + content[place + len(change) :]
    starts = [index for index, byte in enumerate(content[:200_000]) if byte in b"0123456789tfn"]
    start = data.draw(st.sampled_from(starts)) if starts else 0
    return content[:start] + change + content[start + 1 :]
