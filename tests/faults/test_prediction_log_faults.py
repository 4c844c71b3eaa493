"""The prediction log when its process ends or is killed, the store is away, the disk is full: losses are counted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sluice.predictions.reader import LoggedRows, read_predictions
from sluice.storage.stores import Store, open_store
from tests.conftest import ROOT, NewMinio

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that answers and logs; waits for its first hundred answers."""
    running: list[subprocess.Popen[str]] = []

    def started(store: str, before: tuple[str, ...] = (), **settings: object) -> subprocess.Popen[str]:
        command = [*before, sys.executable, "-m", "tests.faults.log_writer", str(tmp_path / "spool"), store]
        process = subprocess.Popen([*command, json.dumps(settings)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout
        for line in process.stdout:
            if line == "ready\n":
                return process
        pytest.fail("the process ended early")

    yield started
    for process in running:
        process.kill()
        process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()


def logged(store: Store) -> LoggedRows:
    now = datetime.now(UTC)
    return read_predictions(store, "orders", now - timedelta(hours=1), now + timedelta(hours=1))


def numbers(rows: LoggedRows) -> list[int]:
    return [number for batch in rows.batches(["order"]) for number in batch.column(0).to_pylist()]


def ended(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """End it in order; what it told last, and before."""
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    *before, last = out.splitlines()
    return json.loads(last), "\n".join(before)


def wait(until: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_sigkill_loses_is_counted_by_the_next_process(tmp_path: Path, start: Start) -> None:
    """What was in memory for a tenth of a second at most; the rest is brought, from the disk."""
    store = open_store(str(tmp_path / "store"))
    process = start(store.uri, seconds=60)
    wait(lambda: int((tmp_path / "answered").read_bytes() or b"0") > 1500)
    process.kill()
    process.wait(timeout=10)
    answered = int((tmp_path / "answered").read_bytes())
    assert [writer.ended for writer in logged(store).writing] == [None]
    assert not logged(store).forms
    told, _ = ended(start(store.uri, seconds=60))
    found = logged(store)
    first = {loss.writer for loss in found.losses}
    assert len(first) == 1
    kept = numbers(found)
    # The kill may have come between a row's number and the test's own count of it.
    assert 0 <= len(kept) + found.lost - told["answered"] - answered <= 1
    assert 0 < found.lost < 1500
    assert {loss.reason for loss in found.losses} == {"their process was killed"}
    assert not list((tmp_path / "spool").iterdir())


@pytest.mark.minio
def test_a_store_that_is_away_and_back(
    new_minio: NewMinio, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    server = new_minio().start()
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SLUICE_STORE_TRIES", "1")
    store = open_store(f"s3://{server.bucket()}/store")
    process = start(store.uri, seconds=0.2)
    wait(lambda: list(store.keys("predictions/orders/date=")))
    server.stop()
    began = int((tmp_path / "answered").read_bytes())
    wait(lambda: int((tmp_path / "answered").read_bytes()) > began + 3000)
    assert list((tmp_path / "spool").rglob("*.rows"))
    server.start()
    wait(lambda: len(list((tmp_path / "spool").rglob("*.rows"))) <= 2)
    told, said = ended(process)
    found = logged(store)
    assert (told["done"], told["dropped"], found.lost) == (True, 0, 0)
    assert numbers(found) == list(range(told["answered"]))
    assert said.count("the prediction log waits in") == 1
    assert said.count("the store takes the prediction log again") == 1
    assert told["longest"] < 1


def test_an_end_while_the_store_is_away_leaves_rows_for_the_next_start(
    tmp_path: Path, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    store.write_text("a file stands where the store should be")
    told, said = ended(start(str(store), drain_seconds=0.5))
    assert not told["done"]
    assert "did not take all of the prediction log; the rest waits in" in said
    store.unlink()
    again, _ = ended(start(str(store)))
    found = logged(open_store(str(store)))
    assert (again["done"], found.lost) == (True, 0)
    assert len(numbers(found)) == told["answered"] + again["answered"]


def test_a_full_disk_stops_no_answer(tmp_path: Path, start: Start) -> None:
    """The disk of waiting rows has 256 KiB, and the store is away: rows are counted, and logged again later."""
    unshare = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    spool, store = tmp_path / "spool", tmp_path / "store"
    spool.mkdir()
    store.write_text("away")
    shell = f'mount -t tmpfs -o size=256k tmpfs {spool} && exec "$@"'
    process = start(str(store), (*unshare, "sh", "-c", shell, "sh"), seconds=0.3, drain_seconds=10)
    inside = Path(f"/proc/{process.pid}/root{spool}")
    wait(lambda: os.statvfs(inside).f_bavail < 8)
    at = int((tmp_path / "answered").read_bytes())
    wait(lambda: int((tmp_path / "answered").read_bytes()) > at + 1000)
    store.unlink()
    wait(lambda: os.statvfs(inside).f_bavail > 40)
    told, said = ended(process)
    found = logged(open_store(str(store)))
    assert told["done"]
    assert told["dropped"] == found.lost > 0
    assert len(numbers(found)) + found.lost == told["answered"]
    assert "rows are not logged, only counted: OSError: [Errno 28] No space left on device" in said
