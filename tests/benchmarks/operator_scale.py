"""How the operator does with 1,000 or 5,000 ContinuousTrainings: `python tests/benchmarks/operator_scale.py 1000`.

A real API server with etcd on this machine, KFP as a stand-in over HTTP. Told are: the memory of the operator's process
after all were looked at; its requests to the Kubernetes API while nothing happens; and the time from sending an event
to the run's being accepted, of events to resources chosen at random, one after the other. Versions and load of the
machine are told, too: on a busy one the times are those of the machine.
"""

import json
import os
import random
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

import yaml  # noqa: E402 - see above

from tests.charts.api_server import running  # noqa: E402
from tests.charts.kfp_stand_in import standing_in  # noqa: E402
from tests.charts.operator_process import Operator, empty_registry, operators, project, training  # noqa: E402

EVENTS, IDLE_SECONDS, PART = 60, 30, 250


def resident(operator: Operator) -> float:
    """MiB of memory that the process holds, its own pages alone and all."""
    assert operator.process
    text = Path(f"/proc/{operator.process.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="sluice-scale-") as name, standing_in() as kfp, running(Path(name)) as api:
        home = Path(name)
        api.apply([yaml.safe_load(p.read_text()) for p in (ROOT / "manifests/crds").glob("*.sluice.dev.yaml")])
        while api.kubectl("get", "continuoustrainings").returncode:
            time.sleep(0.5)
        api.apply([project()])
        names = [f"model-{number:04d}" for number in range(count)]
        made = [training(n, model=n, triggers=[{"name": "e", "event": {"type": n}}]) for n in names]
        for first in range(0, count, PART):
            api.apply(made[first : first + PART])
        empty_registry(home / "sluice")
        with operators(api, home, kfp.url) as make:
            operator = make(lease={"name": "sluice-operator", "seconds": 15}, pauses={})  # as the chart has them
            began = time.monotonic()
            operator.start()
            operator.ready(600)
            label = 'sluice_operator_reconcile_seconds_count{kind="ContinuousTraining"}'
            operator.until(lambda: metrics(operator).get(label, 0) >= count, "all to be looked at", 1800)
            told = {"resources": count, "first_look_seconds": round(time.monotonic() - began, 1)}
            operator.until(lambda: metrics(operator).get("sluice_operator_queue_depth") == 0, "a calm queue", 600)
            before = operator.metrics()["sluice_operator_kubernetes_requests"]
            time.sleep(IDLE_SECONDS)
            idle = (operator.metrics()["sluice_operator_kubernetes_requests"] - before) / IDLE_SECONDS
            told |= {"idle_requests_per_second": round(idle, 3), "resident_mib": round(resident(operator), 1)}
            times = sorted(event_to_run(operator, kfp, random.choice(names), number) for number in range(EVENTS))
            told |= {f"event_to_run_{p}": round(times[int(len(times) * p / 100)], 3) for p in (50, 95)}
            told["resident_mib_after"] = round(resident(operator), 1)
            told |= {"load": os.getloadavg()[0], "processors": os.cpu_count(), "python": sys.version.split()[0]}
            version = json.loads(api.kubectl("version", "--output=json").stdout)["serverVersion"]["gitVersion"]
            told |= {"kubernetes": version, "kopf": metadata.version("kopf")}
    print(json.dumps(told, indent=1))


def metrics(operator: Operator) -> dict[str, float]:
    """What it tells; nothing while it is too busy to answer. One that has ended is told with its last lines."""
    assert operator.process
    assert operator.process.poll() is None, operator.log()
    try:
        return operator.metrics()
    except OSError:
        return {}


def event_to_run(operator: Operator, kfp: object, name: str, number: int) -> float:
    """Seconds from sending an event to KFP's having accepted the run."""
    there = len(kfp.runs)  # type: ignore[attr-defined]
    began = time.monotonic()
    status = operator.send({"specversion": "1.0", "id": str(number), "source": "/scale", "type": name})
    assert status == 202, status
    while len(kfp.runs) == there:  # type: ignore[attr-defined]
        assert time.monotonic() - began < 60
        time.sleep(0.005)
    kfp.finish()  # type: ignore[attr-defined]
    return time.monotonic() - began


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
