"""A walk at random through what can happen to the operator: `python tests/benchmarks/operator_soak.py MINUTES [SEED]`.

A real API server with etcd on this machine, KFP as a stand-in over HTTP that loses answers, doubles what it is told and
goes away. Resources are made, made wrong, mended, suspended and removed; events come twice; the operator is killed, and
the API server ends and begins again. After each step the world has to come to where it should be; told is how long
that took, and in the end how many events were lost, runs doubled and runs left without their resource.
"""

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

import yaml  # noqa: E402 - see above

from sluice.operator.evidence import EventSeen  # noqa: E402
from sluice.operator.keys import event_mark, marks_of  # noqa: E402
from tests.charts.api_server import ApiServer, running  # noqa: E402
from tests.charts.kfp_stand_in import StandIn, standing_in  # noqa: E402
from tests.charts.operator_process import Operator, empty_registry, operators, project, training  # noqa: E402

Json = dict[str, Any]
NAMES = tuple(f"model-{number}" for number in range(12))
WRONG = [{"name": "nightly", "schedule": {"cron": "0 3 31 2 *"}}]
CONVERGED_SECONDS = 120.0


@dataclass
class Walk:
    """What was done and what has to be true.

    Attributes:
        there: The specification of each resource that is there: `fine`, `wrong` or `suspended`.
        sent: Marks of the events that were confirmed, by resource, since it was made.
        seconds: How long each kind of step took until the world was where it should be.
    """

    api: ApiServer
    kfp: StandIn
    operator: Operator
    rng: random.Random
    there: dict[str, str] = field(default_factory=dict)
    sent: dict[str, set[str]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    number: int = 0

    def step(self) -> None:
        """Do one thing and wait until it has had its effect."""
        name = self.rng.choice(NAMES)
        state = self.there.get(name)
        if state is None:
            what: tuple[str, Callable[[str], None]] = ("make", self.make)
        else:
            choices = [("event", self.event)] * 8 + [("wrong", self.wrong), ("suspend", self.suspend)]
            choices += [("remove", self.remove), ("kill", self.kill), ("kfp", self.trouble), ("api", self.restart)]
            what = self.rng.choice(choices if state == "fine" else [("mend", self.make), ("remove", self.remove)])
        began = time.monotonic()
        what[1](name)
        self.seconds.setdefault(what[0], []).append(time.monotonic() - began)
        self.kfp.finish(self.rng.choice(["SUCCEEDED", "SUCCEEDED", "FAILED"]))

    def make(self, name: str) -> None:
        self._apply(name, "fine", [{"name": "e", "event": {"type": name}}])
        try:
            self._until(lambda: self._reason(name) in ("Deciding", "RunsFail"), f"{name} to be ready")
        except AssertionError:
            print(json.dumps(self.status(name), indent=1), file=sys.stderr)
            raise

    def wrong(self, name: str) -> None:
        self._apply(name, "wrong", WRONG)
        self._until(lambda: self._reason(name) == "NotValid", f"{name} to be told that it is wrong")

    def suspend(self, name: str) -> None:
        self._apply(name, "suspended", [{"name": "e", "event": {"type": name}}], suspend=True)
        self._until(lambda: self.status(name).get("phase") == "Suspended", f"{name} to be suspended")

    def remove(self, name: str) -> None:
        done = self.api.kubectl("delete", "continuoustraining", name)
        assert done.returncode == 0, done.stderr
        del self.there[name]
        self.sent.pop(name, None)
        self._until(lambda: not self.orphans(), "the runs of a resource that is gone to be ended")

    def event(self, name: str) -> None:
        """One event, sent two or three times; a run of that resource begins."""
        self.number += 1
        body = {"specversion": "1.0", "id": f"e{self.number}", "source": "/soak", "type": name}
        before = len(self.runs(name))
        for _ in range(self.rng.choice((2, 3))):
            self._until(lambda: self.operator.send(body) == 202, "the event to be taken")
        mark = event_mark(EventSeen(id=body["id"], source=body["source"]))
        self.sent.setdefault(name, set()).add(mark)
        self._until(lambda: len(self.runs(name)) > before or self._waits(name), f"a run for an event of {name}")
        self._until(lambda: not self.doubled(), "doubles to be ended")

    def kill(self, _: str) -> None:
        self.operator.kill()
        self.operator.start()
        self.operator.ready()

    def trouble(self, _: str) -> None:
        self.kfp.lose, self.kfp.double = self.rng.choice(((1, 0), (0, 1), (1, 1)))
        self.kfp.away = self.rng.random() < 0.5
        time.sleep(self.rng.uniform(0, 3) if self.kfp.away else 0)  # away for so long: nothing is waited for
        self.kfp.away = False

    def restart(self, _: str) -> None:
        if self.rng.random() < 0.8:
            return  # it takes long, and is one thing among many
        self.api.stop()
        self.api.start()
        if self.operator.process and self.operator.process.poll() is not None:
            self.operator.start()
        self._until(lambda: self._again(), "the operator to work")

    def _again(self) -> bool:
        """It may lose its Lease some seconds after the API server is back, and is begun again then."""
        if self.operator.process and self.operator.process.poll() is not None:
            self.operator.start()
        return self.operator.probe("/readyz") == 200

    def _apply(self, name: str, state: str, triggers: list[Json], **spec: Any) -> None:
        self.api.apply([training(name, model=name, triggers=triggers, concurrency=20, retries=0, **spec)])
        self.there[name] = state

    def status(self, name: str) -> Json:
        done = self.api.kubectl("get", "continuoustraining", name, "--output=yaml")
        return dict((yaml.safe_load(done.stdout) or {}).get("status") or {}) if done.returncode == 0 else {}

    def _reason(self, name: str) -> str:
        """Why it is ready or not."""
        found = self.status(name).get("conditions", ())
        return next((str(each["reason"]) for each in found if each["type"] == "Ready"), "")

    def _waits(self, name: str) -> bool:
        """Several failures one after the other make a trigger wait; then it stands in the status."""
        return bool(self.status(name).get("pending"))

    def runs(self, name: str) -> list[Json]:
        return [each for each in self.kfp.begun() if each["display_name"].rpartition("-")[0] == name]

    def orphans(self) -> list[str]:
        """Runs on their way whose resource is gone."""
        return [
            each["display_name"]
            for each in self.kfp.begun()
            if each["state"] in ("PENDING", "RUNNING") and each["display_name"].rpartition("-")[0] not in self.there
        ]

    def lost(self) -> int:
        """Events that were confirmed and are in no status."""
        return sum(len(marks - set(marks_of(self.status(name).get("events", "")))) for name, marks in self.sent.items())

    def doubled(self) -> list[str]:
        return [name for name, count in self.kfp.live().items() if count > 1]

    def settle(self) -> None:
        """Until nothing is doubled and nothing left behind."""
        self._until(lambda: not self.doubled() and not self.orphans(), "an end without doubles")

    def _until(self, check: Callable[[], Any], what: str) -> None:
        self.operator.until(lambda: self._alive() and check(), what, CONVERGED_SECONDS)

    def _alive(self) -> bool:
        """The kubelet's part: a process that has ended begins again."""
        if self.operator.process and self.operator.process.poll() is not None:
            self.operator.start()
        return True


def main(minutes: float, seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as name, standing_in() as kfp, running(Path(name)) as api:
        api.apply([yaml.safe_load(p.read_text()) for p in (ROOT / "manifests/crds").glob("*.sluice.dev.yaml")])
        while api.kubectl("get", "continuoustrainings").returncode:
            time.sleep(0.5)
        api.apply([project()])
        empty_registry(Path(name, "sluice"))
        with operators(api, Path(name), kfp.url) as make:
            walk = Walk(api, kfp, make(), random.Random(seed))
            walk.operator.start()
            walk.operator.ready()
            end = time.monotonic() + minutes * 60
            while time.monotonic() < end:
                walk.step()
            walk.settle()
            told = summary(walk, minutes, seed)
    print(json.dumps(told, indent=1))
    return 1 if told["events_lost"] or told["runs_doubled"] or told["orphans"] else 0


def summary(walk: Walk, minutes: float, seed: int) -> Json:
    steps = sorted(value for values in walk.seconds.values() for value in values)
    return {
        "minutes": minutes,
        "seed": seed,
        "steps": len(steps),
        "converged_p95_seconds": round(steps[int(len(steps) * 0.95)], 2),
        "converged_longest_seconds": round(steps[-1], 2),
        "by_step": {
            what: {"count": len(values), "median_seconds": round(statistics.median(values), 2)}
            for what, values in sorted(walk.seconds.items())
        },
        "events_confirmed": sum(len(marks) for marks in walk.sent.values()),
        "events_lost": walk.lost(),
        "runs": len(walk.kfp.begun()),
        "runs_doubled": len(walk.doubled()),
        "orphans": len(walk.orphans()),
    }


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 1))
