"""Every candidate is trained by every loss that it knows, and docs/export.md says by what its forecast is served."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sluice.exporting.graph import Graph
from sluice.exporting.graph_session import GraphSession
from sluice.exporting.graph_values import NUMBER, TEXT
from sluice.exporting.model_graphs import add_model
from sluice.exporting.parity import difference, given_column
from sluice.exporting.refusals import NotExportable
from sluice.modeling.catalogue import Trainable, candidates_for
from sluice.modeling.model_files import forecast
from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.candidate_names import LAST_VALUE
from tests.unit import model_world, numbers_world
from tests.unit.test_problems import numbers

DOCS = Path(__file__).parents[2] / "docs/export.md"
ALL = [each for task in (model_world.TABLE, model_world.IMAGES, numbers_world.TASK) for each in candidates_for(task)]
OF_NUMBERS = [(each, loss) for each in candidates_for(numbers_world.TASK) for loss in each.losses if loss != "log_loss"]


@cache
def small() -> Parts:
    """Houses, in units of 10,000, as positive whole numbers: every loss takes them."""
    parts = numbers_world.parts(300)
    first, second = (Part(part.rows, np.ceil(part.labels / 1e4)) for part in (parts.train, parts.validation))
    return Parts(parts.task, first, second, first)


def stated() -> dict[str, str]:
    """What the table says: `graph` or `code` by candidate."""
    rows = re.findall(r"^\| (`.*?) \|.*\| (graph|code) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: form for names, form in rows for name in re.findall(r"`([a-z-]+)`", names)}


def test_the_table_names_every_candidate() -> None:
    assert set(stated()) == {candidate.name for candidate in ALL} | {LAST_VALUE}  # that one is for repeated series
    assert {name for name, form in stated().items() if form == "code"} == {
        *(each.name for each in ALL if each.baseline),
        LAST_VALUE,
    }


@pytest.mark.parametrize(("candidate", "loss"), OF_NUMBERS, ids=[f"{each.name}-{loss}" for each, loss in OF_NUMBERS])
def test_a_number_by_every_loss_is_that_of_its_graph(candidate: Trainable, loss: str) -> None:
    parts = small()
    model = candidate.fit(parts, TrainingSettings(max_rounds=1, seed=3, problem=numbers(loss=loss))).model
    rows, task, graph = parts.validation.rows, parts.task, Graph()
    kinds = dict.fromkeys(task.numeric, NUMBER) | dict.fromkeys(task.categorical, TEXT)
    output = add_model(graph, model, task, {name: graph.input(name, kind) for name, kind in kinds.items()})
    session = GraphSession(graph.model(output, "forecast", 1, {}).SerializeToString())
    found = session.forecast({name: given_column(rows, name, kind) for name, kind in kinds.items()})
    wanted = forecast(model, rows, task)
    assert difference(found, wanted) <= 1e-6
    assert wanted.std() > 0.01
    assert stated()[candidate.name] == "graph"


def test_a_baseline_is_served_by_its_code() -> None:
    for candidate in candidates_for(numbers_world.TASK):
        if candidate.baseline:
            model = candidate.fit(small(), TrainingSettings(seed=3)).model
            with pytest.raises(NotExportable, match="its own code is run"):
                add_model(Graph(), model, numbers_world.TASK, {})
