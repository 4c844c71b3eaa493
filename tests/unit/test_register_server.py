"""Register through a real MLflow server, as on a cluster: over HTTP, artifacts through the server's proxy."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice.core.errors import EnvironmentFault
from sluice.registry.promotions import promotions
from sluice.registry.versions import CHALLENGER, CHAMPION, version_by_alias, version_files, versions
from sluice.storage.locations import default_store
from tests.unit import small_world
from tests.unit.test_register import Pipeline

START_SECONDS = 90.0


@pytest.fixture
def server(
    tracked_home: Path, tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a free loopback port, its database a copy of the empty one."""
    port, place = free_port(), tmp_path / "server"
    place.mkdir()
    (tracked_home / "mlflow.db").rename(place / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{place}/mlflow.db",
        "--artifacts-destination",
        str(place / "artifacts"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | quiet, stdout=log, stderr=log, cwd=place)
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not healthy(address):
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.long  # every run on kind registers over HTTP
def test_a_model_is_registered_compared_and_replaced_over_http(
    server: subprocess.Popen[bytes], tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(small_world.splits(), tmp_path / "work")
    assert pipeline(small_world.WORSE).version.aliases == (CHALLENGER, CHAMPION)
    assert pipeline(small_world.WORSE).record.decision == "unchanged"
    better = pipeline(small_world.GOOD)
    assert (better.record.decision, better.record.replaced) == ("promoted", "1")
    with version_files(better.version) as folder:
        assert (folder / "model.json").is_file()
    assert version_by_alias("late", "nobody") is None
    assert [version.version for version in versions("late")] == ["1", "2"]
    assert not (tracked_home / "mlartifacts").exists()

    # As the operator makes an earlier version champion: without MLflow's client.
    command = [sys.executable, "-m", "sluice.operator.on_cluster.registry_work", "late/1", ""]
    done = subprocess.run(command, input="it was better", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    champion = version_by_alias("late", CHAMPION)
    assert champion is not None
    assert champion.version == "1"
    assert (last := promotions(default_store(), "late")[-1]).decision == "restored", last

    models, evaluation = pipeline.evaluated(small_world.WORSE)
    server.terminate()
    server.wait(timeout=30)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with pytest.raises(EnvironmentFault, match=r"MLflow at http://127\.0\.0\.1:\d+ failed: .*refused"):
        pipeline.register(models, evaluation)
    assert len(promotions(default_store(), "late")) == 4
