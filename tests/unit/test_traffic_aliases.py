"""A model's aliases are followed: the right version answers, the old one goes on where the new one must not."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.registry.versions import version_by_alias
from sluice.serving.aliases import AliasFollower
from sluice.serving.exchange import NoModel
from sluice.serving.registered import DatabaseRegistry, Registered, RestRegistry, open_registry
from sluice.serving.traffic import Split
from tests.unit.traffic_world import MODEL, FakeRegistry, Served, digest_of, register


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"))


@pytest.fixture(autouse=True)
def _up(served: Served) -> None:
    served.down, served.opened = False, []


def follower(served: Served, registry: FakeRegistry) -> tuple[Split, AliasFollower]:
    split = Split()
    return split, AliasFollower(MODEL, registry, served, split, pause=0.02)


def wait(seen: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_database_is_read_as_mlflow_reads_it(tracked_home: Path) -> None:
    client = register("1", "2")
    client.set_registered_model_alias(MODEL, "champion", "2")
    client.set_registered_model_alias(MODEL, "challenger", "1")
    registry = open_registry()
    assert isinstance(registry, DatabaseRegistry)
    assert registry.aliases(MODEL) == {"champion": "2", "challenger": "1"}
    by_mlflow = version_by_alias(MODEL, "champion")
    found = registry.version(MODEL, "2")
    assert by_mlflow is not None
    assert (found.version, found.digest, found.tags) == (by_mlflow.version, by_mlflow.digest, by_mlflow.tags)
    with pytest.raises(BadInput, match="no registered model 'lat'"):
        registry.aliases("lat")
    with pytest.raises(BadInput, match="no version late/7"):
        registry.version(MODEL, "7")
    client.create_model_version(MODEL, "/elsewhere")
    with pytest.raises(BadInput, match="late/3 is no version that Sluice registered"):
        registry.version(MODEL, "3")
    (tracked_home / "mlflow.db").rename(tracked_home / "gone.db")
    with pytest.raises(EnvironmentFault, match=r"mlflow\.db cannot be read"):
        registry.aliases(MODEL)


def test_a_database_server_is_no_registry_to_follow(tracked_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tracked_home}/mlflow.db?mode=ro")
    with pytest.raises(BadInput, match="follows MLflow's server"):
        open_registry()


class _Answers(BaseHTTPRequestHandler):
    """What MLflow's server answers, by path; `told` keeps what was asked."""

    answers: dict[str, tuple[int, Any]]
    told: list[tuple[str, str]]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.told.append((self.path, self.headers.get("Authorization", "")))
        path = self.path.partition("?")[0].removeprefix("/prefix/api/2.0/mlflow/")
        status, body = self.answers.get(path, (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}))
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that has read enough."""


@pytest.fixture
def rest() -> Iterator[tuple[str, type[_Answers]]]:
    class Answers(_Answers):
        answers, told = {}, []

    server = _Quiet(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prefix", Answers
    server.shutdown()
    server.server_close()


def test_a_server_is_asked_with_the_accounts_of_mlflows_client(
    rest: tuple[str, type[_Answers]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, server = rest
    model = {"name": MODEL, "aliases": [{"alias": "champion", "version": "2"}]}
    tags = [{"key": "sluice.model_digest", "value": digest_of("2")}]
    server.answers["registered-models/get"] = 200, {"registered_model": model}
    server.answers["model-versions/get"] = 200, {"model_version": {"name": MODEL, "version": "2", "tags": tags}}
    login = address.replace("//", "//someone:s3cret!@")
    registry = RestRegistry(login)
    assert registry.aliases(MODEL) == {"champion": "2"}
    assert registry.version(MODEL, "2").digest == digest_of("2")
    assert {account for _, account in server.told} == {"Basic " + base64.b64encode(b"someone:s3cret!").decode()}
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t" * 12)
    RestRegistry(address).aliases(MODEL)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "robot")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "other-secret")
    RestRegistry(login).aliases(MODEL)
    assert [account for _, account in server.told[2:]] == [
        f"Bearer {'t' * 12}",
        "Basic " + base64.b64encode(b"robot:other-secret").decode(),
    ]


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}), BadInput, "has no registered model 'late'"),
        ((404, b"<html>"), EnvironmentFault, "it answered 404"),
        ((401, {}), EnvironmentFault, "denies access"),
        ((302, b""), EnvironmentFault, "it answered 302"),
        ((503, b"busy"), EnvironmentFault, "it answered 503"),
        ((200, b"[" * 5_000_000), EnvironmentFault, "failed"),
        ((200, {"registered_model": {"name": MODEL}}), None, ""),
    ],
)
def test_what_a_server_answers_wrongly_is_told(
    rest: tuple[str, type[_Answers]], answer: tuple[int, Any], error: type[Exception] | None, words: str
) -> None:
    address, server = rest
    server.answers["registered-models/get"] = answer
    if error is None:
        assert RestRegistry(address).aliases(MODEL) == {}
        return
    with pytest.raises(error, match=words) as caught:
        RestRegistry(address.replace("//", "//someone:s3cret!@")).aliases(MODEL)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_is_away_is_a_fault_of_the_environment(free_port: Callable[[], int]) -> None:
    with pytest.raises(EnvironmentFault, match="failed"):
        RestRegistry(f"http://127.0.0.1:{free_port()}").aliases(MODEL)


def test_a_moved_alias_brings_the_new_version_and_ends_nothing(served: Served) -> None:
    registry = FakeRegistry(champion="1", challenger="2")
    split, following = follower(served, registry)
    following.start()
    try:
        began = split.chosen("r", "")
        assert (began.name, began.role, began.digest) == ("late/1", "champion", digest_of("1"))
        wait(lambda: split.stand.challenger)
        registry.numbers = {"champion": "2", "challenger": "2"}
        wait(lambda: split.chosen("r", "").name == "late/2" and split.stand.challenger is None)
        assert split.chosen("r", "").role == "champion"
        assert began.judge.judge(began.judge.schema.columns([_row()])).values.shape == (1, 2)
        assert served.opened == ["1", "2"], "the challenger was loaded already"
        registry.numbers = {"champion": "1"}
        wait(lambda: split.chosen("r", "").name == "late/1")
        assert following.following.moves == 2
    finally:
        following.stop()


def _row() -> dict[str, Any]:
    from tests.unit.traffic_world import raw

    return raw([0])[0]


def test_a_version_that_is_not_the_registered_one_is_refused_once(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = FakeRegistry(champion="1")
    split, following = follower(served, registry)
    following.start()
    try:
        registry.digests["2"] = "e" * 64
        registry.numbers["champion"] = "2"
        wait(lambda: following.following.refused)
        asked = following.following.asked
        wait(lambda: following.following.asked > asked + 0.1)
        assert split.chosen("r", "").name == "late/1"
        assert served.opened == ["1", "2"], "it is not tried at every look"
        told = capsys.readouterr().out
        assert told.count("refused late/2: late/2: its served files are those of late") == 1
        assert "late/1 goes on as champion" in told
        assert following.following.numbers(time.time())["sluice_alias_refusals_total"] == 1
        registry.numbers["champion"] = "1"
        wait(lambda: not following.following.refused)
    finally:
        following.stop()


def test_while_the_registry_or_the_store_is_down_everything_goes_on(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = FakeRegistry(champion="1")
    split, following = follower(served, registry)
    following.start()
    try:
        registry.down = True
        wait(lambda: following.following.failures > 2)
        assert split.chosen("r", "").name == "late/1"
        now = time.time()
        assert "connection refused" in following.following.details(now)["registry"]
        assert following.following.numbers(now)["sluice_registry_up"] == 0
        registry.down, served.down, registry.numbers["champion"] = False, True, "2"
        wait(lambda: "the store is down" in following.following.refused.get("champion", ""))
        assert split.chosen("r", "").name == "late/1"
        served.down = False
        wait(lambda: split.chosen("r", "").name == "late/2")
        assert following.following.numbers(now)["sluice_registry_up"] == 1
        told = capsys.readouterr().out
        assert told.count("going on with what is loaded") == 1
        assert told.count("the registry answers again") == 1
    finally:
        following.stop()


def test_a_server_does_not_start_without_a_champion(served: Served) -> None:
    with pytest.raises(BadInput, match="has no alias champion"):
        follower(served, FakeRegistry(challenger="1"))[1].start()
    registry = FakeRegistry(champion="1")
    registry.digests["1"] = "e" * 64
    with pytest.raises(BadInput, match="the registry has the digest eeee"):
        follower(served, registry)[1].start()


def test_a_server_waits_for_a_registry_that_is_down_when_it_starts(served: Served) -> None:
    registry = FakeRegistry(champion="1")
    registry.down = True
    split, following = follower(served, registry)
    starting = threading.Thread(target=following.start)
    starting.start()
    wait(lambda: following.following.failures > 1)
    with pytest.raises(NoModel, match="no version is loaded yet"):
        split.chosen("r", "")
    registry.down = False
    starting.join(10)
    assert split.chosen("r", "").name == "late/1"
    following.stop()


def test_what_a_library_raises_ends_no_thread(served: Served) -> None:
    def broken(version: Registered) -> Any:
        if version.version == "2":
            raise MemoryError("no room")
        return served(version)

    registry, split = FakeRegistry(champion="1"), Split()
    following = AliasFollower(MODEL, registry, broken, split, pause=0.02)
    following.start()
    try:
        registry.numbers["champion"] = "2"
        wait(lambda: "late/2 cannot be loaded (MemoryError: no room)" in following.following.refused.values())
        registry.numbers["champion"] = "3"
        wait(lambda: split.chosen("r", "").name == "late/3")
    finally:
        following.stop()
