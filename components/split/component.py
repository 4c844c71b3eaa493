"""KFP component: divide rows into train, validation and test."""

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def split(
    sampled: str,
    splits: Output[Dataset],
    summary: Output[Markdown],
    strategy: str = "time",
    shares: list[float] = [0.7, 0.15, 0.15],
    seed: int = 42,
) -> str:
    """Divides rows into those to train on, to validate on and to test on.

    Args:
        sampled: The address of rows with a learning task.
        splits: The tables train, validation and test.
        summary: Rows and label shares of each part.
        strategy: Either time, to learn from the past and test on the future, or stratified, to keep label shares equal.
        shares: Shares of the rows for training, validation and test; they add up to 1.
        seed: Decides a stratified split; a split by time does not use it.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.split.run import run
    from sluice.steps.step import step

    with step("split", locals()):
        bundle = run(sampled, strategy=strategy, shares=shares, seed=seed, summary=Path(summary.path))
        splits.uri = bundle.uri
        splits.metadata.update(bundle.metadata())
    return str(bundle.uri)
