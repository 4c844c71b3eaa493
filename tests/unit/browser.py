"""Debian's Chromium without a window: what a page becomes once a browser read it, and what it asked of a network."""

import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import pytest

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SECONDS = 240  # a busy machine takes its time


@dataclass(frozen=True)
class Seen:
    """The document after its scripts, had it any, and its pictures.

    Attributes:
        tags: Its elements in order.
        attributes: The names of all their attributes.
        text: What it says.
        requests: What the browser wanted from the network meanwhile.
    """

    tags: list[str]
    attributes: list[str]
    text: str
    requests: list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


class Browser:
    """Opens files; every request of theirs ends at a proxy of ours, which notes it and answers nothing."""

    def __init__(self, program: str, profile: Path) -> None:
        self._requests: list[str] = []
        noted = self._requests

        class Proxy(BaseHTTPRequestHandler):
            def _refuse(self) -> None:
                noted.append(self.path)
                self.send_error(403)

            do_GET = do_POST = do_CONNECT = _refuse  # noqa: N815 - the library's names

            def log_message(self, *_: Any) -> None:
                pass

        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        self._command = [program, "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        self._command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        self._command += [f"--user-data-dir={profile}"]
        self._command += [
            f"--proxy-server=http://127.0.0.1:{self._proxy.server_port}",
            "--proxy-bypass-list=<-loopback>",
        ]
        self._command += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses it to root

    def open(self, file: Path) -> Seen:
        """Read a file to its end."""
        return self._read(self._command, file.as_uri())

    def visit(self, address: str) -> Seen:
        """Read a page of a server on this machine to its end, and ask that server alone without the proxy."""
        host = address.split("/")[2]
        return self._read([*self._command, f"--proxy-bypass-list=<-loopback>;{host}"], address)

    def _read(self, command: list[str], address: str) -> Seen:
        self._requests.clear()
        done = subprocess.run(
            [*command, "--virtual-time-budget=2000", "--dump-dom", address],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            encoding="utf-8",
        )
        reader = _Reader()
        reader.feed(done.stdout)
        return Seen(reader.tags, reader.attributes, reader.text, [r for r in self._requests if _of_page(r)])

    def run(self, file: Path, script: str) -> tuple[Any, list[str]]:
        """Open a file and run an expression in it, which may be a promise; its value and what the page asked for.

        Source: Chrome DevTools Protocol by `--remote-debugging-pipe`: JSON that ends in a zero byte, on files 3 and 4.
        """
        self._requests.clear()
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        words = [*self._command, "--remote-debugging-pipe", "about:blank"]
        shell = f"exec {shlex.join(words)} 3<&{theirs_in} 4>&{theirs_out}"
        told = subprocess.DEVNULL
        started = subprocess.Popen(["bash", "-c", shell], pass_fds=(theirs_in, theirs_out), stdout=told, stderr=told)
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            with os.fdopen(ours_in, "rb") as answers, os.fdopen(ours_out, "wb") as questions:
                value = _Pipe(answers, questions).value(file.as_uri(), script)
        finally:
            started.terminate()
            started.wait(timeout=_SECONDS)
        return value, [each for each in self._requests if _of_page(each)]

    def close(self) -> None:
        """End the proxy."""
        self._proxy.shutdown()
        self._proxy.server_close()


class _Pipe:
    """The browser's protocol, one question after the other."""

    def __init__(self, answers: IO[bytes], questions: IO[bytes]) -> None:
        self._answers, self._questions, self._count = answers, questions, 0

    def value(self, address: str, script: str) -> Any:
        target = self._ask("Target.createTarget", {"url": address})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        while self._evaluated("document.readyState === 'complete' && location.href", session) != address:
            time.sleep(0.05)
        return self._evaluated(script, session)

    def _evaluated(self, script: str, session: str) -> Any:
        asked = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self._ask("Runtime.evaluate", asked, session)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _ask(self, method: str, parameters: dict[str, Any], session: str = "") -> Any:
        self._count += 1
        body = {"id": self._count, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self._questions.write(json.dumps(body).encode() + b"\0")
        self._questions.flush()
        while (answer := json.loads(self._message())).get("id") != self._count:
            pass
        assert "result" in answer, answer
        return answer["result"]

    def _message(self) -> bytes:
        found = bytearray()
        while (letter := self._answers.read(1)) != b"\0":
            assert letter, "the browser has ended"
            found += letter
        return bytes(found)


def _of_page(address: str) -> bool:
    """Whether a page wanted it; the browser itself asks for its own updates."""
    return not any(word in address for word in ("google", "gstatic", "chromium.org"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser, which the tests prove to run what a page tells it to."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if not program:
        pytest.skip("no Chromium: `apt-get install chromium` (Debian), or put chromium or google-chrome on the PATH")
    made = Browser(program, tmp_path_factory.mktemp("chromium"))
    bad = tmp_path_factory.mktemp("page") / "bad.html"
    bad.write_text(
        "<p>x</p><img src=http://sluice.test/pixel><script>document.body.setAttribute('data-pwned', 1)</script>",
        encoding="utf-8",
    )
    seen = made.open(bad)
    assert "data-pwned" in seen.attributes, seen
    assert seen.requests == ["http://sluice.test/pixel"], seen
    yield made
    made.close()
