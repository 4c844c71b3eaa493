"""From a data lake, through its gates, to a registered model that can be traced back to the lake."""

from kfp import dsl

from sluice.pipelines._learning import FOLDS, JUDGING, ROWS, SEED, TRAINING, Outputs, learn, split_rows
from sluice.pipelines._parameters import Given, takes


@dsl.pipeline(name="supervised", description="Trains, judges and registers a model from the tables of a data lake.")
@takes(ROWS, FOLDS, TRAINING, JUDGING, SEED)
def supervised(given: Given) -> Outputs:
    """Trains, judges and registers a model from the tables of a data lake."""
    rows = split_rows(given)
    return learn(rows.splits, rows.quality, given)
