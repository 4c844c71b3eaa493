"""Our images: their lists of packages are CycloneDX and as locked; a signature holds for one digest and one key."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts.rendering import program
from tests.conftest import free_port
from tests.image_programs import build, sbom
from tests.kind.cluster import ROOT, Cluster

# One program writes all lists, and to validate one of hundreds of packages takes half a minute.
VALIDATED = set(build.IMAGES) if os.environ.get("SLUICE_LONG") == "1" else {"model-server"}
PREFIX, TAG = "sluice-signing-test", "t"


@pytest.mark.parametrize("image", build.IMAGES)
def test_an_image_lists_exactly_the_locked_packages(cluster: Cluster, image: str) -> None:
    repository, _, tag = cluster.step_image().rpartition(":")
    told = sbom.ask(f"{repository.rpartition('/')[0]}/{build.IMAGES[image]}:{tag}")
    assert sbom.faults(image, told) == []
    assert told.listed
    if image in VALIDATED:
        assert sbom.invalid(told.text) == ""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A registry of its own, in memory: its address."""
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen([program("crane"), "registry", "serve", "--address", address]) as process:
        try:
            until_it_answers(f"http://{address}/v2/")
            yield address
        finally:
            process.kill()


def until_it_answers(url: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{url} did not answer in {seconds} s")


@pytest.fixture(scope="module")
def images() -> Iterator[None]:
    """Images of the names of ours, of one small file each."""
    names = [f"{PREFIX}/{name}:{TAG}" for name in build.IMAGES.values()]
    for name in names:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            entry = tarfile.TarInfo("name")
            entry.size = len(name)
            tar.addfile(entry, io.BytesIO(name.encode()))
        subprocess.run(["docker", "import", "-", name], check=True, input=layer.getvalue(), capture_output=True)
    yield
    subprocess.run(["docker", "image", "rm", "--force", *names], check=True, capture_output=True)


def cosign(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"COSIGN_PASSWORD": "not-secret", "HOME": str(folder)}
    command = [program("cosign"), *words]
    return subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=120)


def test_what_is_signed_verifies_and_nothing_else(registry: str, images: None, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in build.IMAGES.values():
        lines = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}
        (lists / f"{name}.cdx.json").write_text(json.dumps(lines))
    assert cosign(tmp_path, "generate-key-pair").returncode == 0
    words = ["--registry", f"{registry}/sluice", "--tag", TAG, "--prefix", PREFIX, "--lists", str(lists)]
    command = [sys.executable, str(ROOT / "platform/images/sign.py"), *words, "--key", str(tmp_path / "cosign.key")]
    env = os.environ | {"COSIGN": program("cosign"), "COSIGN_PASSWORD": "not-secret", "HOME": str(tmp_path)}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    signed = [line.partition(": signed")[0] for line in done.stdout.splitlines()]
    assert len(signed) == len(build.IMAGES)

    verify = ("--key", "cosign.pub", "--insecure-ignore-tlog")
    for pinned in signed:
        assert "sha256:" in pinned
        assert cosign(tmp_path, "verify", *verify, pinned).returncode == 0
        assert cosign(tmp_path, "verify-attestation", *verify, "--type", "cyclonedx", pinned).returncode == 0
    unsigned = f"{registry}/sluice/{build.IMAGES['torch']}:other"
    subprocess.run(["docker", "tag", f"{PREFIX}/{build.IMAGES['tabular']}:{TAG}", unsigned], check=True)
    subprocess.run(["docker", "push", "--quiet", unsigned], check=True, capture_output=True)
    assert "no signatures found" in cosign(tmp_path, "verify", *verify, unsigned).stderr
    other = tmp_path / "other"
    other.mkdir()
    cosign(other, "generate-key-pair")
    assert cosign(other, "verify", *verify, signed[0]).returncode != 0
    pushed = [f"{registry}/sluice/{name}:{TAG}" for name in build.IMAGES.values()]
    subprocess.run(["docker", "image", "rm", "--force", *pushed, unsigned], check=True, capture_output=True)
