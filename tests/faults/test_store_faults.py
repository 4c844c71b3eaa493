"""An S3 server that is down, dies in the middle or comes back: named, nothing half-published, waited for a while."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sluice.artifacts.bundles import bundle_key, local_copy, open_bundle, publish
from sluice.artifacts.manifests import MANIFEST, Producer
from sluice.core.errors import EnvironmentFault
from sluice.storage.stores import open_store
from tests.conftest import MinioServer, NewMinio
from tests.faults.conftest import every_operation

pytestmark = pytest.mark.minio
PRODUCER = Producer("sample", {"seed": 1})


def a_folder(tmp_path: Path, files: int, size: int) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    for n in range(files):
        (folder / f"part-{n:03}").write_bytes(n.to_bytes(2, "big") * (size // 2))
    return folder


def test_a_server_that_is_down_is_named(
    s3: MinioServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port: Callable[[], int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    store, began = open_store("s3://lake/prefix"), time.monotonic()
    for name, operation in every_operation(store, tmp_path).items():
        with pytest.raises(EnvironmentFault) as caught:
            operation()
        assert f"{endpoint}, s3://lake/prefix" in str(caught.value), name
        assert "no answer in 4 tries ([Errno 111] Connection refused); check that it runs" in str(caught.value), name
    assert time.monotonic() - began < 20
    assert not (tmp_path / "target").exists()
    out, err = capfd.readouterr()
    assert out.splitlines() == ["[sluice] S3 did not take a PUT ([Errno 111] Connection refused); trying again"] * 3
    assert not err


def test_a_server_that_dies_in_the_middle_leaves_no_manifest(
    new_minio: NewMinio, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_minio().start()
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    bucket = server.bucket()
    store, folder = open_store(f"s3://{bucket}/store"), a_folder(tmp_path, files=80, size=400_000)

    def kill_once_something_stands() -> None:
        while not list(server.client().list_objects(bucket, recursive=True)):
            time.sleep(0.005)
        server.stop()

    killer = threading.Thread(target=kill_once_something_stands)
    killer.start()
    with pytest.raises(EnvironmentFault, match=rf"{server.endpoint}, s3://{bucket}/store/datasets/"):
        publish(store, folder, "dataset", PRODUCER)
    killer.join(timeout=30)

    server.start()
    stored = list(store.keys())
    assert 0 < len(stored) < 80
    assert not [key for key in stored if key.endswith(MANIFEST)]
    bundle = publish(store, folder, "dataset", PRODUCER)
    with local_copy(open_bundle(bundle.uri)) as place:
        assert len(list(place.iterdir())) == 80
    assert store.exists(f"{bundle_key('dataset', bundle.id)}/{MANIFEST}")


def test_a_server_that_comes_back_in_time_is_waited_for(
    new_minio: NewMinio,
    no_aws: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = new_minio().start()
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    store, folder = open_store(f"s3://{server.bucket()}"), a_folder(tmp_path, files=3, size=1000)
    server.stop()
    back = threading.Timer(1.0, server.launch)
    back.start()
    bundle = publish(store, folder, "dataset", PRODUCER)
    back.join(timeout=30)
    assert "trying again" in capfd.readouterr().out
    assert open_bundle(bundle.uri) == bundle
