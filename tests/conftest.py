"""Fixtures that several tests share: a real MinIO server, and each kind of store.

With SLUICE_REQUIRE_ALL=1, as in CI, a test that skips itself (for want of MinIO, Java, …) fails instead.
"""

import gc
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from minio import Minio

from sluice.registry import tracking_database
from sluice.storage.stores import Store, open_store
from tests.examples import FLIGHTS, module
from tests.mlflow_state import fresh_mlflow

# A busy machine is no failure: examples may take as long as they do.
settings.register_profile("sluice", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sluice")

ROOT = Path(__file__).parents[1]
START_SECONDS = 30.0
# What takes long to make, once for tests of several modules: `make test` gives all of them to one process.
SHARED_BY_ALL = {"first_run", "registered_projects"}


class MinioServer:
    """A MinIO server of our own on a free loopback port, with random credentials."""

    def __init__(self, program: str, folder: Path, certificates: Path | None = None) -> None:
        self.access_key, self.secret_key = secrets.token_hex(8), secrets.token_hex(16)
        self.folder, self.port, self.scheme = folder, free_port(), "https" if certificates else "http"
        self.endpoint = f"{self.scheme}://127.0.0.1:{self.port}"
        self._command = [program, "server", "--quiet", "--address", f"127.0.0.1:{self.port}", str(folder / "data")]
        self._command += ["--certs-dir", str(certificates or folder / "no-certificates")]
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start the process, with what it kept from before; do not wait."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
        own |= {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "HOME": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start(self) -> "MinioServer":
        """Start, and wait until it takes requests."""
        self.launch()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            exited = self._process is None or self._process.poll() is not None
            if exited or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"MinIO did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Kill the process, as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def client(self) -> Minio:
        """The SDK's client with the server's own credentials, for what a store does not do."""
        return Minio(f"127.0.0.1:{self.port}", self.access_key, self.secret_key, secure=self.scheme == "https")

    def bucket(self) -> str:
        """Make a bucket; its name."""
        name = f"test-{secrets.token_hex(6)}"
        self.client().make_bucket(name)
        return name

    def settings(self) -> dict[str, str]:
        """The AWS variables that lead to this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def _ready(self) -> bool:
        if self.scheme == "https":
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        try:
            with urllib.request.urlopen(f"{self.endpoint}/minio/health/cluster", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


NewMinio = Callable[..., MinioServer]


def free_port() -> int:
    """A TCP port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def new_minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewMinio]:
    """Makes MinIO servers, not yet started; ends those that run at the end."""
    named, built = os.environ.get("SLUICE_MINIO"), ROOT / ".tools/bin/minio"
    program = named or (str(built) if built.is_file() else shutil.which("minio"))
    if not program:
        pytest.skip("no MinIO program: `make tools` builds it (Go 1.21 or newer), or name one in SLUICE_MINIO")
    servers: list[MinioServer] = []

    def make(certificates: Path | None = None) -> MinioServer:
        servers.append(MinioServer(program, tmp_path_factory.mktemp("minio"), certificates))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def minio_server(new_minio: NewMinio) -> MinioServer:
    """One MinIO server for all tests that leave it running."""
    return new_minio().start()


@pytest.fixture(name="free_port")
def free_port_fixture() -> Callable[[], int]:
    """Finds ports that nothing listens on."""
    return free_port


@pytest.fixture(scope="session", autouse=True)
def databases_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], None]]:
    """MLflow's migrations take four seconds of a processor, and a copy of the database that they make nothing.

    In this process alone: what a command of its own makes is made by MLflow, as on a user's machine.

    Yields:
        What makes a database by MLflow, for tests of just that.
    """
    first = tmp_path_factory.mktemp("databases") / "mlflow.db"
    make = tracking_database._make

    def copy(uri: str, place: Path) -> None:
        if first.exists():
            beside = Path(shutil.copyfile(first, place.with_name(f"{tracking_database._PREFIX}{secrets.token_hex(8)}")))
            with suppress(FileExistsError):
                os.link(beside, place)
            beside.unlink()
        else:
            make(uri, place)
            shutil.copyfile(place, first)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking_database, "_make", copy)
        yield make


@pytest.fixture(autouse=True)
def _own_mlflow() -> Iterator[None]:
    """No test sees where another one tracked, nor what it left open; all fixtures of one test come after this one."""
    with fresh_mlflow():
        yield


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No AWS variable of the person who tests reaches the test."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # nor the machine's own identity, where it has one


@pytest.fixture
def s3(no_aws: None, minio_server: MinioServer, monkeypatch: pytest.MonkeyPatch) -> MinioServer:
    """The shared MinIO server, with the AWS variables set for it."""
    for name, value in minio_server.settings().items():
        monkeypatch.setenv(name, value)
    return minio_server


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.minio)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind: what holds for one must hold for the other."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    return open_store(f"s3://{request.getfixturevalue('s3').bucket()}/some/prefix")


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this very hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share what takes long to make are a group for pytest-xdist; it is told with `--dist loadgroup`.

    Those that are marked `long` are left out, unless SLUICE_LONG=1.
    """
    if os.environ.get("SLUICE_LONG") != "1":
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    for item in items:
        if not item.get_closest_marker("xdist_group") and (group := _group(item)):
            item.add_marker(pytest.mark.xdist_group(group))


def _group(item: pytest.Item) -> str:
    """Tests on a fixture of their module are one group, for else each process would make it; empty for all others."""
    fixtures = getattr(item, "_fixtureinfo", None)  # pytest has no public way to a fixture's scope
    known = fixtures.name2fixturedefs if fixtures else {}
    if everywhere := SHARED_BY_ALL & set(known):
        return min(everywhere)
    of_module = any(found.scope == "module" for several in known.values() for found in several)
    return item.nodeid.partition("::")[0] if of_module else ""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Nothing that collecting imports or makes is garbage: looking through it takes tests an eighth of their time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Nothing may skip itself where everything was promised."""
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """The same for a whole module that skips itself."""
    return _required((yield))


def _required(report: Any) -> Any:
    if report.skipped and os.environ.get("SLUICE_REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"SLUICE_REQUIRE_ALL=1, yet skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The laid-out flights lake, shared: no test may change it."""
    return Path(module(FLIGHTS, "lake").lay_out_lake(tmp_path_factory.mktemp("lake") / "flights"))


@pytest.fixture(scope="session")
def few_flights(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same lake with every twelfth flight, for tests of which the rows are not the point; no test may change it."""
    lake = tmp_path_factory.mktemp("few") / "flights"
    shutil.copytree(flights, lake)
    with closing(sqlite3.connect(lake / "operations.db", isolation_level=None)) as database:
        database.execute("DELETE FROM flights WHERE rowid % 12")
        database.execute("VACUUM")
    return lake
