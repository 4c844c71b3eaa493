"""How fast a model answers by HTTP: Sluice's server, MLflow's scorer of the same registered model, and others.

    python tests/benchmarks/serving.py MODEL [--litserve PYTHON] [--bentoml PYTHON] [--mlserver PYTHON] [--rounds 3]

MODEL is registered in the home (`SLUICE_HOME`), and its raw columns are its features, so that MLflow takes the same
rows. Peers run under a Python of their own, where they are installed, and serve the same graph (`serving_peers.py`);
MLflow serves the registered files, as it does. First every server must say the same of 200 rows. Then they take turns:
as many requests as eight connections get answered, and an open loop, in which requests come at a rate whatever the
server does, each timed from when it should have been sent, so that a server that stands still is not spared.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from open_loop import Load, Measured, closed_loop, open_loop, timed_get

HERE = Path(__file__).parent
CONNECTIONS = 8
COMMON_RATE = 10
SHARES = (0.25, 0.5)  # of what eight connections got answered
WANTED = 1_000  # requests a second
ROWS = 200


@dataclass
class Contestant:
    """A server that runs.

    Attributes:
        name: What the table calls it.
        load: How it is asked: one request a row.
        read: The probabilities in an answer.
        pid: Its process; those that it started count, too.
        ready: Seconds from its start to its first answer.
        rates: Requests a second with eight connections, one number a round.
        open: What each open-loop rate measured, all rounds together.
    """

    name: str
    load: Load
    read: Callable[[Any], list[float]]
    pid: int
    ready: float
    rates: list[float] = field(default_factory=list)
    open: dict[int, Measured] = field(default_factory=dict)


def main() -> None:
    """Measure, and print tables in Markdown."""
    words = argparse.ArgumentParser()
    words.add_argument("model")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--open-rounds", type=int, default=2)
    words.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    for peer in ("litserve", "bentoml", "mlserver"):
        words.add_argument(f"--{peer}")
    given = words.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = started(contestants(given, scratch), stack)
        check_equal(servers)
        for number in range(given.rounds):
            for server in servers:
                server.rates.append(asyncio.run(closed_loop(server.load, CONNECTIONS, given.seconds)))
            print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        for _ in range(given.open_rounds):
            for server in servers:
                for rate in open_rates(server):
                    found = asyncio.run(open_loop(server.load, rate, given.seconds))
                    server.open[rate] = server.open.get(rate, Measured()) + found
        report(servers)


def started(contexts: Iterator[Any], stack: ExitStack) -> list[Contestant]:
    """The servers that start; without one that does not, the others are measured."""
    found = []
    for each in contexts:
        try:
            found.append(stack.enter_context(each))
        except NotStarted as error:
            print(error, file=sys.stderr)
    return found


class NotStarted(Exception):
    """A server ended before it answered, or took too long."""


def contestants(given: argparse.Namespace, scratch: Path) -> Iterator[Any]:
    """Each server as a context that it runs in."""
    from sluice.cli.serve_command import found_model

    folder, name = found_model(given.model)
    rows = random_rows(json.loads((folder / "serving.json").read_text(encoding="utf-8")))
    yield sluice_server(folder, name, rows)
    yield mlflow_server(name, rows)
    for peer in ("litserve", "bentoml", "mlserver"):
        if python := getattr(given, peer):
            yield peer_server(peer, python, folder, rows, scratch)


def random_rows(served: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows that the contract allows, always the same."""
    dice = random.Random(1)

    def value(each: dict[str, Any]) -> Any:
        if "values" in each:
            return dice.choice(each["values"])
        low, high = each.get("range", (0.0, 10.0))
        return dice.randint(int(low), int(high)) if each["type"] == "int64" else round(dice.uniform(low, high), 3)

    return [{each["name"]: value(each) for each in served["fields"]} for _ in range(ROWS)]


def sluice_server(folder: Path, name: str, rows: list[dict[str, Any]]) -> Any:
    """Sluice's own."""
    port = free_port()
    settings = json.dumps({"folder": str(folder), "name": name, "port": port})
    load = Load(port, "/v1/predict", [{"rows": [row]} for row in rows])
    command = [sys.executable, "-m", "sluice.serving", settings]
    return running(
        "Sluice", command, load, "/readyz", lambda body: list(body["forecasts"][0]["probabilities"].values())
    )


def mlflow_server(name: str, rows: list[dict[str, Any]]) -> Any:
    """`mlflow models serve` of the same version."""
    port = free_port()
    load = Load(
        port,
        "/invocations",
        [{"dataframe_split": {"columns": list(row), "data": [list(row.values())]}} for row in rows],
    )
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", f"models:/{name}"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    from sluice.registry.mlflow_access import tracking_uri

    return running("MLflow", command, load, "/ping", lambda body: list(body["predictions"][0].values()), tracking_uri())


