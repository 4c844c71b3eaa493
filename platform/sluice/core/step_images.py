"""The images that steps run in, as written into pipelines when they are compiled.

SLUICE_TABULAR_IMAGE and SLUICE_TORCH_IMAGE name each one whole, with tag or digest, as a chart knows them; without them
SLUICE_IMAGES says where both are, and SLUICE_IMAGE_TAG which.
"""

from collections.abc import Mapping

from sluice.core.environment import variables

TABULAR, TORCH = "SLUICE_TABULAR_IMAGE", "SLUICE_TORCH_IMAGE"


def step_images(settings: Mapping[str, str]) -> dict[str, str]:
    """The references of the two images, by the name of their variable.

    Args:
        settings: Environment variables, or a cluster's settings of the same names.
    """
    prefix, tag = settings.get("SLUICE_IMAGES") or "sluice", settings.get("SLUICE_IMAGE_TAG") or "0.1.0"
    return {
        TABULAR: settings.get(TABULAR) or f"{prefix}/python-tabular:{tag}",
        TORCH: settings.get(TORCH) or f"{prefix}/python-torch:{tag}",
    }


_HERE = step_images(variables())
TABULAR_IMAGE = _HERE[TABULAR]
TORCH_IMAGE = _HERE[TORCH]
