"""Fixtures of the chart's tests: each way of rendering it, and schemas for kubeconform."""

from pathlib import Path

import pytest

from tests.charts.rendering import CASES, SETTINGS, Manifest, case
from tests.charts.schemas import NoSchemas, kubernetes_schemas, write_crds


@pytest.fixture(params=[*CASES, *SETTINGS])
def rendered(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """The chart's objects, rendered in each of the ways that people use it."""
    return case(request.param)


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of JSON schemas: Kubernetes' and ours."""
    try:
        own = tmp_path_factory.mktemp("crd-schemas")
        write_crds(own)
        return [kubernetes_schemas(), own]
    except NoSchemas as reason:
        pytest.skip(str(reason))
