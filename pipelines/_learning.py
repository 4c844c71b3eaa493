"""The halves that supervised pipelines share: from a lake to split rows, and from trained models to the report."""

from typing import Any, NamedTuple

from kfp.dsl import HTML, Artifact

from sluice.components.evaluate.component import evaluate
from sluice.components.ingest.component import ingest
from sluice.components.prepare.component import prepare
from sluice.components.register.component import register
from sluice.components.report.component import report
from sluice.components.sample.component import sample
from sluice.components.split.component import split
from sluice.components.train.component import train
from sluice.components.validate.component import validate
from sluice.pipelines._parameters import Given, to

ROWS = {
    "lake": to("ingest.lake"),
    "sources": to("ingest.sources"),
    "ingest_code": to("ingest.code"),
    "task": to("prepare.task"),
    "prepare_code": to("prepare.code"),
    "as_of": to("validate.as_of"),
    "sample_fraction": to("sample.fraction"),
    "sample_rows": to("sample.rows"),
    "strata": to("sample.strata"),
    "allocation": to("sample.allocation"),
    "sample_by": to("sample.by"),
    "sample_code": to("sample.code"),
    "split_strategy": to("split.strategy", default="stratified"),
    "split_code": to("split.code"),
    "shares": to("split.shares"),
    "gap": to("split.gap"),
}
"""What decides about the rows, from the lake to the split."""
FOLDS = {"folds": to("split.folds")}
"""The same, where all rows may be judged by models fitted without them."""
TRAINING = {
    "candidates": to("train.candidates"),
    "seconds_per_candidate": to("train.seconds_per_candidate"),
    "max_rounds": to("train.max_rounds"),
    "train_code": to("train.code"),
    "patience": to("train.patience"),
    "device": to("train.device"),
    "threads": to("train.threads"),
}
"""What decides about the step train."""
JUDGING = {
    "metric": to(
        "evaluate.metric",
        "train.metric",
        says="What stops training and judges models; empty for the problem's own, such as the log loss or the RMSE.",
    ),
    "evaluate_code": to("evaluate.code"),
    "max_calibration_error": to("evaluate.max_calibration_error"),
    "slice_tolerance": to("evaluate.slice_tolerance"),
    "min_slice_rows": to("evaluate.min_slice_rows"),
    "least_effect": to("evaluate.least_effect"),
    "min_effective_rows": to("evaluate.min_effective_rows"),
    "gate_checks": to("evaluate.gate_checks"),
    "report_sections": to("evaluate.report_sections"),
    "seconds_per_check": to("evaluate.seconds_per_check"),
    "resamples": to("evaluate.resamples"),
    "promotion": to("register.promotion"),
    "served": to("register.served"),
}
"""What models are held to."""
SEED = {
    "seed": to(
        "train.seed",
        "train_distributed.seed",
        "evaluate.seed",
        "sample.seed",
        "split.seed",
        says="Decides all that is random: the sample, the split, the models' random numbers and the bootstrap.",
    )
}


class Outputs(NamedTuple):
    """What such a pipeline gives: one HTML report, and the result as JSON."""

    report: HTML
    result: Artifact


class Rows(NamedTuple):
    """What the first half gives: the split rows' address, and the page about the data."""

    splits: Any
    quality: Any


def address(task: Any) -> Any:  # noqa: ANN401 - KFP's task and channel
    """What a step returned: the content address of what it published.

    Steps hand on addresses, not artifacts, for two reasons in KFP's backend (seen in 2.14.3 and 2.17.0): its cache key
    knows an input artifact by a number that is new whenever the step before it ran, so nothing behind `ingest` would
    ever be reused; and its launcher refuses an input artifact outside the buckets that it knows.
    """
    return task.outputs["Output"]


def split_rows(given: Given) -> Rows:
    """Add the tasks from the tables of a lake to rows to learn from, to choose by and to judge by."""
    ingested = ingest(**given.of("ingest")).set_caching_options(False)
    validated = validate(tables=address(ingested), **given.of("validate"))
    prepared = prepare(validated=address(validated), **given.of("prepare"))
    sampled = sample(prepared=address(prepared), **given.of("sample"))
    parts = split(sampled=address(sampled), **given.of("split"))
    return Rows(address(parts), validated.outputs["quality"])


def learn(splits: Any, data_page: Any, given: Given) -> Outputs:  # noqa: ANN401 - KFP's channels
    """Add the tasks from training to the report.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        given: The pipeline's arguments.
    """
    return judge(splits, data_page, train(splits=splits, **given.of("train")), given)


def judge(splits: Any, data_page: Any, trained: Any, given: Given) -> Outputs:  # noqa: ANN401 - as above
    """Add the tasks after training, up to the report.

    Evaluation, registration and the report depend on the registry's present champion, which no cache key can see:
    they always run.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        trained: The task that trained the models.
        given: The pipeline's arguments.
    """
    models = address(trained)
    evaluated = evaluate(splits=splits, models=models, **given.of("evaluate")).set_caching_options(False)
    found = evaluated.outputs["evaluation"]
    registered = register(splits=splits, models=models, evaluation=found, **given.of("register"))
    registered.set_caching_options(False)
    told = report(
        quality=data_page,
        curves=trained.outputs["curves"],
        evaluation=evaluated.outputs["page"],
        result=registered.outputs["result"],
    ).set_caching_options(False)
    return Outputs(report=told.outputs["report"], result=registered.outputs["result"])
