"""The KFP face of ingest."""

from typing import Any

from kfp import dsl
from kfp.dsl import Dataset, Markdown, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def ingest(
    tables: Output[Dataset],
    summary: Output[Markdown],
    lake: str = "",
    sources: dict[str, Any] = {},
    code: str = "",
) -> str:
    """Reads a lake's tables as its data contract describes them, into one checksummed dataset.

    Args:
        tables: One dataset with all tables of the contract.
        summary: What was read from where.
        lake: Where the lake is: a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        sources: By the names that the contract has for them, sources of a project (file.py:name) or of a package.
        code: The address of the project's code, code/<sha256>.zip, where a source is in it.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.ingest.run import run
    from sluice.steps.step import step

    with step("ingest", locals()):
        bundle = run(lake, summary=Path(summary.path), sources=sources, code=code)
        tables.uri = bundle.uri
        tables.metadata.update(bundle.metadata())
    return str(bundle.uri)
