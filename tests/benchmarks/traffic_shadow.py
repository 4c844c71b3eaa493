"""What a shadow costs those who ask: a server under the same load with and without one, in turns.

python tests/benchmarks/traffic_shadow.py [SECONDS] [TURNS]
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from sluice.artifacts.bundles import publish
from sluice.artifacts.producer import producer
from sluice.core.environment import set_variables
from sluice.serving.served_versions import SERVED
from sluice.storage.locations import default_store
from tests.conftest import free_port
from tests.unit import traffic_server
from tests.unit.test_traffic_server import RATE, THREADS, Load, _answers, wait
from tests.unit.traffic_world import MODEL, digest_of, register, served_folder


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
                _, told = measured(Path(name), shadow, seconds)
                half, most = np.quantile(told, [0.5, 0.99]) * 1000
                print(f"{turn + 1} shadow {shadow:.0%}: p50 {half:.2f} p99 {most:.2f}", flush=True)


def measured(folder: Path, shadow: float, seconds: float) -> tuple[str, np.ndarray]:
    port, log = free_port(), folder / "log"
    command = [sys.executable, str(traffic_server.__file__), MODEL, str(port), str(shadow)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        wait(lambda: _answers(port), 60, log)
        wait(lambda: "late/2" in log.read_text(), 20, log)
        load = Load(port)
        clients = [threading.Thread(target=load.run, args=(number,)) for number in range(THREADS)]
        for each in clients:
            each.start()
        time.sleep(seconds)
        load.ended.set()
        for each in clients:
            each.join(20)
        assert {status for _, status, *_ in load.answers} == {200}
        return log.read_text(), np.array([took for *_, took in load.answers[100:]])
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
