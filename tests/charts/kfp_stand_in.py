"""KFP's API over HTTP as the operator uses it, in this process: it can lose answers, double what it is told, be away.

Only the paths that `sluice.cluster.kfp_api` asks are there, with the documents that KFP 2.17.0 gives; the tests on kind
run the same operator with KFP itself.
"""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]


FUSED: Json = {
    "root": {"dag": {"tasks": {"all-steps": {"componentRef": {"name": "comp"}}}}},
    "components": {"comp": {"executorLabel": "exec"}},
    "deploymentSpec": {
        "executors": {"exec": {"container": {"resources": {"resourceCpuRequest": "1", "resourceMemoryRequest": "1Gi"}}}}
    },
}
"""What of a fused pipeline's spec says how big its pod is."""


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class StandIn:
    """What the server knows, and how it misbehaves.

    Attributes:
        runs: By id.
        away: It answers nothing but 503.
        lose: So many beginnings of a run are carried out and not answered.
        double: So many are carried out twice, as by a proxy that repeats a request.
        spec: Of the only pipeline.
        requests: All that was asked, as METHOD /path.
    """

    port: int = 0
    runs: dict[str, Json] = field(default_factory=dict)
    away: bool = False
    lose: int = 0
    double: int = 0
    spec: Json = field(default_factory=lambda: FUSED)
    requests: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def begun(self) -> list[Json]:
        """All runs that nobody ended at once, oldest first."""
        with self.lock:
            return sorted(self.runs.values(), key=lambda each: each["created_at"])

    def live(self) -> dict[str, int]:
        """How many runs that were not cancelled there are, by their names."""
        found: dict[str, int] = {}
        for each in self.begun():
            if each["state"] not in ("CANCELED", "CANCELING"):
                found[each["display_name"]] = found.get(each["display_name"], 0) + 1
        return found

    def finish(self, state: str = "SUCCEEDED", name: str = "") -> None:
        """All runs end, or those whose names begin so."""
        with self.lock:
            for each in self.runs.values():
                if each["state"] in ("PENDING", "RUNNING") and each["display_name"].startswith(name):
                    each |= {"state": state, "finished_at": now()}

    def create(self, body: Json) -> Json:
        made = {**body, "run_id": str(uuid.uuid4()), "state": "RUNNING", "created_at": now()}
        with self.lock:
            self.runs[made["run_id"]] = made
        return made

    def listed(self, query: dict[str, list[str]]) -> Json:
        named = None
        for predicate in json.loads(query.get("filter", ["{}"])[0]).get("predicates", []):
            named = predicate.get("stringValue", predicate.get("string_value"))
        found = [each for each in self.begun() if named is None or each["display_name"] == named]
        if query.get("sort_by", [""])[0].endswith("desc"):
            found.reverse()
        return {"runs": found[: int(query.get("page_size", ["100"])[0])]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: StandIn

    def log_message(self, *_: Any) -> None:
        pass

    def _send(self, body: Json, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _refused(self) -> bool:
        self.told.requests.append(f"{self.command} {urlsplit(self.path).path}")
        if self.told.away:
            self._send({"message": "away"}, 503)
        return self.told.away

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self._refused():
            return
        last = url.path.rpartition("/")[2]
        if url.path.endswith("/runs"):
            self._send(self.told.listed(parse_qs(url.query)))
        elif "/runs/" in url.path:
            found = self.told.runs.get(last)
            self._send(found or {"message": "not found"}, 200 if found else 404)
        elif url.path.endswith("/pipelines"):
            self._send({"pipelines": [{"pipeline_id": "p1", "display_name": "supervised"}]})
        elif url.path.endswith("/versions"):
            self._send({"pipeline_versions": [{"pipeline_version_id": "v1", "display_name": "one"}]})
        elif url.path.endswith("/versions/v1"):
            self._send({"pipeline_version_id": "v1", "display_name": "one", "pipeline_spec": self.told.spec})
        elif url.path.endswith("/experiments"):
            self._send({"experiments": [{"experiment_id": "e1", "display_name": "e"}]})
        else:
            self._send({"tag_name": "2.17.0"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self._refused():
            return
        if self.path.endswith(":terminate"):
            run = self.path.rpartition("/")[2].partition(":")[0]
            with self.told.lock:
                self.told.runs[run] |= {"state": "CANCELED", "finished_at": now()}
            self._send({})
            return
        made = self.told.create(body)
        if self.told.double > 0:
            self.told.double -= 1
            self.told.create(body)
        if self.told.lose > 0:
            self.told.lose -= 1
            self.connection.close()
            self.close_connection = True
            return
        self._send(made)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Nothing: an operator that is killed takes its connections along."""


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """A server on a port of its own."""
    told = StandIn()
    server = Server(("127.0.0.1", 0), type("Own", (Handler,), {"told": told}))
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
