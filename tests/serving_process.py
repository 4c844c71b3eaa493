"""`sluice serve` as a user types it: a process that says when it is ready, and is asked by HTTP."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60
_HEAVY = ("pandas", "pyarrow", "mlflow", "sklearn", "scipy", "onnx", "kfp", "duckdb", "torch", "onnxruntime")


@dataclass(frozen=True)
class Running:
    """A server that said that it is ready."""

    process: "subprocess.Popen[str]"
    port: int
    said: list[str]

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def running(home: Path, *words: str, module: str = "sluice") -> Iterator[Running]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "SLUICE_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        env=kept | {"SLUICE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    ready = threading.Event()

    def read() -> None:
        for line in process.stdout or ():
            said.append(line.rstrip("\n"))
            if line.startswith("curl"):
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert ready.wait(SECONDS)
        assert process.poll() is None, said
        found = re.search(r"ready at http://127\.0\.0\.1:(\d+)", "\n".join(said))
        assert found, said
        yield Running(process, int(found[1]), said)
    finally:
        process.kill()
        process.wait()


def heavy_libraries(process: int) -> set[str]:
    """The large libraries of a process, by what it has mapped."""
    mapped = Path(f"/proc/{process}/maps").read_text()
    return {name for name in _HEAVY if re.search(rf"/{name}/\S*\.so", mapped)}


def most_memory(process: int) -> int:
    """The most memory that a process ever had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024
