"""KFP component: join validated tables, build the label, refuse leaking features."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def prepare(
    validated: str,
    prepared: Output[Dataset],
    summary: Output[Markdown],
    task: dict[str, Any] = {},
    code: str = "",
) -> str:
    """Joins validated tables into labelled rows, and refuses features that are known too late.

    Args:
        validated: The address of tables that passed their contract.
        prepared: One table of rows with the learning task.
        summary: What was built, left out and masked.
        task: The question, its rows, label and features, as a project declares them.
        code: The address of the project's code, code/<sha256>.zip, where it prepares the rows or has the problem.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.prepare.run import run
    from sluice.steps.step import step

    with step("prepare", locals()):
        bundle = run(validated, task=task, code=code, summary=Path(summary.path))
        prepared.uri = bundle.uri
        prepared.metadata.update(bundle.metadata())
    return str(bundle.uri)
