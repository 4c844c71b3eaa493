"""Fixtures of the chart's tests: each way of rendering it, and schemas for kubeconform."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.charts.api_server import ApiServer, programs, running
from tests.charts.kfp_stand_in import StandIn, standing_in
from tests.charts.operator_process import empty_registry
from tests.charts.rendering import CASES, SETTINGS, Manifest, case
from tests.charts.schemas import NoSchemas, kubernetes_schemas, write_crds

# An API server takes half an hour to build: these run where `make kind HERMETIC=1` has built it, or KUBEBUILDER_ASSETS
# names it. The same attacks are made on a cluster by tests/kind/test_attacks.py, which CI always runs.
collect_ignore_glob = (
    [] if all(programs("etcd", "kube-apiserver", "kubectl")) else ["test_*_server.py", "test_run_gateway_api.py"]
)


@pytest.fixture(params=[*CASES, *SETTINGS])
def rendered(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """The chart's objects, rendered in each of the ways that people use it."""
    return case(request.param)


@pytest.fixture(scope="session")
def operator_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A Kubernetes API server with the operator's definitions; tests of the group `api_server` share it."""
    paths = sorted((Path(__file__).parents[2] / "manifests/crds").glob("*.sluice.dev.yaml"))
    definitions = [yaml.safe_load(path.read_text()) for path in paths]
    with running(tmp_path_factory.mktemp("operator-api")) as server:
        server.apply(definitions)
        names = [f"crd/{each['metadata']['name']}" for each in definitions]
        done = server.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        assert done.returncode == 0, done.stderr
        yield server


@pytest.fixture
def kfp() -> Iterator[StandIn]:
    with standing_in() as found:
        yield found


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with no model in it: copied by who works on it."""
    return empty_registry(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="session")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of JSON schemas: Kubernetes' and ours."""
    try:
        own = tmp_path_factory.mktemp("crd-schemas")
        write_crds(own)
        return [kubernetes_schemas(), own]
    except NoSchemas as reason:
        pytest.skip(str(reason))
