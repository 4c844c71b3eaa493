"""Graphs of fitted models say what the models say, also where a value lies on a tree's very threshold."""

from collections.abc import Mapping

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from sluice.exporting.graph import Graph, NotExportable
from sluice.exporting.graph_values import ABSENT, NUMBER, TEXT
from sluice.exporting.model_graphs import add_model
from sluice.features.encoding import number_column, text_column
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.model_files import Model, forecast
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task
from tests.unit import model_world, numbers_world


def said(model: Model, task: Task, rows: pd.DataFrame) -> np.ndarray:
    graph = Graph()
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    output = add_model(graph, model, task, {name: graph.input(name, kind) for name, kind in kinds.items()})
    made = graph.model(output, "forecast", max(len(task.classes), 1), {})
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {f"in:{name}": column(rows, name, kind) for name, kind in kinds.items()}
    found: np.ndarray = session.run(None, {name: given[name] for name in (e.name for e in session.get_inputs())})[0]
    return found[:, 0] if task.regression else found


def column(rows: pd.DataFrame, name: str, kind: str) -> np.ndarray:
    if kind == NUMBER:
        return number_column(rows, name)
    return text_column(rows, name).astype(object).where(lambda texts: texts.notna(), ABSENT).to_numpy(object)


def on_thresholds(model: Model, rows: pd.DataFrame, names: tuple[str, ...], before: int) -> pd.DataFrame:
    """Rows whose numbers are the trees' own thresholds, and the next numbers above them."""
    found: Mapping[int, list[float]] = {}
    for tree in (tree for trees in model.estimator._predictors for tree in trees):  # type: ignore[attr-defined]
        for node in tree.nodes:
            if not node["is_leaf"] and not node["is_categorical"]:
                found.setdefault(int(node["feature_idx"]) - before, []).append(float(node["num_threshold"]))  # type: ignore[attr-defined]
    made = rows.iloc[np.arange(400) % len(rows)].reset_index(drop=True)
    for place, thresholds in found.items():
        every = np.array([*thresholds, *np.nextafter(thresholds, np.inf)])
        made[names[place]] = every[np.arange(400) % len(every)]
    return made


TABLE_MODELS = ("logistic-regression", "gradient-boosted-trees", "embedding-network")


@pytest.mark.parametrize("name", TABLE_MODELS)
def test_a_graph_says_the_probabilities_of_its_model(name: str) -> None:
    model = model_world.fitted("late", name)
    rows, _ = model_world.table_rows(700, seed=9)
    rows.loc[:20, "weather"] = "hail"  # never seen
    rows.loc[21:30, "wind"] = 1e300
    wanted = forecast(model, rows, model_world.TABLE)
    assert np.abs(said(model, model_world.TABLE, rows) - wanted).max() <= 1e-6
    assert wanted.std() > 0.01


@pytest.mark.parametrize("name", ["linear-regression", "gradient-boosted-trees", "embedding-network"])
def test_a_graph_says_the_numbers_of_its_model(name: str) -> None:
    parts = numbers_world.parts()
    candidate = next(entry for entry in candidates_for(parts.task) if entry.name == name)
    model = candidate.fit(parts, TrainingSettings(max_rounds=2, seed=3)).model
    wanted = forecast(model, parts.validation.rows, parts.task)
    assert np.allclose(said(model, parts.task, parts.validation.rows), wanted, rtol=1e-6)


def test_trees_decide_alike_on_their_own_thresholds() -> None:
    model = model_world.fitted("late", "gradient-boosted-trees", rounds=4)
    rows = on_thresholds(model, model_world.table_rows(400, seed=5)[0], model_world.TABLE.numeric, 2)
    wanted = forecast(model, rows, model_world.TABLE)
    assert np.abs(said(model, model_world.TABLE, rows) - wanted).max() <= 1e-12


def test_a_baseline_has_no_graph() -> None:
    model = model_world.fitted("late", "zero-rule")
    with pytest.raises(NotExportable, match="family 'baseline' has no graph"):
        add_model(Graph(), model, model_world.TABLE, {})
