"""Sluice's S3 store against MinIO's own client, on a MinIO server of this machine.

Measured: a put and a get of 1 KiB, of 1 GiB (in parts, with the memory that it takes), a listing of 10,000 keys, and
the import. Each in a process of its own, the best of `--rounds`. MinIO's client is used as Sluice used it before:
content streamed in blocks of 1 MiB, its defaults otherwise.

    SLUICE_MINIO=/path/to/minio python tests/benchmarks/object_store.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

SMALL, SMALL_COUNT = 1024, 500
BIG_MIB = 1024
KEYS = 10_000
BLOCK = 1 << 20


def measure(client: str, what: str, bucket: str, file: Path) -> dict[str, float]:
    """Seconds, and the largest memory in MiB, of one thing done by one client."""
    began = time.perf_counter()
    operations = _sluice(bucket, file) if client == "sluice" else _minio(bucket, file)
    opened = time.perf_counter() - began
    before = _peak()
    began = time.perf_counter()
    operations[what]()
    took = time.perf_counter() - began
    grown = _peak() - before
    each = SMALL_COUNT if "1 KiB" in what else 1
    return {"seconds": (opened if what == "import" else took) / each, "memory": grown}


def _peak() -> float:
    """The most memory that this process has had, in MiB; Python's own measure begins with that of its parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _sluice(bucket: str, file: Path) -> dict[str, Callable[[], object]]:
    from sluice.storage.stores import open_store

    store = open_store(f"s3://{bucket}")
    return {
        "import": lambda: None,
        "put 1 KiB": lambda: [store.put_bytes(f"small/{n}", b"x" * SMALL) for n in range(SMALL_COUNT)],
        "get 1 KiB": lambda: [store.get_bytes(f"small/{n}") for n in range(SMALL_COUNT)],
        "put 1 GiB": lambda: store.put_file("big", file),
        "get 1 GiB": lambda: store.get_file("big", file.with_name("back")),
        "list 10,000": lambda: sum(1 for _ in store.keys("many/")),
    }


def _minio(bucket: str, file: Path) -> dict[str, Callable[[], object]]:
    import io

    from sluice.storage.s3_connection import Connection

    client = Connection.from_environment().client()

    def get(name: str, place: Path | None) -> None:
        answer = client.get_object(bucket, name)
        out = place.open("wb") if place else io.BytesIO()
        with out:
            for block in answer.stream(BLOCK):
                out.write(block)
        answer.close()
        answer.release_conn()

    def put_big() -> None:
        with file.open("rb") as content:
            client.put_object(bucket, "big", content, file.stat().st_size)

    def put_small() -> None:
        for n in range(SMALL_COUNT):
            client.put_object(bucket, f"small/{n}", io.BytesIO(b"x" * SMALL), SMALL)

    return {
        "import": lambda: None,
        "put 1 KiB": put_small,
        "get 1 KiB": lambda: [get(f"small/{n}", None) for n in range(SMALL_COUNT)],
        "put 1 GiB": put_big,
        "get 1 GiB": lambda: get("big", file.with_name("back")),
        "list 10,000": lambda: sum(1 for _ in client.list_objects(bucket, "many/", recursive=True)),
    }


def main() -> None:
    """Start a server, fill it, measure each client by turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="what has this in its name, such as GiB")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        client, what, bucket, file = given.one
        print(json.dumps(measure(client, what, bucket, Path(file))))
        return
    from tests.conftest import MinioServer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = MinioServer(os.environ.get("SLUICE_MINIO", str(ROOT / ".tools/bin/minio")), folder / "minio").start()
        try:
            _compare(server.bucket(), folder, server.settings(), given.rounds, given.only)
        finally:
            server.stop()


def _compare(bucket: str, folder: Path, settings: dict[str, str], rounds: int, only: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from sluice.storage.stores import open_store

    os.environ.update(settings)
    os.environ["PYTHONPATH"] = os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])
    file, block = folder / "big", os.urandom(BLOCK)
    with file.open("wb") as out:
        for _ in range(BIG_MIB):
            out.write(block)
    store = open_store(f"s3://{bucket}")
    with ThreadPoolExecutor(8) as pool:  # what is listed
        list(pool.map(lambda n: store.put_bytes(f"many/{n:06}", b""), range(KEYS)))
    print("| | obstore (Sluice) | minio-py | |")
    print("|---|---|---|---|")
    every = ("import", "put 1 KiB", "get 1 KiB", "put 1 GiB", "get 1 GiB", "list 10,000")
    for what in (each for each in every if only in each):
        best: dict[str, dict[str, float]] = {}
        for _ in range(rounds):
            for client in ("sluice", "minio"):
                words = [sys.executable, __file__, "--one", client, what, bucket, str(file)]
                found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
                best[client] = min(best.get(client, found), found, key=lambda each: each["seconds"])
        print(_row(what, best["sluice"], best["minio"]), flush=True)


def _row(what: str, ours: dict[str, float], theirs: dict[str, float]) -> str:
    def shown(found: dict[str, float]) -> str:
        memory = f", {found['memory']:.0f} MiB" if "GiB" in what else ""
        seconds = found["seconds"]
        return f"{seconds * 1000:.1f} ms{memory}" if seconds < 1 else f"{seconds:.1f} s{memory}"

    return f"| {what} | {shown(ours)} | {shown(theirs)} | {theirs['seconds'] / ours['seconds']:.1f} x |"


if __name__ == "__main__":
    main()
