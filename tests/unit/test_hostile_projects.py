"""A project whose code turns against a step: one line, exit code 2, and nothing published, by the steps themselves.

What its file, a `prepare`, a label or an archive can do wrong stands in test_project_*.py, test_prepare_declarations.py
and test_code_archive.py; here the steps train and split meet a project's candidate, metric and splitter.
"""

from pathlib import Path

import ibis
import pytest

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.split.run import run as split
from sluice.components.train.run import run as train
from sluice.core.errors import BadInput
from sluice.engine.datasets import write_dataset
from sluice.modeling.training_settings import TrainingSettings, check_settings
from sluice.project.code_store import publish
from sluice.project.packing import closure
from sluice.storage.locations import default_store
from tests.unit import small_world

CANDIDATE = """
class Mine:
    def fit(self, rows, label, weight, *, seed, seconds):
        {fit}

    def predict(self, state, rows):
        {predict}
"""
FLAT = "import numpy as np; return np.full((len(rows), 2), 0.5)"
METRIC = """
from sluice.problems.metrics import Metric

def cost(label, forecast, weight):
    {body}

lost = Metric("cost", "Cost", "less", ("binary",), function=cost)
each = Metric("cost", "Cost", "less", ("binary",), rows=lambda label, forecast: [1.0])
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A home with one split dataset; what is refused leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("SLUICE_STORE", raising=False)
        return tmp_path_factory.mktemp("project"), small_world.splits(400)


@pytest.fixture
def data(world: tuple[Path, Bundle], monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setenv("SLUICE_HOME", str(Path(world[1].uri.partition("/store/")[0])))
    monkeypatch.delenv("SLUICE_STORE", raising=False)
    return world[1]


def code(folder: Path, text: str, reference: str) -> str:
    """The address of the archive of `mine.py` with this text."""
    (folder / "mine.py").write_text(text)
    return publish(default_store(), closure(folder, [reference]))


def published() -> list[str]:
    """All that lies in the store but code, drafts included."""
    return sorted(key for key in default_store().keys("") if not key.startswith("code/"))


def line(error: BaseException) -> str:
    """The message of a refusal, which is one line and exit code 2."""
    assert isinstance(error, BadInput)
    assert error.exit_code == 2
    assert "\n" not in str(error)
    return str(error)


CANDIDATES = {
    "raises": ("raise ValueError('two\\nlines')", FLAT, "mine.py:4: ValueError: two lines"),
    "ends the program": ("import sys; sys.exit(0)", FLAT, "mine.py:4: it ends the program"),
    "waits for ever": ("import time; time.sleep(3600)", FLAT, "too little for a single round of mine.Mine"),
    "waits in predict": ("return {}", "import time; time.sleep(3600)", "too little for a single round of mine.Mine"),
    "gives NaN": ("return {}", "return rows.shape[0] * [[float('nan')] * 2]", "NaN or infinite"),
    "gives the wrong shape": ("return {}", "return [0.5]", "gave the shape (1,), not ("),
    "keeps what needs a pickle": ("return {'f': lambda: 1}", FLAT, "which cannot be kept"),
    "changes its rows": ("rows.drop(columns=rows.columns, inplace=True); label[:] = 7; return {}", FLAT, ""),
}


@pytest.mark.parametrize("case", CANDIDATES)
def test_a_candidate_that_fails_publishes_no_model(world: tuple[Path, Bundle], data: Bundle, case: str) -> None:
    fit, predict, told = CANDIDATES[case]
    address = code(world[0], CANDIDATE.format(fit=fit, predict=predict), "mine.py:Mine")
    settings = TrainingSettings(("zero-rule", "mine.py:Mine"), seconds_per_candidate=1.0, code=address)
    before = published()
    if not told:  # it worked on a copy, and no other candidate sees what it did
        assert train(data.uri, settings).losses.keys() == {"zero-rule", "mine.Mine"}
        return
    with pytest.raises(BadInput) as caught:
        train(data.uri, settings)
    assert told in line(caught.value)
    assert published() == before


METRICS = {
    "raises": ("return 1 / 0", "lost", "mine.py:5: ZeroDivisionError"),
    "gives a text": ("return 'much'", "lost", "cannot be computed: ValueError"),
    "gives NaN": ("return float('nan')", "lost", "metric 'cost' gave nan"),
    "gives too few": ("return 0.0", "each", "metric 'cost' gave (1,) values"),
}


@pytest.mark.parametrize("case", METRICS)
def test_a_metric_that_fails_publishes_no_model(world: tuple[Path, Bundle], data: Bundle, case: str) -> None:
    body, name, told = METRICS[case]
    address = code(world[0], METRIC.format(body=body), f"mine.py:{name}")
    names = ["zero-rule", "logistic-regression"]
    settings = check_settings(names, max_rounds=1, metric=f"mine.py:{name}", code=address)
    before = published()
    with pytest.raises(BadInput) as caught:
        train(data.uri, settings)
    assert told in line(caught.value)
    assert published() == before


SPLITTERS = {
    "raises": ("raise KeyError('rows')", "mine.py:2: KeyError"),
    "gives nothing": ("return None", "mine.py:parts"),
    "adds no column": ("return rows", "mine.py:parts"),
    "drops rows": ("return rows.limit(5).mutate(**{plan.part: 'train'})", "mine.py:parts"),
    "gives all to one part": ("return rows.mutate(**{plan.part: 'train'})", ""),
}


@pytest.mark.parametrize("case", SPLITTERS)
def test_a_splitter_that_fails_publishes_no_split(
    world: tuple[Path, Bundle], data: Bundle, tmp_path: Path, case: str
) -> None:
    body, told = SPLITTERS[case]
    address = code(world[0], f"def parts(rows, plan):\n    {body}\n", "mine.py:parts")
    rows = ibis.memtable(small_world.frame(400, 1))
    made = producer("prepare", {})
    table = ibis.duckdb.connect().create_table("rows", rows)
    sampled = write_dataset(default_store(), {"rows": table}, made, details=small_world.TASK.details()).uri
    before = published()
    with pytest.raises(BadInput) as caught:
        split(sampled, strategy="mine.py:parts", shares=[0.7, 0.15, 0.15], seed=1, summary=tmp_path / "s", code=address)
    assert told in line(caught.value)
    assert published() == before
