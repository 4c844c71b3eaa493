"""From a data lake, through its gates, to a registered model that can be traced back to the lake."""

from typing import Any

from kfp import dsl

from sluice.pipelines._learning import Outputs, learn, split_rows


@dsl.pipeline(name="supervised", description="Trains, judges and registers a model from the tables of a data lake.")
def supervised(
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
    folds: int = 5,
    candidates: list[str] = [],
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
    """Trains, judges and registers a model from the tables of a data lake.

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
            "stratified" keeps label shares equal; "random"; "folds" judges each row of a small table by models fitted
            without it; or FILE.py:NAME of a project.
        split_code: The address of the code that divides the rows, where the strategy is a project's own.
        shares: Shares of the rows for training, validation and test; they add up to 1.
        gap: How long before validation and test rows are left out of a split by time, such as 30d; empty for as long
            as the label takes to be known.
        folds: How many folds there are, where rows are divided into folds.
        candidates: Models to train; empty takes all that fit the task.
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
        seed: Decides the sample, the split, the models' random numbers and the bootstrap.
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
        folds=folds,
        seed=seed,
    )
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
    return learn(rows.splits, rows.quality, training=training, judging=judging)
