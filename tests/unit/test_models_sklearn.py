"""scikit-learn's model files: only known types come back, and trees whose indices lead astray are refused."""

import copy
import functools
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sluice.core.errors import BadInput
from sluice.modeling.model_files import load_model, save_model
from sluice.modeling.skops_files import read_skops, write_skops
from tests.unit.model_world import TABLE, fitted, table_rows

X, Y = np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2


def calling(function: Callable[..., Any]) -> Pipeline:
    return Pipeline([("call", FunctionTransformer(function)), ("logistic", LogisticRegression())])


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (RandomForestClassifier(2).fit(X, Y), "RandomForestClassifier"),
        (calling(np.cos).fit(X, Y), "'numpy.cos'"),
        (calling(functools.partial(np.power, 2)).fit(X, Y), "'numpy.power'"),
        (calling(json.dumps), "'json.dumps'"),
        (Path("/"), "pathlib"),
        ({1, 2}, "'builtins.set'"),
    ],
)
def test_a_file_with_another_type_is_refused_before_anything_is_made(
    tmp_path: Path, estimator: object, named: str
) -> None:
    path = tmp_path / "model.skops"
    path.write_bytes(skops.io.dumps(estimator))
    with pytest.raises(BadInput, match="which no model of Sluice contains") as caught:
        read_skops(path)
    assert named in str(caught.value)
    with pytest.raises(TypeError, match="may not hold"):
        write_skops(tmp_path / "other.skops", estimator)


def test_an_allowed_type_in_the_wrong_place_is_refused(tmp_path: Path) -> None:
    model = fitted(TABLE.name, "logistic-regression")
    save_model(tmp_path, model, model.task)
    write_skops(tmp_path / "model.skops", LogisticRegression().fit(X, Y))
    with pytest.raises(BadInput, match="no logistic-regression"):
        load_model(tmp_path)


def spoil_child(trees: Any) -> None:
    trees._predictors[0][0].nodes["left"][0] = 10**6


def spoil_circle(trees: Any) -> None:
    trees._predictors[0][0].nodes["right"][0] = 0


def spoil_feature(trees: Any) -> None:
    every = (tree.nodes for (tree,) in trees._predictors)
    nodes, numeric = next((n, i) for n in every if (i := (n["is_leaf"] == 0) & (n["is_categorical"] == 0)).any())
    nodes["feature_idx"][numeric] = trees.n_features_in_


def spoil_set(trees: Any) -> None:
    nodes = next(tree for (tree,) in trees._predictors if tree.nodes["is_categorical"].any()).nodes
    nodes["bitset_idx"][nodes["is_categorical"] != 0] = 10**6


def spoil_bitsets(trees: Any) -> None:
    tree = trees._predictors[0][0]
    tree.raw_left_cat_bitsets = np.zeros((len(tree.raw_left_cat_bitsets), 2), np.uint32)


def spoil_category(trees: Any) -> None:
    trees._bin_mapper.bin_thresholds_[0] = np.array([10.0**6])


def spoil_bins(trees: Any) -> None:
    trees._bin_mapper.bin_thresholds_ = trees._bin_mapper.bin_thresholds_[:-1]


def spoil_no_node(trees: Any) -> None:
    trees._predictors[0][0].nodes = trees._predictors[0][0].nodes[:0]


SPOILS = [value for name, value in sorted(globals().items()) if name.startswith("spoil_")]


@pytest.mark.parametrize("spoil", SPOILS)
def test_trees_whose_indices_lead_astray_are_refused(tmp_path: Path, spoil: Callable[[Any], None]) -> None:
    model = fitted(TABLE.name, "gradient-boosted-trees")
    save_model(tmp_path, model, model.task)
    trees: HistGradientBoostingClassifier = copy.deepcopy(model.estimator)
    spoil(trees)
    write_skops(tmp_path / "model.skops", trees)
    with pytest.raises(BadInput, match="no readable sklearn model"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["gradient-boosted-trees", "logistic-regression"])
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_changed_schema_or_array_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """The zip's checksums are right here: only what is inside is wrong."""
    folder = tmp_path_factory.mktemp("schema")
    model = fitted(TABLE.name, name)
    save_model(folder, model, model.task)
    with zipfile.ZipFile(folder / "model.skops") as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    member = data.draw(st.sampled_from(["schema.json", *sorted(members)]))
    change, before = _other_value if member == "schema.json" else _other_bytes, members[member]
    members[member] = change(members[member], data)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for entry, content in members.items():
            archive.writestr(entry, content)
    (folder / "model.skops").write_bytes(stream.getvalue())
    try:
        loaded = load_model(folder)
    except BadInput as error:
        message = str(error)
        assert str(folder) in message
        assert re.search(
            r"is no readable sklearn model \(.+\)|holds ['\"].+['\"], which no model of Sluice contains"
            r"|takes no pickles|states the shape .+, and holds",
            message,
        )
    else:
        proba = loaded.predict_proba(table_rows(50)[0])
        assert proba.shape == (50, 2)
        if members[member] == before:
            np.testing.assert_array_equal(proba, model.predict_proba(table_rows(50)[0]))


def _other_bytes(content: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(content) - 1))
    return content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place + 1 :]


def _other_value(content: bytes, data: st.DataObject) -> bytes:
    """Put another value, or another part of the schema, at some place of the schema."""
    schema = json.loads(content)
    places = list(_places(schema))
    holder, key = data.draw(st.sampled_from(places))
    source, other = data.draw(st.sampled_from(places))
    scalar = st.sampled_from([None, 0, -1, 10**9, "", "0", "1e9", "null", [], {}])
    holder[key] = data.draw(scalar | st.just(copy.deepcopy(source[other])))
    return json.dumps(schema).encode()


def _places(state: Any) -> Any:
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    for key, value in items:
        yield state, key
        yield from _places(value)
