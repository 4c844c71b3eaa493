"""KFP component: join the steps' pages to one report."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def report(
    quality: Input[HTML],
    curves: Input[HTML],
    evaluation: Input[HTML],
    result: Input[Artifact],
    report: Output[HTML],
) -> None:
    """Joins the steps' pages to one self-contained report, with the verdict first and the lineage drawn as a graph.

    Args:
        quality: The page about the data.
        curves: The page about training.
        evaluation: The page about the candidates and the gate.
        result: What register decided.
        report: The whole story on one page.
    """
    from pathlib import Path

    from sluice.components.report.run import run
    from sluice.steps.step import step

    with step("report", locals()):
        pages = [Path(page.path) for page in (quality, curves, evaluation)]
        run(pages, Path(result.path), Path(report.path))
