"""An HTTP server of our own in the place of an API, for what only an API's answers bring about."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """An HTTP server of our own that gives fixed answers, by path."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.before: dict[str, list[tuple[int, Any]]] = {}  # given first, each once
        self.asked: list[tuple[str, str, bytes]] = []
        self.headers: dict[str, str] = {}  # of the last request
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.headers = dict(self.headers.items())
                length = int(self.headers.get("content-length") or 0)
                server.asked.append((self.command, self.path, self.rfile.read(length)))
                path = self.path.partition("?")[0]
                first = server.before.get(path)
                status, body = first.pop(0) if first else server.answers.get(path, (404, {"message": "not found"}))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            do_PATCH = do_POST = do_GET  # noqa: N815 - as the base class wants

            def log_message(self, *words: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
