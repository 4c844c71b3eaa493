"""A server process under load while the alias moves: no request fails, and soon all answers are the new version's."""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sluice.artifacts.bundles import publish
from sluice.artifacts.producer import producer
from sluice.registry.versions import CHAMPION
from sluice.serving.aliases import CHALLENGER
from sluice.serving.canary import Plan
from sluice.serving.canary_watch import Watch, begin
from sluice.serving.registered import open_registry
from sluice.serving.served_versions import SERVED
from sluice.serving.traffic_records import TrafficRecord
from sluice.storage.locations import default_store
from tests.unit.traffic_world import CANDIDATES, MODEL, digest_of, raw, register, served_folder, spoiled

BAD = "4"
THREADS, RATE = 4, 50
"""Clients, and requests a second of each."""


@dataclass
class Load:
    """Clients that ask without end.

    Attributes:
        answers: When each came, its status, version, digest and seconds.
    """

    port: int
    answers: list[tuple[float, int, str, str, float]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        body, due, turn = json.dumps({"rows": raw([number])}), time.perf_counter(), 0
        while not self.ended.is_set():
            due, turn = due + 1 / RATE, turn + 1
            time.sleep(max(0.0, due - time.perf_counter()))
            begun = time.perf_counter()
            headers = {"content-type": "application/json", "x-request-subject": f"customer {number}-{turn}"}
            try:
                connection.request("POST", "/v1/predict", body, headers)
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except OSError as error:
                self.answers.append((time.time(), 0, str(error), "", 0.0))
                return
            version, digest = told.get("model", str(told)), told.get("digest", "")
            self.answers.append((time.time(), answer.status, version, digest, time.perf_counter() - begun))


@pytest.fixture
def world(tracked_home: Path, tmp_path: Path) -> Path:
    """A registry with three versions, each with its published served folder; the first is champion."""
    client, store = register(*CANDIDATES), default_store()
    for version in CANDIDATES:
        folder = served_folder(tmp_path / version, version)
        if version == BAD:
            spoiled(folder)
        details = {"model": MODEL, "model_digest": digest_of(version)}
        bundle = publish(store, folder, "model", producer("serve", {}), details=details)
        client.set_model_version_tag(MODEL, version, SERVED, bundle.id)
    client.set_registered_model_alias(MODEL, CHAMPION, "1")
    return tracked_home


@pytest.fixture
def server(world: Path, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[tuple[int, Path]]:
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, str(Path(__file__).with_name("traffic_server.py")), MODEL, str(port), "1.0"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        wait(lambda: _answers(port), 60.0, log)
        yield port, log
    finally:
        process.terminate()
        process.wait(30)


def wait(seen: Callable[[], object], seconds: float, log: Path) -> float:
    begun = time.monotonic()
    while not seen():
        assert time.monotonic() < begun + seconds, log.read_text()
        time.sleep(0.02)
    return time.monotonic() - begun


def _rolled_back(client: Any, log: Path) -> TrafficRecord:
    """A canary of the spoiled version, decided on what the server puts into the store, until it ends."""
    watch = Watch(default_store(), MODEL, open_registry())
    client.set_registered_model_alias(MODEL, CHAMPION, "2")
    client.set_registered_model_alias(MODEL, CHALLENGER, BAD)
    wait(lambda: f"late/{BAD}" in log.read_text(), 10, log)
    first, bad = (watch.registry.version(MODEL, number) for number in ("2", BAD))
    begin(watch.records, first, bad, Plan(steps=(0.3,)), "to see", time.time())
    found: list[TrafficRecord] = []

    def ended() -> bool:
        record, _ = watch.look(time.time())
        found.extend([record] if record else [])
        return bool(found) and not found[-1].running

    wait(ended, 30, log)
    return found[-1]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_an_alias_moves_under_load_without_a_failed_request(server: tuple[int, Path]) -> None:
    import mlflow

    (port, log), client, store = server, mlflow.MlflowClient(), default_store()
    load = Load(port)
    clients = [threading.Thread(target=load.run, args=(number,)) for number in range(THREADS)]
    for each in clients:
        each.start()
    try:
        wait(lambda: len(load.answers) > 2 * RATE, 20, log)
        client.set_registered_model_alias(MODEL, CHALLENGER, "2")
        wait(lambda: "late/2" in log.read_text(), 10, log)
        moved = time.time()
        client.set_registered_model_alias(MODEL, CHAMPION, "2")
        wait(lambda: load.answers[-1][2] == "late/2", 10, log)
        third = client.get_model_version(MODEL, "3").tags[SERVED]
        graph = store.local_path(f"models/{third}/model.onnx")
        assert graph is not None
        graph.write_bytes(graph.read_bytes().replace(b"forecast", b"forecasT"))
        client.set_registered_model_alias(MODEL, CHAMPION, "3")
        wait(lambda: "refused late/3" in log.read_text(), 10, log)
        settled = len(load.answers)
        wait(lambda: len(load.answers) > settled + RATE, 20, log)
        back = _rolled_back(client, log)
        wait(lambda: "roll back (record" in log.read_text(), 10, log)
        ended = len(load.answers)
        wait(lambda: len(load.answers) > ended + 2 * RATE, 20, log)
    finally:
        load.ended.set()
        for each in clients:
            each.join(30)
    told = log.read_text()
    assert {status for _, status, *_ in load.answers} == {200}, told
    assert {version: digest for _, _, version, digest, _ in load.answers} == {
        f"late/{version}": digest_of(version) for version in ("1", "2", BAD)
    }
    assert "the challenger is worse: errors 100.00% against 0.00%" in back.reason
    late = max(moment for moment, _, version, *_ in load.answers if version == "late/1")
    assert late - moved < 10
    assert [version for *_, version, _, _ in load.answers][-RATE:] == ["late/2"] * RATE
    assert "model.onnx differs from its SHA-256 in the manifest" in told
    assert told.count("refused late/3") == 1
    ready = re.search(r"READY ([0-9.]+) s, (\d+) MB, heavy: (.*)", told)
    assert ready is not None, told
    assert ready[3] == "[]"
    assert int(ready[2]) <= 150
