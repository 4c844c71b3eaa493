"""The images that steps run in, as written into pipelines when they are compiled.

SLUICE_TABULAR_IMAGE and SLUICE_TORCH_IMAGE name each one whole, with tag or digest, as a chart knows them; without them
SLUICE_IMAGES says where both are, and SLUICE_IMAGE_TAG which.
"""

from sluice.core.variable_groups.cluster import ImageVariables

TABULAR, TORCH = ImageVariables.tabular.name, ImageVariables.torch.name


def step_images(images: ImageVariables) -> dict[str, str]:
    """The references of the two images, by the name of their variable.

    Args:
        images: Of this process, or of a cluster's settings.
    """
    return {
        TABULAR: images.tabular or f"{images.place}/python-tabular:{images.tag}",
        TORCH: images.torch or f"{images.place}/python-torch:{images.tag}",
    }


_HERE = step_images(ImageVariables.now())
TABULAR_IMAGE = _HERE[TABULAR]
TORCH_IMAGE = _HERE[TORCH]
