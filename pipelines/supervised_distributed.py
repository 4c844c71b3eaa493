"""The pipeline `supervised` with a network that several workers train together, on several nodes of a cluster."""

from kfp import dsl

from sluice.components.train_distributed.component import train_distributed
from sluice.pipelines._learning import JUDGING, ROWS, SEED, Outputs, judge, split_rows
from sluice.pipelines._parameters import Given, takes, to

_TRAINING = (
    "candidates",
    "workers",
    "runtime",
    "epochs",
    "patience",
    "batch_rows",
    "learning_rate",
    "checkpoint_seconds",
    "max_restarts",
    "start_seconds",
    "timeout_seconds",
)


@dsl.pipeline(
    name="supervised-distributed",
    description="Trains a network on several workers, and judges and registers it, from the tables of a data lake.",
)
@takes(ROWS, {name: to(f"train_distributed.{name}") for name in _TRAINING}, JUDGING, SEED)
def supervised_distributed(given: Given) -> Outputs:
    """Trains a network on several workers, and judges and registers it, from the tables of a data lake."""
    rows = split_rows(given)
    trained = train_distributed(splits=rows.splits, **given.of("train_distributed"))
    return judge(rows.splits, rows.quality, trained, given)
