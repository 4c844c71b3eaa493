"""The installed definitions are those of the models, every field says what it means, and the failpoints kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.core.variable_groups.operating import OperatorVariables
from sluice.operator.custom_resources import definitions

CRDS = Path(__file__).parents[2] / "manifests/crds"
UNSAID = "modelservers"  # docs/values.md says what its fields mean


def test_the_definitions_are_made_of_the_models() -> None:
    for name, body in definitions().items():
        assert yaml.safe_load((CRDS / name).read_text()) == body, (
            "python -m sluice.operator.custom_resources manifests/crds"
        )


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema.get("properties", {}).items():
        yield f"{path}.{name}", part
        yield from fields(part, f"{path}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{path}[]")


@pytest.mark.parametrize("name", [name for name in definitions() if not name.startswith(UNSAID)])
def test_every_field_says_what_it_means(name: str) -> None:
    version = definitions()[name]["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    unsaid = [path for path, part in fields(spec) if not part.get("description")]
    assert not unsaid


@pytest.mark.parametrize(
    ("given", "passed", "code"), [("", 3, 0), ("loaded", 1, -signal.SIGKILL), ("loaded:3", 3, -signal.SIGKILL),
                                  ("loaded:4", 3, 0), ("after-results", 3, 0), ("anywhere", 1, 2)]
)  # fmt: skip
def test_failpoints_kill_where_they_are_told_to(given: str, passed: int, code: int) -> None:
    program = (
        "import sys\nfrom sluice.core.errors import BadInput\nfrom sluice.operator.failpoints import failpoint\n"
        f"try:\n    for _ in range({passed}): failpoint('loaded')\nexcept BadInput as error: sys.exit(error.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, OperatorVariables.failpoint.name: given}, check=False
    )
    assert done.returncode == code
