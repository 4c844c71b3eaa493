"""KFP component: train the network on several workers at once."""

from kfp import dsl
from kfp.dsl import HTML, Metrics, Model, Output

from sluice.core.step_images import TORCH_IMAGE


@dsl.component(base_image=TORCH_IMAGE, install_kfp_package=False)
def train_distributed(
    splits: str,
    models: Output[Model],
    curves: Output[HTML],
    metrics: Output[Metrics],
    candidates: list[object] = [],
    workers: int = 2,
    runtime: str = "torch-cpu",
    epochs: int = 0,
    patience: int = 3,
    batch_rows: int = 0,
    learning_rate: float = 0.001,
    seed: int = 2013,
    checkpoint_seconds: float = 10.0,
    max_restarts: int = 2,
    start_seconds: int = 600,
    timeout_seconds: int = 3600,
) -> str:
    """Trains the task's network on several workers (DDP), beside the baselines; returns the bundle's address.

    Args:
        splits: The address of a dataset with the parts train and validation; the test part is not read.
        models: The network and the baselines in folders of their own, with the record of the training.
        curves: A page with the learning curves.
        metrics: The validation log loss of each candidate, in nats.
        candidates: The network with its settings, [{network: {dropout: 0.1}}]; empty for its defaults.
        workers: How many workers train, each on a node of its own where there are enough.
        runtime: The TrainingRuntime they run in, or local; without a cluster they are processes of this machine.
        epochs: Most passes over the training rows; 0 goes on until nothing gets better.
        patience: Epochs without a better validation log loss after which training stops.
        batch_rows: Rows of one step over all workers together; 0 chooses about 64 steps an epoch.
        learning_rate: Of AdamW.
        seed: Decides everything random; the same seed, data and number of workers give the same model.
        checkpoint_seconds: About so much work is lost at most when a worker is; 0 saves after each step.
        max_restarts: How often the workers may fail, and go on from the last checkpoint.
        start_seconds: Within these all workers must run, image pulls included.
        timeout_seconds: Within these the training must end.
    """
    from pathlib import Path

    from sluice.steps.step import log_metrics, step

    with step("train_distributed", locals()):
        from sluice.components.train_distributed.run import check_settings, run

        result = run(splits, *check_settings(locals()))
        models.uri = result.bundle.uri
        models.metadata.update(result.bundle.metadata())
        Path(curves.path).write_text(result.page, encoding="utf-8")
        log_metrics(metrics, {f"{name} validation log loss": loss for name, loss in result.losses.items()})
    return str(result.bundle.uri)
