"""What the gateway of runs' pods costs: one large file and many small ones, through it and at MinIO directly.

Run it with `PYTHONPATH=.:platform python tests/benchmarks/run_gateway.py` in the repository's root; it takes nginx,
MinIO (`make tools`) and 3 GiB of disk. nginx has the chart's own configuration; the Kubernetes API is made up. The two
ways alternate, so that a noisy machine disturbs both alike. The client is a process of its own.
"""

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from minio import Minio

from tests.charts.run_gateway import Gateway
from tests.conftest import ROOT, MinioServer

ROUNDS, GIB, SMALL, THREADS = 3, 1 << 30, 300, 8
Way = tuple[str, str, str]  # host and port, access key, secret key


class Zeros(io.RawIOBase):
    """A gibibyte that takes no memory; every block is another."""

    def __init__(self) -> None:
        self._left = GIB

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        size = min(size if size >= 0 else self._left, self._left)
        self._left -= size
        return self._left.to_bytes(8, "big") + bytes(size - 8) if size >= 8 else bytes(size)


def client(way: Way) -> Minio:
    """The SDK's client."""
    return Minio(way[0], way[1], way[2], secure=False, region="us-east-1")


def upload(way: Way) -> float:
    """MiB a second of one large file, in parts of 16 MiB, three at a time."""
    began = time.perf_counter()
    client(way).put_object("sluice", "runs/run-ours/large", Zeros(), GIB, part_size=16 << 20)
    return (GIB >> 20) / (time.perf_counter() - began)


def download(way: Way) -> float:
    """MiB a second of the same file."""
    began = time.perf_counter()
    answer = client(way).get_object("sluice", "runs/run-ours/large")
    assert sum(len(block) for block in answer.stream(1 << 20)) == GIB
    return (GIB >> 20) / (time.perf_counter() - began)


def one_by_one(way: Way) -> float:
    """Files of 1 KiB a second, one after another."""
    return small(way, 1)


def at_once(way: Way) -> float:
    """Files of 1 KiB a second, from several threads."""
    return small(way, THREADS)


def small(way: Way, threads: int) -> float:
    store, began = client(way), time.perf_counter()

    def put(number: int) -> None:
        store.put_object("sluice", f"runs/run-ours/{number}", io.BytesIO(bytes(1024)), 1024)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(put, range(SMALL)))
    return SMALL / (time.perf_counter() - began)


MEASURES: dict[str, Callable[[Way], float]] = {
    "upload of 1 GiB, MiB/s": upload,
    "download of 1 GiB, MiB/s": download,
    "puts of 1 KiB, one by one, per second": one_by_one,
    f"puts of 1 KiB, {THREADS} at once, per second": at_once,
}


def main() -> None:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        folder = Path(name)
        server = MinioServer(os.environ.get("SLUICE_MINIO", str(ROOT / ".tools/bin/minio")), folder / "minio").start()
        try:
            server.client().make_bucket("sluice")
            (folder / "gateway").mkdir()
            with Gateway(server, folder / "gateway").running() as gateway, ProcessPoolExecutor(1) as other:
                keys = server.access_key, server.secret_key
                ways = {"MinIO": f"127.0.0.1:{server.port}", "gateway": f"127.0.0.1:{gateway.port}"}
                print("| what | MinIO | gateway |\n|---|---|---|")
                for what, measure in MEASURES.items():
                    found: dict[str, list[float]] = {way: [] for way in ways}
                    for _ in range(ROUNDS):
                        for way, place in ways.items():
                            found[way].append(other.submit(measure, (place, *keys)).result())
                    print(
                        f"| {what} | " + " | ".join(f"{statistics.median(each):,.0f}" for each in found.values()) + " |"
                    )
        finally:
            server.stop()
    print(f"medians of {ROUNDS}; load of this machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
