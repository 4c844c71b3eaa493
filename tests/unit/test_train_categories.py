"""Columns with thousands of values: no family loses them, and trees cannot read the label from them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sluice.core.errors import BadInput
from sluice.features.encoding import MOST_CATEGORIES, learn_encoder
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.categories import pooled_values, pooled_words, tree_inputs
from sluice.modeling.model_files import load_model, save_model
from sluice.modeling.parts import Part, Parts, log_loss
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from tests.unit.model_world import TABLE_NAMES

SHOPS = Task("shops", "?", "y", ("no", "yes"), ("id",), numeric=("noise",), categorical=("shop",))
LEARNED = [name for name in TABLE_NAMES if name not in ("random", "zero-rule", "heuristic")]
VALUES = 1200


def shops(rows: int, seed: int, telling: bool = True, classes: int = 2) -> Part:
    """Rows of 1,200 shops, all about equally frequent, each with a chance of its own."""
    generator = np.random.default_rng(seed)
    chances = np.random.default_rng(0).beta(0.4, 0.4, VALUES) if telling else np.full(VALUES, 0.5)
    shop = generator.integers(VALUES, size=rows)
    labels = (generator.random(rows) < chances[shop]).astype(np.int64) * (classes - 1)
    frame = {"id": np.arange(rows), "noise": generator.normal(size=rows), "shop": pd.Series(shop).map("S{}".format)}
    return Part(pd.DataFrame(frame), labels)


def parts(telling: bool = True, classes: int = 2) -> Parts:
    train, validation = shops(24_000, 1, telling, classes), shops(6_000, 2, telling, classes)
    return Parts(replace(SHOPS, classes=tuple("abc"[:classes])), train, validation, train)


def fitted(name: str, data: Parts, **settings: Any) -> Any:
    candidate = next(entry for entry in candidates_for(data.task) if entry.name == name)
    return candidate.fit(data, TrainingSettings(**settings))


def best_possible(part: Part) -> float:
    chances = np.random.default_rng(0).beta(0.4, 0.4, VALUES)[part.rows["shop"].str[1:].astype(int)]
    return log_loss(part.labels, np.stack([1 - chances, chances], axis=1))


@pytest.mark.parametrize("name", LEARNED)
def test_every_value_is_learned(name: str, tmp_path: Path) -> None:
    """Four of five rows are of a shop beyond the 253 most frequent: whoever pools those is near log 2 = 0.69."""
    data = parts()
    assert best_possible(data.validation) < 0.4
    model = fitted(name, data, max_rounds=12).model
    loss = log_loss(data.validation.labels, model.predict_proba(data.validation.rows))
    assert loss < best_possible(data.validation) + 0.06
    save_model(tmp_path, model, data.task)
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(data.validation.rows), model.predict_proba(data.validation.rows))
    new = pd.DataFrame({"noise": [0.0, 0.0], "shop": ["never seen", None]})
    assert ((again.predict_proba(new) > 0.2) & (again.predict_proba(new) < 0.8)).all()


def test_trees_learn_nothing_from_values_that_tell_nothing() -> None:
    """With their own labels in the class shares they would: the training loss would fall, the validation loss rise."""
    found = fitted("gradient-boosted-trees", parts(telling=False), max_rounds=1)
    assert found.kept.validation < np.log(2) + 0.006


def test_a_training_rows_share_does_not_hold_its_own_label() -> None:
    data = parts(telling=False)
    encoder, matrix = tree_inputs(data, seed=1)
    out_of_fold, whole = matrix[:, -1], encoder.matrix(data.train.rows)[:, -1]
    labels = data.train.labels
    assert abs(np.corrcoef(out_of_fold, labels)[0, 1]) < 0.03
    assert np.corrcoef(whole, labels)[0, 1] > 0.1


def test_class_shares_are_drawn_towards_the_average_and_the_same_for_the_same_seed() -> None:
    data = parts()
    encoder, matrix = tree_inputs(data, seed=1)
    np.testing.assert_array_equal(matrix, tree_inputs(data, seed=1)[1])
    by_code = np.array(encoder.shares["shop"])[:, 0]
    values = encoder.vocabularies["shop"]
    means = pd.Series(data.train.labels).groupby(data.train.rows["shop"].to_numpy()).mean()[list(values)].to_numpy()
    average = data.train.labels.mean()
    assert by_code[:2] == pytest.approx([average, average])
    assert (np.abs(by_code[2:] - average) <= np.abs(means - average) + 1e-9).all()
    assert np.corrcoef(by_code[2:], means)[0, 1] > 0.99


def test_several_classes_have_a_share_each(tmp_path: Path) -> None:
    data = parts(classes=3)
    labels = data.train.labels.copy()
    labels[::7] = 1
    data = replace(data, train=replace(data.train, labels=labels))
    model = fitted("gradient-boosted-trees", data, max_rounds=1).model
    assert np.shape(model.inputs.shares["shop"]) == (VALUES + 2, 3)
    save_model(tmp_path, model, data.task)
    assert load_model(tmp_path).predict_proba(data.validation.rows).shape == (6_000, 3)


def test_a_column_of_few_values_is_as_it_was() -> None:
    data = parts()
    few = data.train.rows["shop"].str[1:].astype(int).mod(MOST_CATEGORIES).map("S{}".format)
    train = replace(data.train, rows=data.train.rows.assign(shop=few))
    encoder, matrix = tree_inputs(replace(data, train=train), seed=1)
    assert encoder.shares == {}
    np.testing.assert_array_equal(matrix, learn_encoder(train.rows, data.task).matrix(train.rows))
    assert list(encoder.body()) == ["vocabularies"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda shares: shares["shop"].pop(), "not those of the vocabulary"),
        (lambda shares: shares["shop"][5].append(0.5), "no readable sklearn model"),
        (lambda shares: shares.update(shop=[[0.1, 0.2]] * (VALUES + 2)), "features"),
        (lambda shares: shares["shop"][5].__setitem__(0, float("inf")), "Infinity is no JSON number"),
        (lambda shares: shares.pop("shop"), "more values than trees take"),
        (lambda shares: shares.update(other=shares["shop"]), "other"),
    ],
)
def test_shares_that_do_not_fit_are_refused(tmp_path: Path, change: Any, named: str) -> None:
    data = parts()
    save_model(tmp_path, fitted("gradient-boosted-trees", data, max_rounds=1).model, data.task)
    body = json.loads((tmp_path / "model.json").read_text())
    change(body["options"]["encoder"]["shares"])
    (tmp_path / "model.json").write_text(json.dumps(body))
    with pytest.raises(BadInput) as caught:
        load_model(tmp_path)
    assert named in str(caught.value)


def test_the_page_says_what_is_pooled() -> None:
    data = parts()
    rare = data.train.rows["shop"].mask(data.train.rows["id"] < 8, data.train.rows["id"].map("rare {}".format))
    pooled = pooled_values(replace(data, train=replace(data.train, rows=data.train.rows.assign(shop=rare))))
    assert pooled == {"shop": {"values": VALUES + 8, "known": VALUES, "pooled_rows": 8}}
    assert pooled_words(pooled) == (
        "Values seen fewer than 5 times in training are not told apart: shop 8 of 1,208 (8 rows). "
        "Trees know the 253 most frequent values of shop as categories, "
        "and all of them by their class shares in the training rows (out of fold)."
    )
    assert pooled_words({"few": {"values": 3, "known": 3, "pooled_rows": 0}}) == ""
