"""Fixtures of the chart's tests: each way of rendering it, and schemas for kubeconform."""

from pathlib import Path

import pytest

from tests.charts.api_server import programs
from tests.charts.rendering import CASES, SETTINGS, Manifest, case
from tests.charts.schemas import NoSchemas, kubernetes_schemas, write_crds

# An API server takes half an hour to build: these run where `make kind HERMETIC=1` has built it, or KUBEBUILDER_ASSETS
# names it. The same attacks are made on a cluster by tests/kind/test_attacks.py, which CI always runs.
collect_ignore = (
    []
    if all(programs("etcd", "kube-apiserver", "kubectl"))
    else ["test_admission_server.py", "test_runs_apart_server.py", "test_operator_queues_server.py"]
)


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
