"""Settings of candidates: checked before the first step, learned with, recorded, and told in the report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from sluice.core.errors import BadInput
from sluice.evaluation.candidates import JudgedModel
from sluice.modeling.catalogue import choose
from sluice.modeling.distributed.job_settings import check_settings as check_distributed
from sluice.modeling.training_records import candidate_record, train_candidate
from sluice.modeling.training_settings import TrainingSettings, check_settings
from sluice.parameters.candidate_settings import SETTINGS, Wanted, checked_settings, read_entry
from sluice.parameters.train import check_candidates
from sluice.reporting.winner_settings import winner_settings
from sluice.running.arguments import parse_arguments
from sluice.running.catalog import find_pipeline
from tests.unit.model_world import IMAGES, TABLE, image_parts, table_parts

TASK = {"name": "houses", "rows": {"table": "houses", "key": ["id"]}, "label": {"column": "price"}}
BUDGET = TrainingSettings(max_rounds=2, seed=3)


def record(entry: Any, parts: Any) -> dict[str, Any]:
    return candidate_record(train_candidate(choose([entry], parts.task)[-1], parts, BUDGET))


def test_trees_learn_with_their_settings_as_scikit_learn_does() -> None:
    parts = table_parts(300)
    entry = {"trees": {"learning_rate": 0.05, "max_leaf_nodes": 4.0, "max_depth": 2}}
    trained = train_candidate(choose([entry], TABLE)[-1], parts, BUDGET)
    estimator: Any = trained.fitted.model.estimator  # type: ignore[attr-defined]
    assert isinstance(estimator, HistGradientBoostingClassifier)
    assert (estimator.learning_rate, estimator.max_leaf_nodes, estimator.max_depth) == (0.05, 4, 2)
    told = candidate_record(trained)
    assert told["settings"] == {"learning_rate": 0.05, "max_leaf_nodes": 4, "max_depth": 2}
    assert isinstance(told["settings"]["max_leaf_nodes"], int)  # KFP gives whole numbers back as doubles
    assert told["parameters"] | told["settings"] == told["parameters"]


def test_a_regressions_penalty_is_scikit_learns() -> None:
    parts = table_parts(300)
    trained = train_candidate(choose([{"linear": {"penalty": 4}}], TABLE)[-1], parts, BUDGET)
    estimator: Any = trained.fitted.model.estimator.steps[-1][1]  # type: ignore[attr-defined]
    assert isinstance(estimator, LogisticRegression)
    assert estimator.C == 0.25


def test_networks_of_tables_and_images_have_the_widths_that_were_set() -> None:
    table = record({"network": {"hidden": [8], "dropout": 0.1, "batch_rows": 64}}, table_parts(200))
    assert (table["parameters"]["hidden"], table["parameters"]["batch_rows"]) == ([8], 64)
    parts = image_parts()
    trained = train_candidate(choose([{"network": {"channels": 4, "hidden": 8}}], IMAGES)[-1], parts, BUDGET)
    sizes: Any = trained.fitted.model.sizes  # type: ignore[attr-defined]
    assert (sizes.channels[0], sizes.hidden) == (4, 8)


def test_one_kind_stands_twice_where_its_settings_differ_and_baselines_are_added() -> None:
    chosen = choose(["trees", {"gradient-boosted-trees": {"learning_rate": 0.05}}, {"trees": {}}], TABLE)
    names = [candidate.name for candidate in chosen if not candidate.baseline]
    assert names == ["gradient-boosted-trees", "gradient-boosted-trees-2"]
    assert chosen[-1].called == "gradient-boosted-trees"
    assert [candidate.name for candidate in chosen if candidate.baseline][:2] == ["random", "zero-rule"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"trees": {"learning_rat": 1}},
            r"the setting 'learning_rat', which is unknown \(did you mean 'learning_rate'",
        ),
        (
            {"trees": {"learning_rate": 0}},
            r"'candidates.trees.learning_rate' is 0; give a number above 0 and at most 1",
        ),
        ({"trees": {"learning_rate": "fast"}}, "'candidates.trees.learning_rate' is fast"),
        ({"trees": {"max_leaf_nodes": 2.5}}, "'candidates.trees.max_leaf_nodes' is 2.5"),
        ({"network": {"hidden": [64, 0]}}, "'candidates.network.hidden' is 0"),
        ({"network": {"channels": 8}}, "'channels', which is unknown"),
        ({"zero-rule": {"depth": 1}}, "a baseline has nothing to set"),
        ({"tree": {"learning_rate": 1}}, r"names 'tree' \(did you mean 'trees'\?\)"),
        ({"trees": {}, "linear": {}}, "one name with its settings"),
        ({"trees": [1]}, "one name with its settings"),
        (7, "one name with its settings"),
    ],
)
def test_a_wrong_entry_ends_before_the_first_step(entry: Any, words: str) -> None:
    given = [f"candidates={json.dumps([entry])}"]
    with pytest.raises(BadInput, match=words):
        parse_arguments(find_pipeline("supervised"), given, {"task": TASK, "lake": "./data"})


def test_each_pipeline_takes_the_settings_of_its_own_network() -> None:
    declared = {"task": TASK, "lake": "./data"}
    images, spread = find_pipeline("supervised_images"), find_pipeline("supervised_distributed")
    pictures = {**declared, "task": {"name": "digits", "rows": {"table": "images"}, "label": {"column": "label"}}}
    parse_arguments(images, ['candidates=[{"network": {"channels": 8}}]'], pictures)
    with pytest.raises(BadInput, match="'bins', which is unknown"):
        parse_arguments(images, ['candidates=[{"network": {"bins": 8}}]'], pictures)
    parse_arguments(spread, ['candidates=[{"network": {"dropout": 0.1}}]'], declared)
    with pytest.raises(BadInput, match="several workers train one network"):
        parse_arguments(spread, ["candidates=trees"], declared)


def test_several_workers_learn_with_the_settings() -> None:
    entry = {"network": {"learning_rate": 0.01, "dropout": 0.5, "batch_rows": 64.0}}
    learning, _ = check_distributed({"candidates": [entry], "learning_rate": 0.001, "workers": 2})
    assert (learning.learning_rate, learning.batch_rows, learning.network) == (0.01, 64, {"dropout": 0.5})
    assert learning.settings() == {"dropout": 0.5, "learning_rate": 0.01, "batch_rows": 64}
    assert "network" not in check_distributed({})[0].parameters()


def test_every_default_is_one_that_can_be_set() -> None:
    for name, model in SETTINGS.items():
        assert checked_settings(Wanted(name, model().model_dump())) == model().model_dump()
        assert all(field.description for field in model.model_fields.values())


def test_the_steps_parameters_hold_the_settings() -> None:
    settings = check_settings([{"trees": {"max_depth": 3.0}}, "linear"])
    assert settings.parameters()["candidates"] == [{"trees": {"max_depth": 3}}, "linear"]
    assert "of_candidate" not in settings.parameters()
    check_candidates("candidates", [{"mine.py:Net": {"width": 3}}])
    assert read_entry("candidates", {"mine.py:Net": {"width": 3.0, "rates": [0.5, 1.0]}}).settings == {
        "width": 3,
        "rates": [0.5, 1],
    }


def test_the_report_names_the_winners_settings_and_the_way_to_change_them() -> None:
    told = record({"trees": {"learning_rate": 0.05}}, table_parts(200))
    fields = ("name", "family", "baseline", "rank", "size", "parameters", "called", "settings")
    html = str(winner_settings(JudgedModel(**{name: told[name] for name in fields})))
    assert "train: {candidates: [{gradient-boosted-trees: {learning_rate: 0.05}}]}" in html
    for name in SETTINGS["trees"].model_fields:
        assert f"<code>{name}</code>" in html
    assert ">20<" in html.replace(" ", "")  # the leaf that was chosen for so few rows
    own = JudgedModel("mine.Net", "own", False, 6, 1, {}, called="mine.py:Net", settings={"width": 64})
    assert "train: {candidates: [{&#34;mine.py:Net&#34;: {width: 64}}]}" in str(winner_settings(own))
    assert "made without arguments" in str(winner_settings(replace(own, settings={})))


OWN = """
class Shares:
    def __init__(self, weight=1.0, *, floor=0):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight

    def fit(self, rows, label, weight, *, seed, seconds):
        import numpy as np
        counts = np.bincount(label, weight) + self.weight
        return {"shares": counts / counts.sum()}

    def predict(self, state, rows):
        import numpy as np
        return np.tile(state["shares"] if self.weight else 0, (len(rows), 1))
