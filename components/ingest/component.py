"""The KFP face of ingest."""

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def ingest(tables: Output[Dataset], summary: Output[Markdown], lake: str = "") -> str:
    """Reads a lake's tables (SQL, CSV, JSON) as its data contract describes them, into one checksummed dataset.

    Args:
        tables: One dataset with all tables of the contract.
        summary: What was read from where.
        lake: Where the lake is: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.ingest.run import run
    from sluice.steps.step import step

    with step("ingest", locals()):
        bundle = run(lake, summary=Path(summary.path))
        tables.uri = bundle.uri
        tables.metadata.update(bundle.metadata())
    return str(bundle.uri)
