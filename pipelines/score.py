"""Forecasts all rows of a dataset by a registered model, into a dataset with lineage."""

from kfp import dsl

from sluice.components.score.component import score as score_rows
from sluice.pipelines._parameters import Given, takes, to

_ROWS = {"model": to("score.model"), "dataset": to("score.dataset")}


@dsl.pipeline(name="score", description="Forecasts all rows of a dataset by a registered model.")
@takes(_ROWS)
def score(given: Given) -> None:
    """Forecasts all rows of a dataset by a registered model, into a dataset with lineage."""
    score_rows(**given.of("score")).set_caching_options(False)  # an alias may have moved
