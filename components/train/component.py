"""KFP component: train baselines and candidates under equal budgets."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Metrics, Model, Output

from sluice.core.step_images import TORCH_IMAGE


@dsl.component(base_image=TORCH_IMAGE, install_kfp_package=False)
def train(
    splits: str,
    models: Output[Model],
    curves: Output[HTML],
    metrics: Output[Metrics],
    candidates: list[Any] = [],
    seconds_per_candidate: float = 60.0,
    max_rounds: int = 0,
    patience: int = 3,
    seed: int = 2013,
    device: str = "auto",
    threads: int = 1,
    metric: str = "",
    code: str = "",
) -> str:
    """Trains baselines and candidates, simplest first, under equal budgets; returns the bundle's address.

    Args:
        splits: The address of a dataset with the parts train and validation; the test part is not read.
        models: Every trained candidate in a folder of its own, with the record of the training.
        curves: A page with the learning curves.
        metrics: What early stopping goes by on the validation rows, for each candidate.
        candidates: Models to train, each a name or {name: settings}; empty takes all that fit the task.
        seconds_per_candidate: Budget of each candidate in seconds; what is not done then is broken off.
        max_rounds: Budget of each candidate in rounds, without a clock: the same on every machine; 0 for seconds.
        patience: Rounds without a better metric on the validation rows after which a candidate stops.
        seed: Decides the models' random numbers.
        device: Where networks are trained, cpu, cuda or auto.
        threads: CPU threads to train with; one gives the same numbers on every number of cores.
        metric: What early stopping goes by; empty takes the problem's own, such as the log loss or the RMSE.
        code: The address of a project's code, where the problem, the metric or a candidate is the project's own.
    """
    from pathlib import Path

    from sluice.steps.step import log_metrics, step

    with step("train", locals()):
        from sluice.components.train.run import run
        from sluice.modeling.training_settings import check_settings

        settings = check_settings(
            candidates, seconds_per_candidate, max_rounds, patience, seed, device, threads, metric, code
        )
        result = run(splits, settings)
        models.uri = result.bundle.uri
        models.metadata.update(result.bundle.metadata())
        Path(curves.path).write_text(result.page, encoding="utf-8")
        log_metrics(metrics, {f"{name} validation {result.metric}": loss for name, loss in result.losses.items()})
    return str(result.bundle.uri)
