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


def split_rows(
    *,
    lake: Any,  # noqa: ANN401 - KFP's pipeline channels, here and below
    task: Any,  # noqa: ANN401
    prepare_code: Any,  # noqa: ANN401
    as_of: Any,  # noqa: ANN401
    sample_fraction: Any,  # noqa: ANN401
    sample_rows: Any,  # noqa: ANN401
    strata: Any,  # noqa: ANN401
    allocation: Any,  # noqa: ANN401
    split_strategy: Any,  # noqa: ANN401
    split_code: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    gap: Any,  # noqa: ANN401
    seed: Any,  # noqa: ANN401
    folds: Any = 5,  # noqa: ANN401
) -> Rows:
    """Add the tasks from the tables of a lake to rows to learn from, to choose by and to judge by."""
    ingested = ingest(lake=lake).set_caching_options(False)
    validated = validate(tables=address(ingested), as_of=as_of)
    prepared = prepare(validated=address(validated), task=task, code=prepare_code)
    sampled = sample(
        prepared=address(prepared),
        fraction=sample_fraction,
        rows=sample_rows,
        strata=strata,
        allocation=allocation,
        seed=seed,
    )
    parts = split(
        sampled=address(sampled),
        strategy=split_strategy,
        shares=shares,
        seed=seed,
        gap=gap,
        folds=folds,
        code=split_code,
    )
    return Rows(address(parts), validated.outputs["quality"])


def learn(splits: Any, data_page: Any, *, training: dict[str, Any], judging: dict[str, Any]) -> Outputs:  # noqa: ANN401
    """Add the tasks from training to the report.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        training: Parameters of the step train.
        judging: Parameters of the step evaluate.
    """
    return judge(splits, data_page, train(splits=splits, **training), judging=judging)


def judge(splits: Any, data_page: Any, trained: Any, *, judging: dict[str, Any]) -> Outputs:  # noqa: ANN401 - as above
    """Add the tasks after training, up to the report.

    Evaluation, registration and the report depend on the registry's present champion, which no cache key can see:
    they always run.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        trained: The task that trained the models.
        judging: Parameters of the step evaluate.
    """
    models = address(trained)
    evaluated = evaluate(splits=splits, models=models, **judging).set_caching_options(False)
    registered = register(splits=splits, models=models, evaluation=evaluated.outputs["evaluation"])
    registered.set_caching_options(False)
    told = report(
        quality=data_page,
        curves=trained.outputs["curves"],
        evaluation=evaluated.outputs["page"],
        result=registered.outputs["result"],
    ).set_caching_options(False)
    return Outputs(report=told.outputs["report"], result=registered.outputs["result"])
