"""A small table of numbers and its questions, divided into folds by the step split."""

from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.components.evaluate.run import judge
from sluice.components.split.run import run as split
from sluice.components.train.run import run as train
from sluice.core.home import home
from sluice.engine.datasets import read_dataset, write_dataset
from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.evaluation_settings import EvaluationSettings, GateLimits
from sluice.modeling.training_settings import TrainingSettings as Training
from sluice.problems.task import Task
from sluice.storage.locations import default_store

ROWS, NUMBER = 150, 5
BINARY = Task("ill", "Ill?", "y", ("no", "yes"), ("id",), numeric=("a", "b", "c"))
CLASSES = replace(BINARY, classes=("low", "middle", "high"))
REGRESSION = replace(BINARY, classes=(), problem="regression")
SETTINGS = EvaluationSettings(GateLimits(min_effective_rows=50), resamples=200, seed=1)


def frame(task: Task, rows: int = ROWS, seed: int = 1) -> pd.DataFrame:
    """Three numbers of which one tells much of the label and one a little; six rows a person, equal in nothing."""
    generator = np.random.default_rng(seed)
    table = pd.DataFrame(generator.normal(size=(rows, 3)), columns=["a", "b", "c"])
    number = 2 * table["a"] + 0.5 * table["b"] + generator.normal(size=rows)
    kinds = len(task.classes)
    codes = pd.qcut(number, kinds, labels=False).astype("int64") if kinds else number
    return table.assign(id=range(rows), y=codes, person=generator.permutation(np.arange(rows) // 6))


def published(table: pd.DataFrame, task: Task, *, name: str = "rows") -> Bundle:
    """A dataset of one table."""
    engine = ibis.duckdb.connect()
    held = engine.create_table("held", pa.Table.from_pandas(table, preserve_index=False))
    return write_dataset(default_store(), {name: held}, producer("prepare", {}), details=task.details())


def in_folds(table: pd.DataFrame, task: Task, folds: int = NUMBER, seed: int = 3, strategy: str = "folds") -> Bundle:
    """The rows as the step split divides them."""
    source, summary = published(table, task), home() / "summary.md"
    return split(source.uri, strategy=strategy, shares=(0.6, 0.2, 0.2), seed=seed, folds=folds, summary=summary)


def rows_of(bundle: Bundle, table: str = "test") -> pd.DataFrame:
    """A table of a dataset."""
    with read_dataset(bundle.uri) as (_, tables):
        found: pd.DataFrame = tables[table].to_pandas()
        return found


def learned(data: Bundle, *candidates: str, rounds: int = 1, seed: int = 1) -> Bundle:
    """The models that the step train makes of them."""
    return train(data.uri, Training(candidates=candidates, max_rounds=rounds, seed=seed)).bundle


def judged(data: Bundle, models: Bundle) -> Evaluation:
    """What the step evaluate finds."""
    return judge(data.uri, models.uri, SETTINGS)


def folder(models: Bundle) -> Path:
    """Where a models bundle lies."""
    return Path(models.uri)
