"""KFP component: join validated tables, build the label, refuse leaking features."""

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def prepare(
    validated: str,
    prepared: Output[Dataset],
    summary: Output[Markdown],
    recipe: str = "flights_late",
    features: list[str] = [],
) -> str:
    """Joins validated tables into labelled rows, and refuses features that are known too late.

    Args:
        validated: The address of tables that passed their contract.
        prepared: One table of rows with the learning task.
        summary: What was built, left out and masked.
        recipe: How the tables become rows.
        features: Columns of the recipe to learn from; empty for the recipe's own choice.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.prepare.run import run
    from sluice.steps.step import step

    with step("prepare", locals()):
        bundle = run(validated, recipe=recipe, features=features, summary=Path(summary.path))
        prepared.uri = bundle.uri
        prepared.metadata.update(bundle.metadata())
    return str(bundle.uri)
