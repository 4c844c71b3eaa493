"""The spine: from a data lake, through its gates, to a registered model that can be traced back to the lake."""

from kfp import dsl

from sluice.components.ingest.component import ingest
from sluice.components.prepare.component import prepare
from sluice.components.sample.component import sample
from sluice.components.split.component import split
from sluice.components.validate.component import validate
from sluice.pipelines._learning import Outputs, address, learn

CHOICES = {
    "recipe": ("flights_late",),
    "allocation": ("proportional", "equal"),
    "split_strategy": ("time", "stratified"),
}


@dsl.pipeline(name="lake-to-model", description="Trains, judges and registers a model from the tables of a data lake.")
def lake_to_model(
    lake: str = "lakes/flights",
    as_of: str = "2014-01-01",
    recipe: str = "flights_late",
    features: list[str] = [],
    sample_fraction: float = 0.3,
    strata: list[str] = ["month", "late"],
    allocation: str = "proportional",
    split_strategy: str = "time",
    shares: list[float] = [0.7, 0.15, 0.15],
    candidates: list[str] = [],
    seconds_per_candidate: float = 60.0,
    max_rounds: int = 0,
    seed: int = 2013,
) -> Outputs:
    """Trains, judges and registers a model from the tables of a data lake.

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
        candidates: Models to train; empty takes all that fit the task.
        seconds_per_candidate: Budget of each candidate in seconds; what is not done then is broken off.
        max_rounds: Budget of each candidate in rounds, without a clock: the same on every machine; 0 for seconds.
        seed: Decides the sample, the split, the models' random numbers and the bootstrap.
    """
    ingested = ingest(lake=lake).set_caching_options(False)
    validated = validate(tables=address(ingested), as_of=as_of)
    prepared = prepare(validated=address(validated), recipe=recipe, features=features)
    sampled = sample(
        prepared=address(prepared), fraction=sample_fraction, strata=strata, allocation=allocation, seed=seed
    )
    parts = split(sampled=address(sampled), strategy=split_strategy, shares=shares, seed=seed)
    return learn(
        address(parts),
        validated.outputs["quality"],
        candidates=candidates,
        seconds_per_candidate=seconds_per_candidate,
        max_rounds=max_rounds,
        seed=seed,
    )
