"""A served model with a field of every type, and a caller of ASGI applications."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sluice.exporting.expressions import feature_columns
from sluice.exporting.graph import Graph
from sluice.exporting.graph_values import NUMBER
from sluice.exporting.served_files import FORECAST, Parity, RowField, ServedModel, write_served_model
from sluice.serving.app import Server
from sluice.serving.doors import Doors
from sluice.serving.exchange import Exchange, Loaded, OneVersion
from sluice.serving.feedback import FeedbackDesk
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.limits import Limits

DIGEST = "5b" * 32
FIELDS = (
    RowField(name="carrier", type="string", values=("AA", "B6", "UA"), description="Who flies."),
    RowField(name="remark", type="string", nullable=True),
    RowField(name="distance", type="float64", range=(0.0, 5000.0), unit="miles"),
    RowField(name="stops", type="int64", range=(0.0, 10.0)),
    RowField(name="festive", type="bool"),
    RowField(name="scheduled", type="timestamp"),
    RowField(name="day", type="date", nullable=True),
    RowField(name="temp", type="float64", nullable=True),
)
TYPES = {"string": "VARCHAR", "float64": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN", "timestamp": "TIMESTAMP"}
QUERY = """SELECT distance / 1000 AS far, stops, extract(hour FROM scheduled) AS hour,
CASE WHEN carrier = 'AA' THEN 1 ELSE 0 END AS airline, CASE WHEN remark IS NULL THEN 0 ELSE 1 END AS told,
CASE WHEN festive THEN 1 ELSE 0 END AS feast, coalesce(temp, 20.0) AS warm, coalesce(year(day), 2013) - 2013 AS years
FROM flights"""
FEATURES = ("far", "stops", "hour", "airline", "told", "feast", "warm", "years")
ROW: Mapping[str, Any] = {
    "carrier": "AA",
    "remark": "late crew",
    "distance": 1400.0,
    "stops": 1,
    "festive": True,
    "scheduled": "2013-07-04T18:30:00Z",
    "day": "2013-07-04",
    "temp": 31.5,
}


@cache
def graph(*, number: bool = False) -> bytes:
    """Log odds of a tenth of the sum of the features; or that sum, as a number."""
    made = Graph()
    kinds = {field.name: TYPES.get(field.type, "DATE") for field in FIELDS}
    found = feature_columns(made, QUERY, kinds, dict.fromkeys(FEATURES, NUMBER))
    numbers = made.side_by_side([made.column(found[name]) for name in FEATURES])
    total = made.add("MatMul", numbers, made.constant(np.full((len(FEATURES), 1), 0.1)))
    if number:
        return bytes(made.model(total, FORECAST, 1, {"sluice.model_digest": DIGEST}).SerializeToString())
    late = made.add("Sigmoid", total)
    both = made.side_by_side([made.add("Sub", made.constant(np.ones((1, 1))), late), late])
    return bytes(made.model(both, FORECAST, 2, {"sluice.model_digest": DIGEST}).SerializeToString())


def served_folder(folder: Path, *, number: bool = False) -> Path:
    """A served model in a folder, which is made."""
    folder.mkdir(parents=True)
    served = ServedModel(
        model="late",
        digest=DIGEST,
        question="Will it arrive late?",
        problem="regression" if number else "binary",
        label="late",
        classes=() if number else ("on time", "late"),
        threshold=None if number else 0.95,
        key=("row",),
        fields=FIELDS,
        parity=Parity(rows=100, on_thresholds=0, largest_difference=1e-16, limit=1e-6),
    )
    write_served_model(folder, served, graph(number=number))
    return folder


def odds(row: Mapping[str, Any]) -> float:
    """The sum of the features of a row, as the graph has it, by Python."""
    hour = int(str(row["scheduled"])[11:13])
    years = int(str(row["day"])[:4]) - 2013 if row.get("day") else 0
    warm = 20.0 if row.get("temp") is None else row["temp"]
    told = row.get("remark") is not None
    flags = (row["carrier"] == "AA") + told + bool(row["festive"])
    return float(0.1 * (row["distance"] / 1000 + row["stops"] + hour + flags + warm + years))


class Seen:
    """An observer that keeps what it saw."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def observed(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)


def server(
    folder: Path,
    limits: Limits | None = None,
    doors: Doors | None = None,
    observers: tuple[Any, ...] = (),
    feedback: FeedbackDesk | None = None,
) -> Server:
    """A server of the model, started by its first call."""
    loaded = Loaded("late/3", GraphJudge(folder))
    return Server(OneVersion(loaded), observers, limits, doors, threads=2, feedback=feedback)


@dataclass(frozen=True)
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    app: Server, path: str, body: Any = None, *, method: str = "", port: int = 80, slow: float = 0, **headers: str
) -> Got:
    """One request, with a loop of its own.

    Args:
        app: The application.
        path: Decoded.
        body: Bytes, or what becomes JSON; None asks by GET.
        method: By default GET or POST.
        port: At which it came in.
        slow: Seconds between the body's two halves.
        headers: With `_` for `-`.
    """
    return asyncio.run(ask(app, path, body, method=method, port=port, slow=slow, **headers))


async def ask(
    app: Server, path: str, body: Any = None, *, method: str = "", port: int = 80, slow: float = 0, **headers: str
) -> Got:
    """The same inside a loop."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    scope = {
        "type": "http",
        "method": method or ("GET" if body is None else "POST"),
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "server": ("127.0.0.1", port),
        "headers": [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items()],
    }
    chunks = [data] if not slow else [data[: len(data) // 2], data[len(data) // 2 :]]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"}
        if slow and len(chunks) == 1:
            await asyncio.sleep(slow)
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    if not app._ready:
        await app.start()
    await app(scope, receive, send)
    start = sent[0]
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return Got(start["status"], found, b"".join(message.get("body", b"") for message in sent[1:]))
