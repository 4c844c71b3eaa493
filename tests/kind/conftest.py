"""One kind cluster for the whole session, brought up by `make kind` as a user does.

It stays when it was there before, or with --keep-cluster. When a test fails, pods, events and logs are written to
.sluice/kind-failures/<test>.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sluice.storage.stores import Store, open_store
from tests.kind.cluster import ROOT, Cluster

UP_SECONDS = 3600  # hermetic images from an empty cache included
# The release first, then what fills KFP's cache for the tests after it, and last what breaks the platform.
ORDER = (
    "release",
    "images",
    "runs",
    "foreign_projects",
    "accounts",
    "network_policies",
    "sources",
    "login",
    "attacks",
    "distributed",
    "accelerators",
    "external_services",
    "runs_apart",
    "database_servers",
    "model_server",
    "operator",
    "platform_faults",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-cluster", action="store_true", help="leave the kind cluster when the tests end")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if item.path.parent.name == "kind"]
    rest = [item for item in items if item not in here]
    items[:] = rest + sorted(here, key=lambda item: ORDER.index(item.path.stem.removeprefix("test_")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    report = yield
    if report.failed and "cluster" in getattr(item, "funcargs", {}):
        folder = ROOT / ".sluice/kind-failures" / item.nodeid.split("::")[-1].replace("/", "-")
        cluster = item.funcargs["cluster"]
        cluster.explain(folder)
        report.sections.append(("Cluster", f"pods, events and logs are in {folder}"))
        if cluster.enforcement:
            with suppress(subprocess.SubprocessError):  # a node that stands still tells nothing
                lines = [f"{count} packets: {what}" for what, count in cluster.enforcement.dropped().most_common()]
                report.sections.append(("NetworkPolicies dropped so far", "\n".join(lines) or "nothing"))
    return report


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The release `sluice` on the cluster `sluice`."""
    if not shutil.which("docker"):
        pytest.skip("docker is not installed, so there is no kind cluster; install Docker Engine 24 or newer")
    there = Cluster.exists()
    if not there or os.environ.get("SLUICE_KIND_FRESH"):
        subprocess.run(["make", "kind"], cwd=ROOT, check=True, timeout=UP_SECONDS)
    found = Cluster()
    found.ready()
    found.enforce_network_policies()
    yield found
    if found.enforcement:
        found.enforcement.stop()
    if not there and not request.config.getoption("--keep-cluster"):
        subprocess.run(["make", "kind-down"], cwd=ROOT, check=True, timeout=300)


@pytest.fixture(scope="session")
def lake(cluster: Cluster, few_flights: Path) -> str:
    """Some flights, copied to the cluster's store by the command that users type; copied once."""
    cluster.sluice("lake", str(few_flights), "lakes/flights", "--cluster")
    return "lakes/flights"


@pytest.fixture
def store(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The cluster's store, reached from this machine."""
    for name, value in cluster.access().items():
        monkeypatch.setenv(name, value)
    return open_store("s3://sluice")


@pytest.fixture
def mlflow_client(cluster: Cluster, store: Store) -> Any:
    """A client of the cluster's MLflow with the steps' account."""
    from sluice.registry.mlflow_access import mlflow_module

    return mlflow_module().MlflowClient(tracking_uri=cluster.access()["MLFLOW_TRACKING_URI"])
