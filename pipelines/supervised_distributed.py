"""The pipeline `supervised` with a network that several workers train together, on several nodes of a cluster."""

from typing import Any

from kfp import dsl

from sluice.components.train_distributed.component import train_distributed
from sluice.pipelines._learning import Outputs, judge, split_rows


@dsl.pipeline(
    name="supervised-distributed",
    description="Trains a network on several workers, and judges and registers it, from the tables of a data lake.",
)
def supervised_distributed(
    lake: str = "",
    task: dict[str, Any] = {},
    prepare_code: str = "",
    as_of: str = "",
    sample_fraction: float = 1.0,
    sample_rows: int = 0,
    strata: list[str] = [],
    allocation: str = "proportional",
    split_strategy: str = "stratified",
    split_code: str = "",
    shares: list[float] = [0.7, 0.15, 0.15],
    gap: str = "",
    candidates: list[Any] = [],
    workers: int = 2,
    runtime: str = "torch-cpu",
    epochs: int = 0,
    patience: int = 3,
    batch_rows: int = 0,
    learning_rate: float = 0.001,
    checkpoint_seconds: float = 10.0,
    max_restarts: int = 2,
    start_seconds: int = 600,
    timeout_seconds: int = 3600,
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
    """Trains a network on several workers, and judges and registers it, from the tables of a data lake.

    Args:
        lake: Where the tables are: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        task: The question, its rows, label and features, as the file of a project declares them.
        prepare_code: The address of the code that prepares the rows, where the task names a function of it.
        as_of: The day that counts as today for the freshness check (YYYY-MM-DD); empty skips the check.
        sample_fraction: Share of the rows to keep, above 0 and at most 1.
        sample_rows: How many rows to keep instead; 0 to go by the fraction.
        strata: Columns within whose groups the sample is drawn.
        allocation: Rows by group, "proportional" or "equal"; numbers speak of all rows either way, by weights.
        split_strategy: "time" learns from the past and tests on the future, "group" keeps a group in one part,
            "stratified" keeps label shares equal; "random", or FILE.py:NAME of a project.
        split_code: The address of the code that divides the rows, where the strategy is a project's own.
        shares: Shares of the rows for training, validation and test; they add up to 1.
        gap: How long before validation and test rows are left out of a split by time, such as 30d; empty for as long
            as the label takes to be known.
        candidates: The network with its settings, [{network: {dropout: 0.1}}]; empty for its defaults.
        workers: How many workers train the network together, each on a node of its own where there are enough.
        runtime: Where they run: the TrainingRuntimes "torch-cpu" or "torch-gpu", or "local" for processes in one pod.
        epochs: Most passes over the training rows; 0 goes on until nothing gets better.
        patience: Epochs without a better validation loss after which training stops.
        batch_rows: Rows of one step over all workers together; 0 chooses about 64 steps an epoch.
        learning_rate: Of AdamW.
        checkpoint_seconds: About so much work is lost at most when a worker is; 0 saves after each step.
        max_restarts: How often the workers may fail, and go on from the last checkpoint.
        start_seconds: Within these all workers must run, image pulls included.
        timeout_seconds: Within these the training must end.
        metric: What stops training and judges models; empty for the log loss, or the RMSE where the label is a number.
        evaluate_code: The address of the code that judging needs of a project: its own metric.
        max_calibration_error: The greatest calibration error that passes the gate, as a share of the base rate.
        slice_tolerance: By how much the loss may exceed a rival's in a slice.
        min_slice_rows: Slices with fewer rows are not judged.
        least_effect: By how much the loss must be less than a rival's to matter.
        min_effective_rows: With fewer test rows, counted as if independent, nothing is decided.
        resamples: Bootstrap resamples behind each interval.
        seed: Decides the sample, the split, the network's random numbers and the bootstrap.
    """
    rows = split_rows(
        lake=lake,
        task=task,
        prepare_code=prepare_code,
        as_of=as_of,
        sample_fraction=sample_fraction,
        sample_rows=sample_rows,
        strata=strata,
        allocation=allocation,
        split_strategy=split_strategy,
        split_code=split_code,
        shares=shares,
        gap=gap,
        seed=seed,
    )
    trained = train_distributed(
        splits=rows.splits,
        candidates=candidates,
        workers=workers,
        runtime=runtime,
        epochs=epochs,
        patience=patience,
        batch_rows=batch_rows,
        learning_rate=learning_rate,
        checkpoint_seconds=checkpoint_seconds,
        max_restarts=max_restarts,
        start_seconds=start_seconds,
        timeout_seconds=timeout_seconds,
        seed=seed,
    )
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
    return judge(rows.splits, rows.quality, trained, judging=judging)
