"""A network that hangs, breaks off, loses or changes what passes, and one that another may listen to."""

import ipaddress
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.storage import object_store, s3_connection, services
from sluice.storage.stores import open_store
from tests.certificates import self_signed
from tests.conftest import MinioServer, NewMinio
from tests.faults.conftest import Proxy, every_operation

pytestmark = pytest.mark.minio


def test_what_is_corrupted_on_the_way_up_is_not_stored(s3: MinioServer, proxied: Proxy, tmp_path: Path) -> None:
    bucket, mark = s3.bucket(), b"a mark in the content"
    proxied.upward = lambda block: block.replace(mark, mark[::-1])
    store = open_store(f"s3://{bucket}")
    source = tmp_path / "source"
    source.write_bytes(mark + b"." * 9_000_000)
    for operation in (
        lambda: store.put_bytes("k", mark),
        lambda: store.put_if_absent("k", mark),
        lambda: store.put_file("k", source),
    ):
        with pytest.raises(EnvironmentFault, match=rf"s3://{bucket}/k: \w+"):
            operation()
    assert list(store.keys()) == []


def test_a_download_that_breaks_off_is_fetched_anew(
    s3: MinioServer, proxied: Proxy, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content, passed = bytes(range(256)) * 20_000, []

    def cut_twice(block: bytes) -> bytes | None:
        passed.append(len(block))
        return None if len(passed) in (20, 45) else block

    store = open_store(f"s3://{s3.bucket()}")
    store.put_bytes("k", content)
    proxied.downward = cut_twice
    store.get_file("k", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content
    assert capfd.readouterr().out.count("S3 broke off k") == 2


def test_a_download_that_always_breaks_off_is_given_up(
    s3: MinioServer, proxied: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PAUSES", (0, 0, 0))
    store = open_store(f"s3://{s3.bucket()}")
    store.put_bytes("k", bytes(3_000_000))
    proxied.downward = lambda block: block if block.startswith(b"HTTP/1.1 200") else None
    with pytest.raises(EnvironmentFault, match=r"s3://.*/k: no answer in 4 tries"):
        store.get_file("k", tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_lost_on_the_way_still_counts_as_ours(s3: MinioServer, proxied: Proxy) -> None:
    lost: list[bytes] = []

    def lose_the_first(block: bytes) -> bytes | None:
        lost.append(block)
        return None if len(lost) == 1 else block

    store = open_store(f"s3://{s3.bucket()}")
    proxied.downward = lose_the_first
    assert store.put_if_absent("k", b"mine")
    proxied.downward = bytes
    assert not store.put_if_absent("k", b"mine")
    assert lost[0].startswith(b"HTTP/1.1 200")


def test_a_server_that_never_answers_is_given_up(
    s3: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setattr(services, "QUICK_SECONDS", 0.3)
        began = time.monotonic()
        with pytest.raises(EnvironmentFault, match=r"no answer in 4 tries \(Read timed out"):
            open_store("s3://lake").get_bytes("k")
        assert 6 < time.monotonic() - began < 12


class Stop(BaseException):
    """What a signal's handler raises here."""


@pytest.fixture
def alarm() -> Iterator[Callable[[float], None]]:
    """Sends this process a signal after some seconds, whose handler raises Stop."""

    def handler(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGALRM, handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_ends_the_wait_for_a_server_that_hangs(
    s3: MinioServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alarm: Callable[[float], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = open_store("s3://lake")
        for name, operation in every_operation(store, tmp_path).items():
            alarm(0.3)
            began = time.monotonic()
            with pytest.raises(Stop):
                operation()
            assert time.monotonic() - began < 3, name


def test_an_upload_that_a_signal_ends_leaves_nothing(
    s3: MinioServer, proxied: Proxy, tmp_path: Path, alarm: Callable[[float], None]
) -> None:
    bucket, passed = s3.bucket(), []

    def slow(block: bytes) -> bytes:
        passed.append(len(block))
        if sum(passed) > 12_000_000:
            time.sleep(0.05)
        return block

    source = tmp_path / "source"
    source.write_bytes(bytes(60_000_000))
    proxied.upward = slow
    store = open_store(f"s3://{bucket}")
    alarm(1.0)
    with pytest.raises(Stop):
        store.put_file("k", source)
    proxied.upward = bytes
    assert sum(passed) > 12_000_000, "it was on its way"
    assert not store.exists("k")
    deadline = time.monotonic() + 30
    while s3.client()._list_multipart_uploads(bucket, prefix="k").uploads:
        assert time.monotonic() < deadline, "its parts are left"
        time.sleep(0.1)
    store.put_file("k", source)
    assert store.get_bytes("k") == source.read_bytes()


def test_a_server_that_speaks_no_tls_is_told(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint.replace("http:", "https:"))
    monkeypatch.setenv("SLUICE_STORE_TRIES", "1")
    with pytest.raises(EnvironmentFault, match=r"TLS failed \(no TLS is spoken there"):
        open_store("s3://lake").get_bytes("k")


def test_a_host_without_an_address_is_told(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    monkeypatch.setenv("SLUICE_STORE_TRIES", "1")
    with pytest.raises(EnvironmentFault, match=r"no answer in 1 tries \(the host's name is not known\); check that it"):
        open_store("s3://lake").get_bytes("k")


def test_the_world_is_asked_through_a_proxy_and_this_machine_is_not(
    s3: MinioServer, proxied: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    through: list[bytes] = []
    proxied.upward = lambda block: through.append(block) or block  # type: ignore[func-returns-value]
    bucket = s3.bucket()
    monkeypatch.setenv("HTTP_PROXY", proxied.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    open_store(f"s3://{bucket}").put_bytes("k", b"x")
    assert not through, "this machine"
    monkeypatch.setenv("SLUICE_STORE_TRIES", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid:9000")
    assert open_store(f"s3://{bucket}").get_bytes("k") == b"x", "MinIO stands behind the proxy"
    assert through[0].startswith(f"GET http://store.invalid:9000/{bucket}/k HTTP/1.1".encode())
    monkeypatch.setenv("NO_PROXY", "store.invalid")
    with pytest.raises(EnvironmentFault, match="the host's name is not known"):
        open_store(f"s3://{bucket}").get_bytes("k")


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with a key and a certificate for 127.0.0.1 that vouches for itself, as MinIO wants them."""
    key, certificate = self_signed(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "private.key").write_bytes(key)
    (folder / "public.crt").write_bytes(certificate)
    return folder


@pytest.mark.parametrize("variable", ["SLUICE_CA_FILE", "SSL_CERT_FILE"])
def test_tls_trusts_the_authority_that_is_named_and_no_other(
    new_minio: NewMinio, certificates: Path, no_aws: None, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    server = new_minio(certificates).start()
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EnvironmentFault, match=r"TLS failed \(.*self-signed certificate.*SLUICE_CA_FILE"):
        open_store("s3://lake").get_bytes("k")
    monkeypatch.setenv(variable, str(certificates / "public.crt"))
    with pytest.raises(BadInput, match="has no bucket 'lake'"):
        open_store("s3://lake").get_bytes("k")
    s3_connection.Connection.from_environment().client().make_bucket("lake")
    assert open_store("s3://lake").put_if_absent("k", b"x")
    assert open_store("s3://lake").get_bytes("k") == b"x"
