"""The server as a process: `sluice serve` of a folder, its page in browsers, callers that hold connections, its end."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from sluice.cli.serve_command import found_model
from sluice.core.errors import BadInput
from sluice.serving.server import listening
from tests.serving_process import SECONDS, heavy_libraries, most_memory, running
from tests.sluice_command import Sluice
from tests.unit.browser import Browser, browser
from tests.unit.serving_world import DIGEST, ROW, served_folder

__all__ = ["browser"]  # the fixture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("served") / "late")


def settings(folder: Path, **more: Any) -> str:
    return json.dumps({"folder": str(folder), "name": "late/3", "port": 0, **more})


def test_sluice_serve_says_who_answers_and_how_to_ask(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path, "serve", str(folder), "--port", "0", "--max-rows", "5") as server:
        assert "late/5b5b5b5b5b5b: digest 5b5b5b5b5b5b, forecasts of 100 test rows within 1.0e-16" in server.said[0]
        asked = subprocess.run(["bash", "-c", server.said[-1]], capture_output=True, text=True, check=True)
        assert json.loads(asked.stdout)["digest"] == DIGEST
        assert server.ask("/v1/predict", {"rows": [dict(ROW)]})[0] == 401
        token = (tmp_path / "serving" / "token").read_text().strip()
        many = server.ask("/v1/predict", {"rows": [dict(ROW)] * 6}, Authorization=f"Bearer {token}")
        assert many[0] == 413
        assert token not in "\n".join(server.said)
        assert heavy_libraries(server.process.pid) == {"onnxruntime"}
        assert most_memory(server.process.pid) < 150 * 2**20
        assert server.end() == 0
        assert server.said[-1] == "[sluice] ending: requests that have begun are answered"


def test_the_end_waits_for_requests_that_have_begun(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path, settings(folder, drain=0.5), module="sluice.serving") as server:
        body = json.dumps({"rows": [dict(ROW)]}).encode()
        slow, idle = server.connect(), server.connect()
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n" % server.port)
        slow.sendall(b"content-length: %d\r\n\r\n%b" % (len(body), body[:20]))
        while b"sluice_requests_open 1.0" not in server.ask("/metrics")[1]:
            pass  # pytest's timeout bounds it
        server.process.send_signal(signal.SIGTERM)
        while server.ask("/readyz")[0] != 503:
            pass
        assert server.ask("/v1/predict", {"rows": [dict(ROW)]})[0] == 200, "it still answers while it drains"
        time.sleep(0.8)  # beyond `drain`, so that the listening socket is closed
        with pytest.raises(ConnectionRefusedError):
            server.connect()
        slow.sendall(body[20:])
        answer = _all_of(slow)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in answer
        assert server.process.wait(SECONDS) == 0
        assert _all_of(idle) == b""


def _all_of(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_connections_that_hold_the_server_up_are_ended(folder: Path, tmp_path: Path) -> None:
    limits = {"seconds": 0.5, "headers": 1000, "connections": 5}
    with running(tmp_path, settings(folder, limits=limits), module="sluice.serving") as server:
        silent, slow, large, odd = (server.connect() for _ in range(4))
        slow.sendall(b"GET /healthz HTTP/1.1\r\nx-a: ")
        large.sendall(b"GET /healthz HTTP/1.1\r\nx-a: " + b"a" * 5000)
        odd.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        started = time.monotonic()
        assert _all_of(large).startswith(b"HTTP/1.1 431")
        assert _all_of(odd).startswith(b"HTTP/1.1 400")
        assert _all_of(slow).startswith(b"HTTP/1.1 408")
        assert _all_of(silent).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 20
        many = [server.connect() for _ in range(6)]
        assert any(_refused(each) for each in many)
        for each in many:
            each.close()
        while server.ask("/healthz")[0] != 200:
            pass
        assert server.end() == 0


def _refused(connection: socket.socket) -> bool:
    """Whether the server said at once that it has enough; one that is kept waits for a request until it is late."""
    return _all_of(connection).startswith(b"HTTP/1.1 503")


def test_the_page_is_made_from_the_fields_and_asks_only_its_server(
    folder: Path, tmp_path: Path, browser: Browser
) -> None:
    with running(tmp_path, settings(folder), module="sluice.serving") as server:
        seen = browser.visit(f"http://127.0.0.1:{server.port}/")
        assert "Will it arrive late?" in seen.text
        assert "digest 5b5b5b5b5b5b" in seen.text
        assert [seen.tags.count(tag) for tag in ("select", "input", "form")] == [2, 7, 2]
        assert "in miles; from 0 to 5000" in seen.text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("FOLDER", "--no-token", "--host", "0.0.0.0"), "--no-token is for this machine"),
        (("FOLDER", "--port", "TAKEN"), "cannot be had"),
        (("unregistered",), "no model 'unregistered' is registered"),
    ],
)
def test_what_cannot_be_served_ends_in_one_line(
    folder: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given = {"FOLDER": str(folder), "TAKEN": str(taken.getsockname()[1])}
        done = Sluice(tmp_path)("serve", *(given.get(word, word) for word in words))
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert told in line


def test_a_wrong_folder_or_address_is_told() -> None:
    with pytest.raises(BadInput, match="holds no served model"):
        found_model("nowhere/else")
    with pytest.raises(BadInput, match=r"'203\.0\.113\.1' is no address of this machine"):
        listening("203.0.113.1", 0)
