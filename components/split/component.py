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
    gap: str = "",
    folds: int = 5,
    code: str = "",
) -> str:
    """Divides rows into those to train on, to validate on and to test on.

    Args:
        sampled: The address of rows with a learning task.
        splits: The tables train, validation and test.
        summary: Rows and label shares of each part.
        strategy: time, to learn from the past and test on the future; group, to keep all rows of a group in one part;
            stratified, to keep label shares equal; random; folds, to judge each row of a small table by models fitted
            without it; or FILE.py:NAME of a project.
        shares: Shares of the rows for training, validation and test; they add up to 1.
        seed: Decides all that is random; a split by time does not use it.
        gap: How long before validation and before test begin rows are left out of a split by time, such as 30d; empty
            for as long as the label takes to be known, 0s for none.
        folds: How many folds there are, where rows are divided into folds.
        code: The address of the project's code, code/<sha256>.zip, where a splitter of it divides the rows.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.split.run import run
    from sluice.steps.step import step

    with step("split", locals()):
        bundle = run(
            sampled,
            strategy=strategy,
            shares=shares,
            seed=seed,
            gap=gap,
            folds=folds,
            code=code,
            summary=Path(summary.path),
        )
        splits.uri = bundle.uri
        splits.metadata.update(bundle.metadata())
    return str(bundle.uri)
