"""Requests that nobody means well: whatever comes, the server answers below 500, and grows no more than it may.

`SLUICE_FUZZED=10000` asks for more of them; which ones follows from their number alone.
"""

import asyncio
import gc
import io
import json
import os
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.serving.feedback import FeedbackDesk
from sluice.serving.limits import Limits
from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.storage.stores import open_store
from tests.unit.serving_world import FIELDS, ROW, ask, served_folder, server

COUNT = int(os.environ.get("SLUICE_FUZZED", "600"))
STREAM = "application/vnd.apache.arrow.stream"
PATHS = (
    "/v1/predict",
    "/v1/feedback",
    "/invocations",
    "/v2/models/late/infer",
    "/v2/models/late/versions/3/infer",
    "/v1/model",
    "/x",
)
TYPES = ("application/json", "text/csv", STREAM, "", "text/plain; charset=utf-8", "\xff")
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**53 + 1,
    -(2**63),
    10**40,
    10**400,
    1e308,
    -0.0,
    "",
    "AA",
    "x" * 300,
    "\x00",
    "\ud800",
    "\uffff",
    "é",
    "NaN",
    "1e999",
    "2013-07-04T18:30:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2013-02-30",
    "\uff12\uff1013-07-04",
    [],
    {},
    [[]],
    {"a": {"b": [1]}},
    [1, [2]],
    "'; DROP TABLE",
    "{{7*7}}",
    "<script>",
]


def value(dice: random.Random) -> Any:
    return dice.choice(ODD) if dice.random() < 0.7 else "".join(chr(dice.randrange(0xD800)) for _ in range(3))


def row(dice: random.Random) -> dict[str, Any]:
    made = dict(ROW)
    for _ in range(dice.randrange(4)):
        made[dice.choice([*ROW, "other", "", "\x00"])] = value(dice)
    for _ in range(dice.randrange(2)):
        made.pop(dice.choice(list(made)))
    return made


def tensor(dice: random.Random, rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    kinds = ("BYTES", "BOOL", "INT8", "UINT64", "FP16", "FP32", "FP64", "INT64", "TEXT")
    made = {"name": name, "shape": [len(rows)], "datatype": dice.choice(kinds), "data": [r.get(name) for r in rows]}
    if dice.random() < 0.3:
        made[dice.choice(list(made))] = value(dice)
    return made


def document(dice: random.Random) -> tuple[str, Any]:
    """A path, and what may be sent to it."""
    rows = [row(dice) if dice.random() < 0.6 else dict(ROW) for _ in range(dice.choice((1, 1, 2, 20)))]
    columns = {name: [each.get(name) for each in rows] for name in ROW}
    cells = [list(cells) for cells in zip(*columns.values(), strict=True)]
    tensors = [tensor(dice, rows, field.name) for field in FIELDS]
    return dice.choice(
        (
            ("/v1/predict", {"rows": rows}),
            ("/v1/predict", {str(value(dice)) if dice.random() < 0.5 else "rows": value(dice)}),
            ("/invocations", {"dataframe_records": rows, "params": value(dice)}),
            ("/invocations", {"dataframe_split": {"columns": list(columns), "data": cells}}),
            ("/invocations", {"dataframe_split": {"columns": value(dice), "data": value(dice)}}),
            ("/invocations", {"inputs": columns}),
            ("/invocations", {"instances": value(dice)}),
            ("/v2/models/late/infer", {"inputs": tensors, "outputs": value(dice), "id": value(dice)}),
            ("/v2/models/late/versions/3/infer", {"inputs": tensors}),
            ("/v1/feedback", {"labels": [{"request": value(dice), "row": value(dice), "late": value(dice)}]}),
            ("/v1/feedback", {"labels": [{"request": "a", "late": dice.choice(("late", "on time"))}, value(dice)]}),
            ("/v1/feedback", {"labels": value(dice), "arrived": value(dice)}),
            (dice.choice(PATHS), value(dice)),
        )
    )


def text(made: Any) -> bytes:
    """As JSON, with what JSON cannot write in its place."""
    try:
        return json.dumps(made, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError):
        return json.dumps(str(type(made))).encode()


def table(dice: random.Random) -> bytes:
    arrays: dict[str, Any] = {
        "carrier": pa.array(["AA", "ZZ", None]),
        "stops": pa.array([1, 2, None], dice.choice((pa.int8(), pa.uint64(), pa.float16()))),
        "scheduled": pa.array([0, 2**62, None], pa.timestamp(dice.choice(("s", "us", "ns")))),
        "day": pa.array([0, 2**30, None], pa.date32()),
        "distance": pa.array([float("nan"), float("inf"), 1.0]),
        "remark": pa.array([b"\xff", b"", None]) if dice.random() < 0.3 else pa.array(["", "\x00", None]),
    }
    names = dice.sample(list(arrays), dice.randrange(1, 7))
    made, sink = pa.table({name: arrays[name] for name in names}), io.BytesIO()
    with pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_table(made)
    return sink.getvalue()


def request(dice: random.Random) -> tuple[str, str, bytes]:
    """A path, a media type and a body, which mostly belong together."""
    kind, path, media = dice.random(), "/v1/predict", "application/json"
    if kind < 0.55:
        path, found = document(dice)
        made = text(found)
    elif kind < 0.7:
        path, media, names = "/invocations", "text/csv", dice.sample(list(ROW), dice.randrange(5, 9))
        lines = [",".join(str(dice.choice((ROW[name], value(dice)))) for name in names) for _ in range(2)]
        made = "\n".join([",".join(names), *lines]).encode("utf-8", "surrogatepass")
    elif kind < 0.85:
        media, made = STREAM, table(dice)
    elif kind < 0.9:
        made = dice.choice((b"[", b'{"rows":', b'{"a":{"rows":[')) * dice.choice((10, 2_000, 200_000))
    else:
        made = dice.randbytes(dice.choice((0, 1, 50, 5_000)))
    for _ in range(dice.choice((0, 0, 0, 1, 3))):  # damaged on the way
        place = dice.randrange(len(made) + 1)
        made = made[:place] + dice.randbytes(dice.randrange(3)) + made[place + dice.randrange(3) :]
    path = dice.choice(PATHS) if dice.random() < 0.15 else path
    return path, dice.choice(TYPES) if dice.random() < 0.15 else media, made


def test_no_request_brings_the_server_down(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    log = PredictionLog(LogSettings(spool=tmp_path / "spool"), store)
    folder, limits = served_folder(tmp_path / "late"), Limits(rows=50, body=2**20)
    app = server(folder, limits, observers=(log,), feedback=FeedbackDesk(store))
    statuses: Counter[int] = Counter()

    async def all_of_them() -> None:
        await app.start()
        for number in range(COUNT):
            if number == COUNT // 3:
                tracemalloc.start()
            dice = random.Random(number)
            path, media, made = request(dice)
            method = "PUT" if dice.random() < 0.03 else "POST"
            id_ = "".join(chr(dice.randrange(256)) for _ in range(dice.randrange(9)))
            got = await ask(app, path, made, method=method, content_type=media, x_request_id=id_)
            assert got.status < 500, (number, made[:500], got)
            if got.headers["content-type"] == "application/json":
                got.json  # noqa: B018 - it can be read
            statuses[got.status] += 1
        await app.stop()

    asyncio.run(all_of_them())
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {200, 400, 404, 405, 413, 415, 422} <= statuses.keys(), statuses
    assert grown < 2**20, f"{grown:,} bytes are held after the last request"
    assert app._held.bytes == app._answering == 0
    assert (log.state().dropped, log.state().observed) == (0, log.state().stored)
