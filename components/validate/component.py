"""The KFP face of validate."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Metrics, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def validate(
    tables: str,
    validated: Output[Dataset],
    quality: Output[HTML],
    findings: Output[Artifact],
    metrics: Output[Metrics],
    as_of: str = "",
) -> str:
    """Holds a lake's tables to their data contract and closes the gate when they break it.

    Args:
        tables: The address of the tables that ingest read.
        validated: The same dataset, once it has passed the gate.
        quality: A page that shows what was found.
        findings: The findings as JSON.
        metrics: Rows by table, and the number of errors and warnings.
        as_of: The day that counts as today for the freshness check (YYYY-MM-DD); empty skips the check.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.validate.run import validate_tables
    from sluice.steps.step import log_metrics, step

    with step("validate", locals()):
        verdict = validate_tables(tables, as_of, Path(quality.path), Path(findings.path))
        log_metrics(metrics, verdict.metrics())
        verdict.open_gate()
        validated.uri = verdict.bundle.uri
        validated.metadata.update(verdict.bundle.metadata())
    return str(verdict.bundle.uri)
