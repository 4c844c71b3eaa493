"""The same contracts on images: PNG files in a lake, learned by a convolutional network."""

from typing import Any

from kfp import dsl

from sluice.components.ingest_images.component import ingest_images
from sluice.components.split.component import split
from sluice.pipelines._learning import Outputs, address, learn


@dsl.pipeline(name="supervised-images", description="Trains, judges and registers a model from a folder of images.")
def supervised_images(
    lake: str = "",
    task: dict[str, Any] = {},
    shares: list[float] = [0.7, 0.15, 0.15],
    candidates: list[Any] = [],
    seconds_per_candidate: float = 60.0,
    max_rounds: int = 0,
    train_code: str = "",
    patience: int = 3,
    device: str = "auto",
    threads: int = 1,
    metric: str = "",
    evaluate_code: str = "",
    max_calibration_error: float = 0.25,
    slice_tolerance: float = 0.02,
    min_slice_rows: int = 200,
    least_effect: float = 0.001,
    min_effective_rows: int = 100,
    resamples: int = 1000,
    seed: int = 2013,
) -> Outputs:
    """Trains, judges and registers a model from a folder of images.

    Args:
        lake: Where the images are: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        task: The question, and its label, as the file of a project declares them.
        shares: Shares of the images for training, validation and test; they add up to 1.
        candidates: Models to train, each a name or {name: settings}; empty takes all that fit the task.
        seconds_per_candidate: Budget of each candidate in seconds; what is not done then is broken off.
        max_rounds: Budget of each candidate in rounds, without a clock: the same on every machine; 0 for seconds.
        train_code: The address of the code that training needs of a project: its own metric or candidates.
        patience: Rounds without a better metric on the validation rows after which a candidate stops.
        device: Where networks are trained, "cpu", "cuda" or "auto".
        threads: CPU threads to train with; one gives the same numbers on every number of cores.
        metric: What stops training and judges models; empty for the log loss, or the RMSE where the label is a number.
        evaluate_code: The address of the code that judging needs of a project: its own metric.
        max_calibration_error: The greatest calibration error that passes the gate, as a share of the base rate.
        slice_tolerance: By how much the loss may exceed a rival's in a slice.
        min_slice_rows: Slices with fewer rows are not judged.
        least_effect: By how much the loss must be less than a rival's to matter.
        min_effective_rows: With fewer test rows, counted as if independent, nothing is decided.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides the split, the models' random numbers and the bootstrap.
    """
    ingested = ingest_images(lake=lake, task=task).set_caching_options(False)
    parts = split(sampled=address(ingested), strategy="stratified", shares=shares, seed=seed)
    training = {
        "candidates": candidates,
        "seconds_per_candidate": seconds_per_candidate,
        "max_rounds": max_rounds,
        "metric": metric,
        "code": train_code,
        "patience": patience,
        "device": device,
        "threads": threads,
        "seed": seed,
    }
    judging = {
        "metric": metric,
        "code": evaluate_code,
        "max_calibration_error": max_calibration_error,
        "slice_tolerance": slice_tolerance,
        "min_slice_rows": min_slice_rows,
        "least_effect": least_effect,
        "min_effective_rows": min_effective_rows,
        "resamples": resamples,
        "seed": seed,
    }
    return learn(address(parts), ingested.outputs["page"], training=training, judging=judging)
