"""The address of a database reaches the step that ingests, and no other pod of a run.

No image here has a driver of a database server, so a server that is named by one shows that its address has arrived.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from kfp import dsl

from sluice.cluster.step_environment import use_stores
from sluice.components.ingest import component
from sluice.storage.stores import Store
from tests.kind.cluster import Cluster
from tests.kind.test_attacks import said_by

SECRET, VARIABLE = "sales-database", "SLUICE_SOURCE_SALES"  # values-kind.yaml names both
URL = "nowhere+driver://reader:hunter2@db.example.org/sales"
CONTRACT = """
name: sales
license: CC0-1.0
tables:
  sales:
    source: {sql: "${SLUICE_SOURCE_SALES}", table: sales}
    key: [id]
    columns:
      id: {type: int64, description: Number of the sale.}
"""


@pytest.fixture
def address(cluster: Cluster) -> Iterator[None]:
    data = {"url": base64.b64encode(URL.encode()).decode()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": data}
    cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(body))
    yield
    cluster.kubectl("delete", "secret", SECRET)


def ended(cluster: Cluster, pipeline: Any) -> tuple[str, str]:
    """What the workflow and the steps of a failed run say."""
    run = str(cluster.kfp.create_run_from_pipeline_func(pipeline, enable_caching=False).run_id)
    assert cluster.wait(run, 300) == "FAILED"
    return said_by(cluster, run), cluster.run_logs(run)


def test_the_step_that_ingests_has_it_and_no_other(
    cluster: Cluster, store: Store, address: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("lakes/sales/contract.yaml", CONTRACT.encode())
    image = cluster.step_image()
    monkeypatch.setattr(component.ingest.component_spec.implementation.container, "image", image)

    @dsl.component(base_image=image, install_kfp_package=False)
    def look() -> None:
        import os

        print("SEEN", [name for name in os.environ if name.startswith("SLUICE_SOURCE_")])

    @dsl.pipeline(name="sales")
    def sales() -> None:
        seen = look().set_caching_options(False)
        use_stores(component.ingest(lake="lakes/sales").set_caching_options(False).after(seen))

    said, logs = ended(cluster, sales)
    assert "database ${SLUICE_SOURCE_SALES}: no driver for" in said, said + logs
    assert "hunter2" not in said + logs
    assert "SEEN []" in logs


def test_a_step_that_only_says_that_it_ingests_gets_none(cluster: Cluster, address: None) -> None:
    """The chart lays the variable over it, and the policy looks what it runs."""

    @dsl.component(base_image=cluster.step_image(), install_kfp_package=False)
    def ingest() -> None:
        import os

        import sluice.components.ingest.run

        print(sluice.components.ingest.run, os.environ["SLUICE_SOURCE_SALES"])

    @dsl.pipeline(name="attack-sales")
    def attacked() -> None:
        use_stores(ingest().set_caching_options(False))

    said, logs = ended(cluster, attacked)
    assert "the Secret sales-database" in said, said + logs
    assert "hunter2" not in said + logs
