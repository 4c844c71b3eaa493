"""The images that steps run in; SLUICE_IMAGES names a cluster's own place for them when a pipeline is compiled."""

import os

_PREFIX = os.environ.get("SLUICE_IMAGES", "sluice")
_TAG = os.environ.get("SLUICE_IMAGE_TAG", "0.1.0")

TABULAR_IMAGE = f"{_PREFIX}/python-tabular:{_TAG}"
TORCH_IMAGE = f"{_PREFIX}/python-torch:{_TAG}"
