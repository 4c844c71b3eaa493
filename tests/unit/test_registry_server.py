"""A registry that is asked without MLflow's client gives what that client gives, and refuses in our words."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sluice.core.errors import BadInput, TrackingFault
from sluice.modeling.model_digests import DIGEST, model_digest
from sluice.registry import mlflow_access, versions
from sluice.registry.registry_server import RegistryRefusal, RegistryServer
from tests.unit.test_register_server import server

__all__ = ["server"]  # a fixture of that module
MODEL = "late"
DESCRIBED = "flavors:\n  python_function:\n    data: data\n"
WITHOUT_MLFLOW = """
import sys
from sluice.registry import mlflow_access, versions
mlflow_access.ask_servers_directly()
with versions.version_files(versions.version_by_alias("late", "champion")) as folder:
    print(sorted(path.name for path in folder.iterdir()), "mlflow" in sys.modules)
"""


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mlflow_access, "_directly", threading.Event())
    mlflow_access.ask_servers_directly()
    yield
    mlflow_access._server.cache_clear()


@pytest.fixture
def registered(server: "subprocess.Popen[bytes]", tmp_path: Path) -> MlflowClient:
    """A model of two versions, the first one's files with a digest, on a real server."""
    client = mlflow_access.mlflow_module().MlflowClient()
    files = tmp_path / "files"
    (files / "data/deep er").mkdir(parents=True)
    (files / "MLmodel").write_text(DESCRIBED)
    (files / "data/model.json").write_text("{}")
    (files / "data/deep er/ünïcode.txt").write_text("x" * 3_000_000)
    run = client.create_run(client.create_experiment("made"))
    client.log_artifacts(run.info.run_id, str(files), "model")
    client.create_registered_model(MODEL, tags={"kind": "of its own"})
    tags = {DIGEST: model_digest(files / "data"), "note": "ä = b"}
    source = f"{run.info.artifact_uri}/model"
    client.create_model_version(MODEL, source, run.info.run_id, tags)
    client.create_model_version(MODEL, source, run.info.run_id)
    client.set_registered_model_alias(MODEL, "champion", "1")
    return client


def test_what_is_read_and_written_is_what_mlflows_client_says(
    registered: MlflowClient, tmp_path: Path, directly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow_access.registry_client()
    assert isinstance(client, RegistryServer)
    theirs, ours = registered.get_registered_model(MODEL), client.get_registered_model(MODEL)
    assert (ours.name, ours.aliases, ours.tags) == (theirs.name, {"champion": "1"}, theirs.tags)
    assert [each.name for each in client.search_registered_models()] == [MODEL]
    one, found = registered.get_model_version(MODEL, "1"), client.get_model_version(MODEL, "1")
    for name in ("name", "version", "tags", "run_id", "creation_timestamp"):
        assert str(getattr(found, name)) == str(getattr(one, name)), name
    assert {each.version for each in client.search_model_versions(f"name = '{MODEL}'")} == {"1", "2"}

    versions.set_alias(MODEL, "champion", "2")
    versions.set_model_tag(MODEL, "sluice.told", 'a "word"\n')
    assert registered.get_model_version_by_alias(MODEL, "champion").version == "2"
    assert registered.get_registered_model(MODEL).tags["sluice.told"] == 'a "word"\n'
    assert versions.registry_entry(MODEL) == versions.Entry(
        {"champion": "2"}, {"kind": "of its own", "sluice.told": 'a "word"\n'}
    )
    versions.remove_model_tag(MODEL, "sluice.told")
    versions.remove_alias(MODEL, "champion")
    assert registered.get_registered_model(MODEL).aliases == {}
    with_files = versions.version_by_number(MODEL, "1")
    assert with_files is not None
    with versions.version_files(with_files) as folder:
        assert (folder / "deep er/ünïcode.txt").stat().st_size == 3_000_000
    second = versions.version_by_number(MODEL, "2")
    assert second is not None
    versions.remove_version(second)
    assert [each.version for each in registered.search_model_versions(f"name = '{MODEL}'")] == ["1"]
    assert (versions.registry_entry("nobody"), versions.version_by_number(MODEL, "7")) == (None, None)
    with pytest.raises(RegistryRefusal) as refused:
        client.get_registered_model("nobody")
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"

    registered.set_registered_model_alias(MODEL, "champion", "1")
    done = subprocess.run([sys.executable, "-c", WITHOUT_MLFLOW], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "['deep er', 'model.json'] False\n"), done.stderr
    (folder_of_source,) = tmp_path.glob("server/artifacts/*/*/artifacts/model")
    (folder_of_source / "data/model.json").write_text("{ }")
    with pytest.raises(BadInput, match="digest"), versions.version_files(with_files):
        pass
    (folder_of_source / "MLmodel").write_text("flavors: []")
    with pytest.raises(BadInput, match="MLmodel was removed or changed"), versions.version_files(with_files):
        pass


class Breaks(BaseHTTPRequestHandler):
    """Says where the files of a version are, and ends in the midst of one."""

    def do_GET(self) -> None:
        answers = {
            "get-download-uri": {"artifact_uri": "mlflow-artifacts:/m"},
            "artifacts?": {"files": [{"path": "x"}]},
        }
        found = next((body for part, body in answers.items() if part in self.path), None)
        data = json.dumps(found).encode() if found else b"half"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (0 if found else 4)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def test_a_file_that_ends_in_its_midst_is_told_in_a_line(
    tracked_home: Path, tmp_path: Path, directly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking = ThreadingHTTPServer(("127.0.0.1", 0), Breaks)
    threading.Thread(target=breaking.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{breaking.server_port}")
    version = versions.Version(MODEL, "1", "d", (), {}, "", 0)
    try:
        with pytest.raises(TrackingFault, match=r"failed: .*4 more expected"), versions.version_files(version):
            pass
    finally:
        breaking.shutdown()
        breaking.server_close()


def test_a_server_that_is_away_is_told_in_a_line(
    tracked_home: Path, directly: None, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:s3cret@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for ask in (lambda: versions.registry_entry(MODEL), lambda: versions.set_alias(MODEL, "champion", "1")):
        with pytest.raises(TrackingFault, match=r"MLflow at http://127\.0\.0\.1:\d+ failed: .*refused") as told:
            ask()
        assert "s3cret" not in str(told.value)