def peer_server(peer: str, python: str, folder: Path, rows: list[dict[str, Any]], scratch: Path) -> Any:
    """Another server, which runs the same graph."""
    port = free_port()
    paths = {"litserve": "/predict", "bentoml": "/predict", "mlserver": "/v2/models/model/infer"}
    ready = {"litserve": "/health", "bentoml": "/readyz", "mlserver": "/v2/health/ready"}
    names = list(rows[0])
    bodies: list[Any] = [{"rows": [row]} for row in rows]
    read: Callable[[Any], list[float]] = lambda body: body["forecasts"][0]  # noqa: E731
    if peer == "mlserver":
        bodies = [
            {"inputs": [{"name": n, "shape": [1], "datatype": "FP64", "data": [row[n]]} for n in names]} for row in rows
        ]
        read = lambda body: body["outputs"][0]["data"]  # noqa: E731
    place = scratch / peer
    place.mkdir()
    command = [python, str(HERE / "serving_peers.py"), peer, str(folder), str(port), str(place)]
    return running(peer, command, Load(port, paths[peer], bodies), ready[peer], read)


@contextmanager
def running(
    name: str, command: list[str], load: Load, ready: str, read: Callable[[Any], list[float]], tracking: str = ""
) -> Iterator[Contestant]:
    """A server's process, from its start to its end."""
    environment = dict(os.environ) | {
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment |= {"MLFLOW_TRACKING_URI": tracking} if tracking else {}
    if command[0] != sys.executable:
        environment.pop("PYTHONPATH", None)  # a peer has packages of its own
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            while not timed_get(load.port, ready):
                if process.poll() is not None or time.monotonic() - began > 300:
                    log.seek(0)
                    raise NotStarted(f"{name} did not start: {log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield Contestant(name, load, read, process.pid, time.monotonic() - began)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server and all that it started."""
    for sign in (15, 9):
        try:
            os.killpg(process.pid, sign)
            process.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def check_equal(servers: list[Contestant]) -> None:
    """See that all say the same of the same rows."""
    said = {server.name: [server.read(body) for body in asyncio.run(server.load.answers())] for server in servers}
    first, *others = said
    for name in others:
        gap = max(
            abs(a - b) for one, two in zip(said[first], said[name], strict=True) for a, b in zip(one, two, strict=True)
        )
        print(f"largest difference of {name} to {first} on {ROWS} rows: {gap:.1e}")
        if not gap <= 1e-6:
            raise SystemExit(f"{name} says something else than {first}")


def open_rates(server: Contestant) -> list[int]:
    """A rate that all can bear, shares of what this one can, and the wanted one where that is less."""
    most = statistics.median(server.rates)
    wanted = [WANTED] if most > WANTED else []
    return sorted({COMMON_RATE, *(max(1, round(share * most)) for share in SHARES), *wanted})


def report(servers: list[Contestant]) -> None:
    """Print what was measured."""
    names = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    print(f"\n{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} processors ({names[0].partition(': ')[2]}),")
    print(f"Python {platform.python_version()}, load {', '.join(f'{each:.1f}' for each in os.getloadavg())}\n")
    base = statistics.median(servers[0].rates)
    print("| server | ready after, s | memory, MB | requests/s, 8 connections (least to most) | Sluice / it |")
    print("|---|---:|---:|---:|---:|")
    for each in servers:
        rate, low, high = statistics.median(each.rates), min(each.rates), max(each.rates)
        shown = f"{rate:,.0f} ({low:,.0f} to {high:,.0f}) | {base / rate:.1f}"
        print(f"| {each.name} | {each.ready:.1f} | {memory(each.pid) / 1e6:.0f} | {shown} |")
    print("\n| server | open loop, requests/s | p50, ms | p90 | p99 | p99.9 | longest | failed |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for each in servers:
        for rate, found in sorted(each.open.items()):
            shown = " | ".join(f"{1000 * found.percentile(share):.2f}" for share in (0.5, 0.9, 0.99, 0.999, 1.0))
            print(f"| {each.name} | {rate:,} | {shown} | {found.failed} of {found.count:,} |")


def memory(pid: int) -> int:
    """Bytes that a process and those that it started hold, each page that they share counted once."""
    found = 0
    for each in [pid, *_children(pid)]:
        text = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        found += 1024 * int((re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE) or ["", "0"])[1])
    return found


def _children(pid: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                child = int(path.parent.name)
                yield child
                yield from _children(child)
        except OSError:
            continue


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    main()
