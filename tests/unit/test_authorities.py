"""Whom connections trust: the system's authorities and a release's own, never one instead of the other."""

import ipaddress
import os
import ssl
from pathlib import Path

import certifi
import pytest
from cryptography import x509

from sluice.core.authorities import tls_context, trust_in_requests
from sluice.core.errors import BadInput
from sluice.core.variable_groups.system import SystemVariables
from tests.certificates import self_signed


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SystemVariables.bundles.names, "SLUICE_CA_FILE"):
        monkeypatch.setenv(name, "")  # so that what a test sets goes with it


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_bytes(self_signed(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))[1])
    return file


def test_ours_is_trusted_beside_the_system_s(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())  # this system's own may be none
    before = tls_context().cert_store_stats()["x509"]
    monkeypatch.setenv("SLUICE_CA_FILE", str(authority))
    assert before > 50
    assert tls_context().cert_store_stats()["x509"] == before + 1


def test_requests_finds_both_in_one_file(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust_in_requests()
    assert not os.environ[SystemVariables.bundles.name], "nothing is named"
    monkeypatch.setenv("SLUICE_CA_FILE", str(authority))
    trust_in_requests()
    found, known = (
        ssl.create_default_context(cafile=file).cert_store_stats()["x509"]
        for file in (os.environ[SystemVariables.bundles.name], certifi.where())
    )
    assert found == known + 1


def test_a_bundle_that_the_user_named_is_left_alone(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_CA_FILE", str(authority))
    monkeypatch.setenv("CURL_CA_BUNDLE", "/mine.pem")
    trust_in_requests()
    assert not os.environ[SystemVariables.bundles.name]


@pytest.mark.parametrize(
    ("content", "why"), [(b"no certificate", "holds no certificate in PEM"), (None, "No such file or directory")]
)
def test_a_file_of_no_use_is_named(
    content: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ca.crt"
    if content:
        file.write_bytes(content)
    monkeypatch.setenv("SLUICE_CA_FILE", str(file))
    for look in (tls_context, trust_in_requests):
        with pytest.raises(BadInput, match=f"^SLUICE_CA_FILE=.*{why}; name a file"):
            look()
