"""The spine with a network that several workers train together, on several nodes of a cluster."""

from kfp import dsl

from sluice.components.ingest.component import ingest
from sluice.components.prepare.component import prepare
from sluice.components.sample.component import sample
from sluice.components.split.component import split
from sluice.components.train_distributed.component import train_distributed
from sluice.components.validate.component import validate
from sluice.pipelines._learning import Outputs, address, judge

CHOICES = {
    "recipe": ("flights_late",),
    "allocation": ("proportional", "equal"),
    "split_strategy": ("time", "stratified"),
    "runtime": ("torch-cpu", "torch-gpu", "local"),
}


@dsl.pipeline(
    name="lake-to-model-distributed",
    description="Trains a network on several workers, and judges and registers it, from the tables of a data lake.",
)
def lake_to_model_distributed(
    lake: str = "lakes/flights",
    as_of: str = "2014-01-01",
    recipe: str = "flights_late",
    features: list[str] = [],
    sample_fraction: float = 1.0,
    strata: list[str] = ["month", "late"],
    allocation: str = "proportional",
    split_strategy: str = "time",
    shares: list[float] = [0.7, 0.15, 0.15],
    workers: int = 2,
    runtime: str = "torch-cpu",
    epochs: int = 0,
    checkpoint_seconds: float = 10.0,
    max_restarts: int = 2,
    timeout_seconds: int = 3600,
    seed: int = 2013,
) -> Outputs:
    """Trains a network on several workers, and judges and registers it, from the tables of a data lake.

    Args:
        lake: Where the lake is: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        as_of: The day that counts as today for the freshness check (YYYY-MM-DD); empty skips the check.
        recipe: How the lake's tables become one table to learn from.
        features: Columns to learn from; empty takes the recipe's own choice.
        sample_fraction: Share of the rows to keep, above 0 and at most 1.
        strata: Columns within whose groups the sample is drawn.
        allocation: Rows by group, "proportional" or "equal"; numbers speak of all rows either way, by weights.
        split_strategy: "time" learns from the past and tests on the future; "stratified" keeps label shares equal.
        shares: Shares of the rows for training, validation and test; they add up to 1.
        workers: How many workers train the network together, each on a node of its own where there are enough.
        runtime: Where they run: the TrainingRuntimes "torch-cpu" or "torch-gpu", or "local" for processes in one pod.
        epochs: Most passes over the training rows; 0 goes on until nothing gets better.
        checkpoint_seconds: About so much work is lost at most when a worker is.
        max_restarts: How often the workers may fail, and go on from the last checkpoint.
        timeout_seconds: Within these the training must end.
        seed: Decides the sample, the split, the network's random numbers and the bootstrap.
    """
    ingested = ingest(lake=lake).set_caching_options(False)
    validated = validate(tables=address(ingested), as_of=as_of)
    prepared = prepare(validated=address(validated), recipe=recipe, features=features)
    sampled = sample(
        prepared=address(prepared), fraction=sample_fraction, strata=strata, allocation=allocation, seed=seed
    )
    splits = address(split(sampled=address(sampled), strategy=split_strategy, shares=shares, seed=seed))
    trained = train_distributed(
        splits=splits,
        workers=workers,
        runtime=runtime,
        epochs=epochs,
        seed=seed,
        checkpoint_seconds=checkpoint_seconds,
        max_restarts=max_restarts,
        timeout_seconds=timeout_seconds,
    )
    return judge(splits, validated.outputs["quality"], trained, seed=seed)