"""


def test_a_class_of_a_projects_own_is_made_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sluice.modeling.model_files import load_model, save_model
    from sluice.project.code_store import publish
    from sluice.project.packing import closure
    from sluice.storage.locations import default_store

    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    (tmp_path / "mine.py").write_text(OWN)
    parts = table_parts(200)
    code = publish(default_store(), closure(tmp_path, ["mine.py:Shares"]))

    def trained(settings: dict[str, Any]) -> Any:
        candidate = choose([{"mine.py:Shares": settings}], parts.task)[-1]
        return train_candidate(candidate, parts, TrainingSettings(code=code))

    heavy = trained({"weight": 1000})
    assert candidate_record(heavy)["settings"] == {"weight": 1000}
    assert heavy.fitted.parameters["weight"] == 1000
    save_model(tmp_path / "model", heavy.fitted.model, parts.task)
    shares = load_model(tmp_path / "model").predict_proba(parts.validation.rows)  # type: ignore[union-attr]
    assert (
        abs(shares[0] - 0.5).max() < abs(trained({}).fitted.model.predict_proba(parts.validation.rows)[0] - 0.5).max()
    )
    with pytest.raises(BadInput, match=r"mine.py:2\) takes no setting 'wight' \(did you mean 'weight'\?\)"):
        trained({"wight": 1})
    with pytest.raises(BadInput, match=r"mine.py:5: .*weight must not be negative"):
        trained({"weight": -1})
