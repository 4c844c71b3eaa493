"""KFP component: draw a seeded random sample."""

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def sample(
    prepared: str,
    sampled: Output[Dataset],
    summary: Output[Markdown],
    fraction: float = 1.0,
    rows: int = 0,
    strata: list[str] = [],
    allocation: str = "proportional",
    by: str = "",
    code: str = "",
    seed: int = 42,
) -> str:
    """Draws a seeded random sample, stratified or simple, that is the same on every engine.

    Args:
        prepared: The address of rows with a learning task.
        sampled: The rows drawn, with their weights and the sampling design.
        summary: The design, stratum by stratum.
        fraction: The part of the rows to draw, above 0 and at most 1.
        rows: How many rows to draw; 0 to go by the fraction.
        strata: Columns whose combinations are sampled each for itself; empty for a simple random sample.
        allocation: How rows are divided over the strata, proportional or equal.
        by: A sampler that says with which probability each row is drawn, a name or file.py:name of a project; empty for
            strata.
        code: The address of the project's code, code/<sha256>.zip, where a sampler of it is named.
        seed: Any integer; the same seed draws the same rows.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.sample.run import run
    from sluice.steps.step import step

    with step("sample", locals()):
        bundle = run(
            prepared,
            fraction=fraction,
            rows=rows,
            strata=strata,
            allocation=allocation,
            by=by,
            code=code,
            seed=seed,
            summary=Path(summary.path),
        )
        sampled.uri = bundle.uri
        sampled.metadata.update(bundle.metadata())
    return str(bundle.uri)
