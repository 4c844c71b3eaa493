"""KFP component: read a lake of images."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def ingest_images(images: Output[Dataset], page: Output[HTML], lake: str = "", task: dict[str, Any] = {}) -> str:
    """Reads PNG files and the metadata that names them, and checks every image.

    Args:
        images: One table of images, ordered by id, with the learning task.
        page: Images by class, and examples of each.
        lake: Where the images are, as a key of the store, a path that starts with ./ or /, or s3://bucket/prefix.
        task: The question and its label, as a project declares them.

    Returns:
        The dataset's content address.
    """
    from pathlib import Path

    from sluice.components.ingest_images.run import run
    from sluice.steps.step import step

    with step("ingest_images", locals()):
        read = run(lake, task, Path(page.path))
        images.uri = read.bundle.uri
        images.metadata.update(read.bundle.metadata())
    return str(read.bundle.uri)
