"""Our images: their lists of packages are CycloneDX and as locked; a signature holds for one digest and one key."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from tests.kind.cluster import ROOT, Cluster

sys.path.insert(0, str(ROOT / "platform/images"))

import build  # noqa: E402
import sbom  # noqa: E402
import sign  # noqa: E402


@pytest.mark.parametrize("image", build.IMAGES)
def test_an_image_lists_exactly_the_locked_packages(cluster: Cluster, image: str) -> None:
    repository, _, tag = cluster.step_image().rpartition(":")
    told = sbom.ask(f"{repository.rpartition('/')[0]}/{build.IMAGES[image]}:{tag}")
    assert sbom.invalid(told.text) == ""
    assert sbom.faults(image, told) == []
    assert len(told.listed) > len(told.base)
