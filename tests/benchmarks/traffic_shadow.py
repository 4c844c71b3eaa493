"""What a shadow costs those who ask: a server under the same load with and without one, in turns.

python tests/benchmarks/traffic_shadow.py [SECONDS] [TURNS]
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sluice.artifacts.bundles import publish
from sluice.artifacts.producer import producer
from sluice.core.environment import set_variables
from sluice.registry.served import SERVED
from sluice.storage.locations import default_store
from tests.serving_load import Load, wait
from tests.serving_process import running
from tests.unit.traffic_world import MODEL, digest_of, raw, register, served_folder

THREADS, RATE = 4, 50
"""Clients, and requests a second of each."""


def main(seconds: float, turns: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        set_variables({"SLUICE_HOME": name})
        client, store = register("1", "2"), default_store()
        for version in "12":
            folder = served_folder(Path(name) / version, version)
            details = {"model": MODEL, "model_digest": digest_of(version)}
            client.set_model_version_tag(
                MODEL, version, SERVED, publish(store, folder, "model", producer("serve", {}), details=details).id
            )
        client.set_registered_model_alias(MODEL, "champion", "1")
        client.set_registered_model_alias(MODEL, "challenger", "2")
        print(f"{THREADS * RATE} requests a second of one row, {seconds:g} s each; milliseconds", flush=True)
        for turn in range(turns):
            for shadow in (0.0, 1.0):
                told = measured(Path(name), shadow, seconds)
                half, most = np.quantile(told, [0.5, 0.99]) * 1000
                print(f"{turn + 1} shadow {shadow:.0%}: p50 {half:.2f} p99 {most:.2f}", flush=True)


def measured(folder: Path, shadow: float, seconds: float) -> np.ndarray:
    """Seconds of each answer, without the first hundred."""
    settings = {"model": MODEL, "port": 0, "shadow": shadow, "slices": ["carrier"], "feedback": False}
    with running(folder, json.dumps(settings), module="sluice.serving") as server:
        wait(lambda: "late/2" in "\n".join(server.said), 20, lambda: server.said)
        with Load(server.port, [raw([client]) for client in range(THREADS)], RATE).running() as load:
            time.sleep(seconds)
        assert {each.status for each in load.answers} == {200}
        return np.array([each.seconds for each in load.answers[100:]])


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
