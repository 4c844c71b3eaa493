"""The same contracts on images: handwritten digits as PNG files, learned by a convolutional network."""

from kfp import dsl

from sluice.components.ingest_images.component import ingest_images
from sluice.components.split.component import split
from sluice.pipelines._learning import Outputs, address, learn


@dsl.pipeline(name="digits-to-model", description="Trains, judges and registers a model from a folder of images.")
def digits_to_model(
    lake: str = "lakes/digits",
    shares: list[float] = [0.7, 0.15, 0.15],
    candidates: list[str] = [],
    seconds_per_candidate: float = 60.0,
    max_rounds: int = 0,
    seed: int = 2013,
) -> Outputs:
    """Trains, judges and registers a model from a folder of images.

    Args:
        lake: Where the images are: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        shares: Shares of the images for training, validation and test; they add up to 1.
        candidates: Models to train; empty takes all that fit the task.
        seconds_per_candidate: Budget of each candidate in seconds; what is not done then is broken off.
        max_rounds: Budget of each candidate in rounds, without a clock: the same on every machine; 0 for seconds.
        seed: Decides the split, the models' random numbers and the bootstrap.
    """
    ingested = ingest_images(lake=lake).set_caching_options(False)
    parts = split(sampled=address(ingested), strategy="stratified", shares=shares, seed=seed)
    return learn(
        address(parts),
        ingested.outputs["page"],
        candidates=candidates,
        seconds_per_candidate=seconds_per_candidate,
        max_rounds=max_rounds,
        seed=seed,
    )
