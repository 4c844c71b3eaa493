"""Images pinned by digest: what charts/sluice/pin.py asks a registry, and what the chart makes of its answer."""

import importlib.util
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.charts.rendering import CHART, containers, helm, pods

FOUND = f"sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def pin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pin", CHART / "pin.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Registry(BaseHTTPRequestHandler):
    """Tells digests to who fetched a token, as Docker's does."""

    def do_HEAD(self) -> None:
        """The manifest's digest."""
        if self.headers.get("Authorization") != "Bearer for-anybody":
            self.send_response(401)
            realm = f"http://127.0.0.1:{self.server.server_port}/token"  # type: ignore[attr-defined]
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="r",scope="repository:x:pull"')
        elif "missing" in self.path:
            self.send_response(404)
        else:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", "none" if "wordless" in self.path else FOUND)
        self.end_headers()

    def do_GET(self) -> None:
        """A token."""
        self.send_response(200 if "scope=repository%3Ax%3Apull" in self.path else 400)
        self.end_headers()
        self.wfile.write(json.dumps({"token": "for-anybody"}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_every_image_of_the_chart_gets_its_registry_s_digest(pin: ModuleType, registry: str, tmp_path: Any) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text()) | {}
    values["images"]["registry"] = registry
    pinned, missing = pin.pin(values, "0.1.0", scheme="http")
    assert missing == []
    file = tmp_path / "digests.yaml"
    file.write_text(yaml.safe_dump(pinned))
    rendered = yaml.load_all(helm("--values", str(file)).stdout, Loader=yaml.CSafeLoader)
    used = [c["image"] for _, template in pods(tuple(filter(None, rendered))) for c in containers(template)]
    assert used
    assert [image for image in used if not image.endswith(f"@{FOUND}")] == []


def test_what_has_no_digest_is_named(pin: ModuleType, registry: str) -> None:
    image = {"repository": "missing/a", "tag": "1", "digest": ""}
    values = {"images": {"registry": registry, "tag": ""}, "a": {"image": image}}
    values["b"] = {"image": image | {"repository": "wordless/b"}}
    values["c"] = {"image": image | {"digest": FOUND}}
    values["d"] = {"image": image | {"repository": ""}}
    pinned, missing = pin.pin(values, "1", scheme="http")
    assert pinned == {"c": {"image": {"digest": FOUND}}}
    assert [line.partition(":")[0] for line in missing] == ["a.image", "b.image"]
    with pytest.raises(OSError, match=r"sluice/platform names no registry; set images\.registry"):
        pin.digest("sluice/platform", "1")
