"""A program that asks a model server without end, over connections that it keeps: `model_callers.py HOST PORT ...`.

It takes the standard library alone. On standard input it gets one line, a JSON object: `headers`, `body`,
`connections`, `requests` (the least number in all) and `pause` (seconds between two of a connection). It goes on until
it has sent so many and its standard input is closed, then prints what came. A request that fails is sent once more
after half a second: `retried` has the moments of these, `failed` what the first of those said that failed twice.
"""

import json
import socket
import sys
import threading
import time
from typing import Any

AGAIN = 0.5
MOST_TOLD = 20


class Caller:
    """One connection at a time, and what was answered on it."""

    def __init__(self, address: tuple[str, int], asked: dict[str, Any]) -> None:
        lines = [f"POST /v1/predict HTTP/1.1\r\nhost: {address[0]}:{address[1]}\r\ncontent-type: application/json\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in asked["headers"].items()]
        body = asked["body"].encode()
        self.request = "".join([*lines, f"content-length: {len(body)}\r\n\r\n"]).encode() + body
        self.address, self.socket = address, None  # type: ignore[var-annotated]
        self.digests: dict[str, list[float]] = {}
        self.retried: list[float] = []
        self.failed: list[str] = []

    def ask(self) -> None:
        for attempt in (1, 2):
            try:
                status, digest = self.once()
                if status == 200:
                    now = time.time()
                    seen = self.digests.setdefault(digest, [0, now, now])
                    seen[0], seen[2] = seen[0] + 1, now
                    return
                said = f"status {status}"
            except OSError as error:
                said, self.socket = repr(error), None
            if attempt == 1:
                self.retried.append(time.time())
                time.sleep(AGAIN)
        self.failed.append(f"{time.time()}: {said}")

    def once(self) -> tuple[int, str]:
        """Status and digest of one answer."""
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.received()
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        left = int(fields[b"content-length"]) - len(rest)
        while left > 0:
            left -= len(self.received())
        if fields.get(b"connection") == b"close":
            self.socket.close()
            self.socket = None
        return int(head.split(b" ", 2)[1]), fields.get(b"x-sluice-digest", b"").decode()

    def received(self) -> bytes:
        data = self.socket.recv(65536)  # type: ignore[union-attr]
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    address, connections = (sys.argv[1], int(sys.argv[2])), asked["connections"]
    callers = [Caller(address, asked) for _ in range(connections)]
    ended = threading.Event()

    def run(caller: Caller) -> None:
        sent = 0
        while sent * connections < asked["requests"] or not ended.is_set():
            caller.ask()
            sent += 1
            if asked["pause"]:
                time.sleep(asked["pause"])

    threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in threads:
        thread.join()
    digests: dict[str, list[float]] = {}
    for caller in callers:
        for digest, (count, first, last) in caller.digests.items():
            seen = digests.setdefault(digest, [0, first, last])
            digests[digest] = [seen[0] + count, min(seen[1], first), max(seen[2], last)]
    retried = sorted(moment for caller in callers for moment in caller.retried)
    failed = [said for caller in callers for said in caller.failed][:MOST_TOLD]
    print(json.dumps({"digests": digests, "retried": retried, "failed": failed}))


if __name__ == "__main__":
    main()
