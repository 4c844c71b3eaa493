"""What an S3 server says no with, answer by answer: told apart, tried again where that can help, each in one line."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.storage import services, tries
from sluice.storage.stores import Store, open_store
from tests.faults.conftest import every_operation

Answer = tuple[int, str, str]  # HTTP's status, S3's code and message


class Server(http.server.ThreadingHTTPServer):
    """Gives the same answer, or a row of them and then a good one."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.always: Answer | None = None
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def handle_one(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(self.command)
        answer = self.server.answers.pop(0) if self.server.answers else self.server.always
        status, body = 200, b""
        if answer:
            status = answer[0]
            body = f"<Error><Code>{answer[1]}</Code><Message>{answer[2]}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - as http.server calls them


@pytest.fixture
def server(no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "known")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
        monkeypatch.setattr(tries, "pause", lambda _: 0.0)
        yield server
        server.shutdown()


@pytest.fixture
def store(server: Server) -> Store:
    return open_store("s3://lake/p")


SAID: list[tuple[Answer, type[SluiceError], str]] = [
    ((403, "RequestTimeTooSkewed", "x"), EnvironmentFault, "this machine's clock differs too much from the server's"),
    ((403, "AccessDenied", "x"), EnvironmentFault, "access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ((403, "AccessDenied", "run gateway: not yours"), EnvironmentFault, "access denied by the run gateway: not yours"),
    ((400, "ExpiredToken", "x"), EnvironmentFault, "ExpiredToken; check AWS_ACCESS_KEY_ID, .* and AWS_SESSION_TOKEN"),
    ((301, "PermanentRedirect", "ask eu-west-1"), BadInput, r"another region \(.*\); set AWS_REGION"),
    ((400, "AuthorizationHeaderMalformed", "expecting 'eu'"), BadInput, r"another region \(expecting 'eu'\); set AWS_"),
    ((404, "NoSuchBucket", "x"), BadInput, "has no bucket 'lake'; create it, or check the store's address"),
    ((507, "XMinioStorageFull", "no drive space"), EnvironmentFault, "XMinioStorageFull: no drive space; see the serv"),
    ((501, "NotImplemented", "a &lt;header&gt;"), EnvironmentFault, "NotImplemented: a <header>; see the server's log"),
]


@pytest.mark.parametrize(("answer", "kind", "said"), SAID)
def test_each_answer_is_told_apart(
    server: Server, store: Store, tmp_path: Path, answer: Answer, kind: type[SluiceError], said: str
) -> None:
    server.always = answer
    operations = every_operation(store, tmp_path)
    del operations["exists"]  # the answer to HEAD has no body
    for name, operation in operations.items():
        server.asked.clear()
        with pytest.raises(kind, match=said) as caught:
            operation()
        parts = services.PART_TRIES if name == "put_file" and answer[0] > 500 else 1  # obstore's own of a large file
        asked = [method for method in server.asked if method != "HEAD"]  # a large file first asks whether all is well
        assert len(asked) == parts, f"{name}: no other try mends it"
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)
        assert "secret-of-tests" not in str(caught.value)


def test_a_missing_object_is_told_by_its_address(server: Server, store: Store) -> None:
    server.always = (404, "NoSuchKey", "x")
    with pytest.raises(BadInput, match=r"^s3://lake/p/k is not there; check the address$"):
        store.get_bytes("k")
    assert not store.exists("k")
    server.asked.clear()
    assert not store.exists("k")
    assert server.asked == ["HEAD"], "that the bucket is there was seen"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    server: Server, store: Store, capfd: pytest.CaptureFixture[str], status: int
) -> None:
    server.answers = [(status, "SlowDown", "x")] * 3
    store.put_bytes("k", b"x")
    line = f"[sluice] S3 did not take a PUT (HTTP status {status}); trying again"
    assert capfd.readouterr().out.splitlines() == [line] * 3
    assert server.asked == ["PUT"] * 4


def test_it_is_given_up_after_as_many_tries_as_are_set(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_STORE_TRIES", "6")
    store = open_store("s3://lake/p")
    server.always = (503, "SlowDown", "ask less")
    with pytest.raises(EnvironmentFault, match=r"s3://lake/p/k: SlowDown: ask less; see the server's log"):
        store.put_bytes("k", b"x")
    assert len(server.asked) == 6
    with pytest.raises(EnvironmentFault, match="SlowDown"):
        store.get_bytes("k")
    assert len(server.asked) == 7, "who was given up is not waited for again"
    server.always = None
    store.put_bytes("k", b"x")
    server.answers = [(503, "SlowDown", "x")]
    store.put_bytes("k", b"x")
    assert len(server.asked) == 10, "once it answers, it is"
    assert capfd.readouterr().out.count("trying again") == 6


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "OperationAborted"])
def test_a_conflict_with_another_writer_passes(server: Server, store: Store, code: str) -> None:
    server.answers = [(409, code, "another is writing")] * 2
    assert store.put_if_absent("k", b"x")
    assert server.asked == ["PUT"] * 3


def test_what_is_there_is_not_written(server: Server, store: Store) -> None:
    server.always = (412, "PreconditionFailed", "x")
    assert not store.put_if_absent("k", b"x")
    assert server.asked == ["PUT"]


def test_a_forked_process_is_told_not_left_to_wait(server: Server, store: Store, run_forked: Callable) -> None:
    store.put_bytes("k", b"x")
    assert "forked from one that had used the object store; start it anew" in run_forked(lambda: store.exists("k"))
