"""Runs KFP's drivers in a workflow's agent pod, each as a process of a second instead of a pod of six.

An executor plugin of Argo Workflows (its "Executor Plugins" page): the agent posts a template, this answers with the
node's phase and outputs. The chart's MutatingAdmissionPolicy turns each driver of a KFP workflow into such a template,
with the driver's own command line; a word `@output:NAME` stands for the file of that output parameter.

The image has this file, Python and KFP's driver alone: nothing but the standard library is imported.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "kfp-driver"
PORT = 3355
DRAIN_SECONDS = 28.0  # of the 30 that Kubernetes gives a pod to end
METHOD = "/api/v1/template.execute"
PROGRAM = "KFP_DRIVER"
OUTPUT = "@output:"
TOKEN = Path("/var/run/argo/token")
# The agent hangs up after 30 s. A driver that waits for KFP or MLMD longer is asked for again.
ANSWER_SECONDS = 20.0
ASK_AGAIN = "1s"
DEADLINE_SECONDS = 600.0
AT_ONCE = 4
MAX_BODY_BYTES = 16 << 20
MESSAGE_CHARACTERS = 500
# A database, MLMD or KFP's API that restarts takes a minute or two; the driver itself asks MLMD again for one second.
RETRY_SECONDS = 240.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)  # the last one again and again
# What a service says that is away or in trouble: codes of gRPC, and words of Go's network library.
AWAY = re.compile(
    r"code = (?:Unavailable|Internal|Unknown|Aborted|DeadlineExceeded|ResourceExhausted|Canceled)\b"
    r"|connection (?:refused|reset)|i/o timeout|no such host|server misbehaving|TLS handshake timeout"
    r"|no route to host|network is unreachable|unexpected EOF|broken pipe"
)
# From here on a second try would make a second execution of the task in MLMD, which its followers refuse.
RECORDED = "Created execution: "
# glog's fatal line: F1121 22:45:01.123456       1 main.go:79] what went wrong
FATAL = re.compile(r"^F\d{4} \S+ +\d+ [^\]]+\] (?P<said>.+)$", re.MULTILINE)


class Refused(Exception):
    """One line that says what a template lacks, or why its driver failed."""


class Away(Refused):
    """The driver failed for a service that was away, before it had recorded anything: it may be tried again."""


class Drivers:
    """The drivers of this pod's workflow, at most `at_once` at a time.

    Args:
        program: KFP's driver.
        at_once: How many run; the others wait.
        retry_seconds: How long a driver is tried again while a service that it needs is away.
    """

    def __init__(self, program: str, at_once: int = AT_ONCE, retry_seconds: float = RETRY_SECONDS) -> None:
        self._program, self._retry_seconds = program, retry_seconds
        self._pool = ThreadPoolExecutor(at_once, NAME)
        self._lock = threading.Lock()
        self._nodes: dict[str, Future[dict[str, Any]]] = {}

    def answer(self, template: dict[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """What the agent is told of a template: its node, and when to ask again where that is not final yet.

        Args:
            template: An Argo template with a `plugin`.
            seconds: How long this may wait for the driver.
        """
        if NAME not in template.get("plugin", {}):
            return {}  # another plugin's
        # The agent names no node. Its iteration and its parent's execution make each task's template one of its own.
        key = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()
        with self._lock:
            if key not in self._nodes:
                self._nodes[key] = self._pool.submit(self._node, template)
            node = self._nodes[key]
        try:
            final = node.result(seconds)
        except TimeoutError:
            return {"node": {"phase": "Running"}, "requeue": ASK_AGAIN}
        with self._lock:
            self._nodes.pop(key, None)  # a retry runs it anew
        return {"node": final}

    def _node(self, template: dict[str, Any]) -> dict[str, Any]:
        """Argo's result of a node, whatever becomes of its driver."""
        started = time.monotonic()
        node: dict[str, Any]
        try:
            node = {"phase": "Succeeded", "outputs": {"parameters": self._patiently(template)}}
        except Refused as error:
            node = {"phase": "Failed", "message": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever it is, the node ends and says so
            node = {"phase": "Error", "message": f"{NAME}: {type(error).__name__}: {error}"}
        said = node.get("message") or node["phase"]
        say(f"{template.get('name', '')}: {said} after {time.monotonic() - started:.1f} s")
        return node

    def _patiently(self, template: dict[str, Any]) -> list[dict[str, str]]:
        """`run_driver`, again while a service is away.

        Raises:
            Refused: It fails for another reason, or the service stays away.
        """
        begin, tries = time.monotonic(), 0
        while True:
            try:
                return run_driver(self._program, template)
            except Away as error:
                pause = PAUSES_SECONDS[min(tries, len(PAUSES_SECONDS) - 1)]
                waited, tries = time.monotonic() - begin, tries + 1
                if waited + pause > self._retry_seconds:
                    raise Refused(f"{error} (tries: {tries}, within {waited:.0f} s)") from None
                say(f"{template.get('name', '')}: {error}; once more in {pause:.0f} s")
                time.sleep(pause)


def run_driver(program: str, template: dict[str, Any]) -> list[dict[str, str]]:
    """Run one driver and read the outputs that its template declares.

    Args:
        program: KFP's driver.
        template: An Argo template; its `plugin` holds `args` and `env` of the container that it was made from.

    Returns:
        Argo's output parameters: name and value.

    Raises:
        Away: The driver fails, and may be tried again.
        Refused: The driver fails otherwise, takes more than ten minutes, or writes no file for an output that has no
            default.
    """
    given = template["plugin"][NAME]
    with tempfile.TemporaryDirectory(prefix="driver-") as folder:
        arguments = [
            str(Path(folder, Path(word.removeprefix(OUTPUT)).name)) if word.startswith(OUTPUT) else word
            for word in map(str, given.get("args", []))
        ]
        try:
            done = subprocess.run(  # noqa: S603 - KFP's driver, no shell
                [program, *arguments],
                env=environment(given.get("env") or []),
                cwd=folder,
                check=False,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                stderr=subprocess.PIPE,
                timeout=DEADLINE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise Refused(f"KFP's driver did not end within {DEADLINE_SECONDS:.0f} s") from None
        except FileNotFoundError:
            raise Refused(f"{PROGRAM} names {program}, which is not in this image") from None
        sys.stderr.write(done.stderr)
        if done.returncode:
            why = last_words(done.stderr)
            kind = Away if AWAY.search(why) and RECORDED not in done.stderr else Refused
            raise kind(failure(done.stderr, done.returncode))
        declared = template.get("outputs", {}).get("parameters", [])
        return [{"name": each["name"], "value": output_value(each, Path(folder))} for each in declared]


def environment(variables: list[dict[str, Any]]) -> dict[str, str]:
    """This process's environment with a container's variables laid over it.

    Args:
        variables: Kubernetes' EnvVars. One that is read from elsewhere (`valueFrom`) must stand in this process's
            environment already: the plugin's container gets it from there.

    Raises:
        Refused: Such a one is missing.
    """
    found = dict(os.environ)
    for each in variables:
        source = each.get("valueFrom")
        if not source:
            found[each["name"]] = each.get("value", "")
        elif each["name"] not in found and not any(dict(of).get("optional") for of in source.values()):
            raise Refused(
                f"KFP's driver wants {each['name']} from {next(iter(source))}, which the plugin {NAME} does not have: "
                "kfp.driver.inAgent: false in the chart's values runs drivers in pods again"
            )
    return found


def output_value(parameter: dict[str, Any], folder: Path) -> str:
    """An output parameter's value: its file, without the line's end as Argo reads it, or its default.

    Raises:
        Refused: There is neither.
    """
    name = str(parameter["name"])
    path = folder / Path(name).name
    if path.is_file():
        return path.read_text(encoding="utf-8").removesuffix("\n")
    for default in (parameter.get("valueFrom", {}).get("default"), parameter.get("default")):
        if default is not None:
            return str(default)
    raise Refused(f"KFP's driver wrote no {name}, which has no default")


def failure(said: str, code: int) -> str:
    """Why a driver failed, in one line: what it called fatal, else its last words."""
    return f"KFP's driver failed: {(last_words(said) or f'exit code {code}')[:MESSAGE_CHARACTERS]}"


def last_words(said: str) -> str:
    """The last line that a driver called fatal, else its last one; empty where it said nothing."""
    fatal = [match["said"] for match in FATAL.finditer(said)]
    lines = fatal or [line for line in said.splitlines() if line.strip()]
    return " ".join(lines[-1].split()) if lines else ""


class Handler(BaseHTTPRequestHandler):
    """Argo's plugin protocol: one method, and a bearer token that the agent wrote for this plugin alone."""

    server: "Server"

    def do_POST(self) -> None:
        """Answer `template.execute`; any other method is not found, and the agent does not call it again."""
        if self.path != METHOD:
            return self._reply(404, {})
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not compare_digest(given.encode(), self.server.token.encode()):
            return self._reply(403, {"message": f"{NAME}: not the token of {TOKEN}"})
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            return self._reply(413, {"message": f"{NAME}: {length} bytes, at most {MAX_BODY_BYTES} are read"})
        try:
            template = json.loads(self.rfile.read(length))["template"]
        except (ValueError, KeyError, TypeError):
            return self._reply(400, {"message": f"{NAME}: no JSON with a `template`"})
        return self._reply(200, self.server.drivers.answer(template))

    def _reply(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the base class's
        """Say nothing of each call: the drivers' own lines tell more."""


class Server(ThreadingHTTPServer):
    """Listens on the pod's loopback alone.

    Args:
        port: 0 takes a free one.
        token: What callers must bring.
        drivers: What answers them.
    """

    daemon_threads = True

    def __init__(self, port: int, token: str, drivers: Drivers) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.token, self.drivers = token, drivers


def say(line: str) -> None:
    """Write a line of this container's log."""
    sys.stderr.write(f"{NAME}: {line}\n")
    sys.stderr.flush()


def _end_later() -> None:
    """Serve on while Argo's agent beside it lives, which is until it is killed: refused, it would fail its tasks."""
    timer = threading.Timer(DRAIN_SECONDS, os._exit, [0])
    timer.daemon = True
    timer.start()


def main() -> None:
    """Serve until the pod is deleted."""
    signal.signal(signal.SIGTERM, lambda *_: _end_later())
    token = TOKEN.read_text(encoding="utf-8")
    server = Server(PORT, token, Drivers(os.environ.get(PROGRAM, "/bin/driver")))
    say(f"ready on port {PORT}")
    server.serve_forever()


if __name__ == "__main__":
    main()
