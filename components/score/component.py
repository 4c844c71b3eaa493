"""The KFP face of score."""

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TORCH_IMAGE


@dsl.component(base_image=TORCH_IMAGE, install_kfp_package=False)
def score(
    forecasts: Output[Dataset],
    summary: Output[Markdown],
    dataset: str = "",
    model: str = "",
) -> str:
    """Forecasts all rows of a dataset by a registered model, into a dataset with lineage.

    Args:
        forecasts: The key of each row with its forecast.
        summary: Who forecast what, and what a person should know of it.
        dataset: The dataset of the step ingest whose rows are forecast: its address, its id or the id's beginning.
        model: The registered model: MODEL (its champion), MODEL@alias or MODEL/version.

    Returns:
        The content address of the forecasts.
    """
    from pathlib import Path

    from sluice.components.score.run import run
    from sluice.steps.step import step

    with step("score", locals()):
        bundle = run(model, dataset=dataset, summary=Path(summary.path))
        forecasts.uri = bundle.uri
        forecasts.metadata.update(bundle.metadata())
    return str(bundle.uri)
