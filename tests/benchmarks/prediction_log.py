"""What the prediction log adds to requests of one row, how many rows it takes, and how much memory.

    python -m tests.benchmarks.prediction_log SERVED [--seconds 0.5] [--turns 60] [--rate 500]

SERVED is a folder with a served model (`sluice export`). Requests go to the ASGI application itself, without a network,
so that the log's share is not hidden behind it; turns with and without the log follow each other in one process. A
request's time begins when it was due (open loop), so one that had to wait is counted with its wait.
"""

import argparse
import asyncio
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sluice.exporting.served_files import ServedModel
from sluice.serving.app import Server
from sluice.serving.exchange import Loaded, OneVersion
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.storage.stores import open_store


def memory() -> dict[str, float]:
    """Resident now and at most, in MB."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    found = {words[0]: int(words[1]) / 1000 for words in lines if words[0] in ("VmRSS:", "VmHWM:")}
    return {"now": found["VmRSS:"], "most": found["VmHWM:"]}


def body_of(served: ServedModel) -> bytes:
    values = {"string": "a", "bool": True, "timestamp": "2026-01-01T00:00:00Z", "date": "2026-01-01"}
    row = {}
    for field in served.fields:
        number = sum(field.range) / 2 if field.range else 1.0
        value = field.values[0] if field.values else values.get(field.type, number)
        row[field.name] = int(value) if field.type == "int64" else value
    return json.dumps({"rows": [row]}).encode()


async def ask(server: Server, body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200, message

    await server({"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}, receive, send)


async def turn(server: Server, body: bytes, rate: float, seconds: float) -> np.ndarray:
    """Microseconds from when each request was due to its answer, and from its begin, shape (requests, 2)."""
    begun, found = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = begun + number / rate
        if (rest := due - time.perf_counter()) > 0:
            await asyncio.sleep(rest)
        started = time.perf_counter()
        await ask(server, body)
        ended = time.perf_counter()
        found.append((ended - due, ended - started))
    return np.array(found) * 1e6


def told_of(turns: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Percentiles over all turns."""
    both = np.concatenate(turns)
    names, ranks = ("p50", "p90", "p99", "p99.9"), [50, 90, 99, 99.9]
    return {
        word: dict(zip(names, np.percentile(both[:, place], ranks).round(1).tolist(), strict=True))
        for place, word in enumerate(("from when it was due", "from its begin"))
    }


def p99_ratio(found: dict[str, list[np.ndarray]]) -> list[float]:
    """How many times the p99 from a request's begin is with the log, and the 95 % interval over pairs of turns."""
    random, pairs = np.random.default_rng(1), len(found["with"])

    def ratio(chosen: np.ndarray) -> float:
        p99 = [
            np.percentile(np.concatenate([found[name][n] for n in chosen])[:, 1], 99) for name in ("with", "without")
        ]
        return float(p99[0] / p99[1])

    drawn = [ratio(random.integers(0, pairs, pairs)) for _ in range(500)]
    return [round(each, 3) for each in (ratio(np.arange(pairs)), *np.percentile(drawn, [2.5, 97.5]).tolist())]


async def full_speed(server: Server, body: bytes, seconds: float) -> dict[str, float]:
    """Requests a second, and microseconds of CPU a request, those of the log's threads too."""
    begun, used, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < seconds:
        await ask(server, body)
        count += 1
        if not count % 50:
            await asyncio.sleep(0)
    cpu = (time.process_time() - used) / count * 1e6
    return {"requests/s": round(count / (time.perf_counter() - begun)), "CPU us/request": round(cpu, 1)}


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    judge = GraphJudge(options.served)
    traffic, body = OneVersion(Loaded(f"{judge.served.model}/1", judge)), body_of(judge.served)
    plain = Server(traffic)
    told: dict[str, Any] = {"memory without": memory()}
    log = PredictionLog(LogSettings(spool=folder / "spool", seconds=options.file_seconds), open_store(str(folder)))
    log.start()
    logged = Server(traffic, [log])
    found: dict[str, list[np.ndarray]] = {"without": [], "with": []}
    gc.freeze()
    for number in range(options.turns):
        pairs = [("without", plain), ("with", logged)]
        for name, server in pairs if number % 2 else reversed(pairs):
            found[name].append(await turn(server, body, options.rate, options.seconds))
    told |= {name: told_of(turns) for name, turns in found.items()} | {"p99 with / without": p99_ratio(found)}
    for _ in range(3):
        told.setdefault("full speed without", []).append(await full_speed(plain, body, options.seconds))
        told.setdefault("full speed with", []).append(await full_speed(logged, body, options.seconds))
    told["done"] = log.stop()
    told["state"] = vars(log.state())
    told["memory with"] = memory()
    return told


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("served", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--file-seconds", type=float, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(asyncio.run(measure(options, Path(name))), indent=1))
