"""Debian's Chromium without a window: what a page becomes once a browser read it, and what it asked of a network."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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
        self._command += [f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom"]
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
        done = subprocess.run([*command, address], capture_output=True, timeout=_SECONDS, check=True, encoding="utf-8")
        reader = _Reader()
        reader.feed(done.stdout)
        return Seen(reader.tags, reader.attributes, reader.text, [r for r in self._requests if _of_page(r)])

    def close(self) -> None:
        """End the proxy."""
        self._proxy.shutdown()
        self._proxy.server_close()


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
