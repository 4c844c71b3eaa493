"""The second half that every supervised pipeline shares: train, judge, register, report."""

from typing import Any, NamedTuple

from kfp.dsl import HTML, Artifact

from sluice.components.evaluate.component import evaluate
from sluice.components.register.component import register
from sluice.components.report.component import report
from sluice.components.train.component import train


class Outputs(NamedTuple):
    """What such a pipeline gives: one HTML report, and the result as JSON."""

    report: HTML
    result: Artifact


def address(task: Any) -> Any:  # noqa: ANN401 - KFP's task and channel
    """What a step returned: the content address of what it published.

    Steps hand on addresses, not artifacts, for two reasons in KFP's backend (seen in 2.14.3 and 2.17.0): its cache key
    knows an input artifact by a number that is new whenever the step before it ran, so nothing behind `ingest` would
    ever be reused; and its launcher refuses an input artifact outside the buckets that it knows.
    """
    return task.outputs["Output"]


def learn(
    splits: Any,  # noqa: ANN401 - KFP's pipeline channels, here and below
    data_page: Any,  # noqa: ANN401
    *,
    candidates: Any,  # noqa: ANN401
    seconds_per_candidate: Any,  # noqa: ANN401
    max_rounds: Any,  # noqa: ANN401
    seed: Any,  # noqa: ANN401
) -> Outputs:
    """Add the tasks from training to the report.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        candidates: Models to train, or an empty list for all that fit.
        seconds_per_candidate: Budget of each candidate in seconds.
        max_rounds: Budget of each candidate in rounds, without a clock; 0 for seconds.
        seed: For training and for the bootstrap.
    """
    trained = train(
        splits=splits,
        candidates=candidates,
        seconds_per_candidate=seconds_per_candidate,
        max_rounds=max_rounds,
        seed=seed,
    )
    return judge(splits, data_page, trained, seed=seed)


def judge(splits: Any, data_page: Any, trained: Any, *, seed: Any) -> Outputs:  # noqa: ANN401 - as above
    """Add the tasks after training, up to the report.

    Evaluation, registration and the report depend on the registry's present champion, which no cache key can see:
    they always run.

    Args:
        splits: The split dataset's address.
        data_page: The HTML page about the data that opens the report.
        trained: The task that trained the models.
        seed: For the bootstrap.
    """
    models = address(trained)
    evaluated = evaluate(splits=splits, models=models, seed=seed).set_caching_options(False)
    registered = register(splits=splits, models=models, evaluation=evaluated.outputs["evaluation"])
    registered.set_caching_options(False)
    told = report(
        quality=data_page,
        curves=trained.outputs["curves"],
        evaluation=evaluated.outputs["page"],
        result=registered.outputs["result"],
    ).set_caching_options(False)
    return Outputs(report=told.outputs["report"], result=registered.outputs["result"])
