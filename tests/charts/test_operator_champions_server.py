"""Who reigns, changed by the operator's process: a real API server, a real registry with two champions, a real store.

The champion is taken back by a person, by its servers' health and by what its windows say, each time on record. How
many seconds that takes is measured on a cluster, not asserted here: a busy machine imports MLflow for a minute.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from sluice.artifacts.bundles import publish, workspace
from sluice.artifacts.producer import producer
from sluice.monitoring.log_states import LogState, SeenWindow, write_state
from sluice.monitoring.records import MetricRecord, PerformanceRecord, WatchSettings, WatchState, WindowRecord
from sluice.registry.promotions import Promotion, promotions
from sluice.registry.versions import CHAMPION
from sluice.storage.locations import default_store
from tests.charts.api_server import NAMESPACE, ApiServer
from tests.charts.kfp_stand_in import StandIn
from tests.charts.operator_process import Operator, operators, project, request, training
from tests.unit import small_world
from tests.unit.test_register import Pipeline

pytestmark = pytest.mark.xdist_group("api_server")
Json = dict[str, Any]
SITE = {
    "namespace": NAMESPACE,
    "release": "sluice",
    "images": {"server": "i", "tabular": "i", "torch": "i"},
    "storeUrl": "http://store",
    "mlflowUrl": "http://mlflow",
}
VARIABLES = ("MLFLOW_TRACKING_URI", "SLUICE_STORE", "SLUICE_RUN", "SLUICE_PIPELINE")


@pytest.fixture(scope="module")
def two_champions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home where version 2 replaced version 1, by runs of the second half of a pipeline."""
    home = tmp_path_factory.mktemp("two") / "home"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", str(home))
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        pipeline = Pipeline(small_world.splits(), home.parent / "work")
        assert pipeline(small_world.WORSE).record.decision == "promoted"
        assert pipeline(small_world.GOOD).record.decision == "promoted"
    return home


@dataclass
class Place:
    """An operator that works, and the registry that it works on."""

    api: ApiServer
    operator: Operator

    def status(self, kind: str, name: str) -> Json:
        found = yaml.safe_load(self.api.kubectl("get", kind, name, "--output=yaml").stdout)
        return dict((found or {}).get("status") or {})

    def ask(self, name: str, action: str, **spec: str) -> Json:
        """Make a Request as bob; its status once it is answered."""
        self.api.apply([request(name, "late", action=action, by="bob", **spec)])
        self.operator.until(
            lambda: "accepted" in self.status("requests.sluice.dev", name), f"{name} to be answered", 300
        )
        return self.status("requests.sluice.dev", name)

    def champion(self) -> str:
        return str(mlflow.MlflowClient().get_model_version_by_alias("late", CHAMPION).version)

    def records(self) -> list[Promotion]:
        return promotions(default_store(), "late")

    def on_record(self, number: int) -> None:
        """Wait until there are so many records."""
        self.operator.until(lambda: len(self.records()) >= number, f"record {number}", 300)


@pytest.fixture
def place(
    operator_api: ApiServer, kfp: StandIn, two_champions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    shutil.copytree(two_champions, tmp_path / "sluice")
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "sluice"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "certs").symlink_to(operator_api.home / "certs")
    operator_api.kubectl("delete", "continuoustrainings,requests,backfills,modelservers,projects", "--all")
    operator_api.kubectl("delete", "lease", "sluice-operator")
    operator_api.apply([project()])
    from sluice.running.lineage import lineage

    lineage("late")  # the home was copied: MLflow's places follow
    with operators(operator_api, tmp_path, kfp.url) as make:
        # A Lease that a busy machine does not lose; what is young is looked at each 5 s, whatever `windows` says.
        pauses = {"runs": 0.5, "lakes": 2, "registry": 5, "windows": 3600}
        operator = make(site=SITE, lease={"name": "sluice-operator", "seconds": 40}, pauses=pauses)
        operator.variables = {"SLUICE_HOME": str(tmp_path / "sluice")}
        operator.start()
        operator.ready()
        yield Place(operator_api, operator)


def seen(place: Place) -> None:
    """Until the ContinuousTraining was looked at."""
    place.operator.until(lambda: place.status("continuoustraining", "late").get("champion") == "2", "champion 2")


@pytest.mark.long  # tests/kind/test_operator.py has it with a registry of the cluster
def test_a_person_rolls_back_and_promotes_and_is_answered_when_it_stands(place: Place) -> None:
    place.api.apply([training("late")])
    seen(place)
    told = place.ask("back", "rollback", reason="complaints")
    assert place.champion() == "1", "the answer comes when the alias stands"
    assert told["accepted"] is True
    assert "version 1 is champion: version 1 reigns again in place of version 2: asked for by bob" in told["words"]
    last = place.records()[-1]
    assert (last.decision, last.version, last.replaced) == ("restored", "1", "2")
    assert "bob" in last.reason
    told = place.ask("forth", "promote", version="2", reason="it was the weather")
    assert (told["accepted"], place.champion()) == (True, "2")
    assert told["words"] == "version 2 is champion: asked for by bob: it was the weather"
    told = place.ask("none", "promote", version="7", reason="it is the best")
    assert (told["accepted"], place.champion(), len(place.records())) == (False, "2", 4)


def test_servers_that_stop_answering_take_their_champion_back(place: Place) -> None:
    place.api.apply([training("late", rollback={"unhealthy": "2s"})])
    server = {"apiVersion": "sluice.dev/v1alpha1", "kind": "ModelServer", "metadata": {"name": "late"}}
    place.api.apply([server | {"spec": {"model": "late", "replicas": 1}}])
    seen(place)
    place.operator.until(lambda: place.api.kubectl("get", "deployment", "model-late").returncode == 0, "the servers")

    def pods(ready: int) -> None:
        status = {"replicas": 1, "readyReplicas": ready, "availableReplicas": ready}
        words = ("patch", "deployment", "model-late", "--subresource=status", "--type=merge")
        done = place.api.kubectl(*words, f"--patch={json.dumps({'status': status})}")
        assert done.returncode == 0, done.stderr

    pods(1)
    place.operator.until(lambda: place.status("modelserver", "late").get("ready") == "1/1", "a pod that answers")
    assert len(place.records()) == 2
    pods(0)
    place.on_record(3)
    last = place.records()[-1]
    assert (last.decision, last.version) == ("restored", "1")
    assert "its servers have not answered" in last.reason
    place.operator.until(lambda: place.status("continuoustraining", "late").get("champion") == "1", "the champion")


def window(worse: float) -> None:
    """What `sluice monitor` keeps of a window of version 2 that has just ended, with its labels."""
    store, now = default_store(), datetime.now(UTC)
    name = f"{now:%Y-%m-%d %H:%M:%S}"
    metric = MetricRecord(
        value=0.5 + worse, low=0.49 + worse, high=0.51 + worse, reference=0.5, worse=worse, least_rows=10
    )
    judged = PerformanceRecord(
        how="labels", state="told", reason="", rows=900, labelled=900, metrics={"log_loss": metric},
        effective_rows=900.0, foreign=0.0, assumptions=(),
    )  # fmt: skip
    record = WindowRecord(
        name=name, rows=900, reference_rows=900, by_labels=judged, estimated=None, slices=(), faults=(), outputs=(),
        inputs=(), evidence={}, alarms=(), notes=(),
    )  # fmt: skip
    with workspace(store) as folder:
        (folder / "window.json").write_text(record.model_dump_json(by_alias=True))
        details = {"monitoring": record.model_dump(mode="json", by_alias=True)}
        bundle = publish(store, folder, "dataset", producer("monitor", {}), details=details, move=True)
    seen_window = SeenWindow(
        name=name, begin=now - timedelta(hours=1), end=now, rows=900, labelled=900, weighed=True, datasets=(bundle.id,)
    )
    settings = WatchSettings(metric="log_loss", span="hour")
    state = LogState(
        digest="d", settings=settings, reference=(), until=now, looked=now, watch=WatchState(), windows=(seen_window,)
    )
    write_state(store, "late", "2", state)


def test_a_window_that_shows_the_champion_worse_takes_it_back(place: Place) -> None:
    window(0.01)
    place.api.apply([training("late", rollback={"performance": {"worse": 0.05, "by": "labels"}})])
    seen(place)
    assert len(place.records()) == 2
    window(0.3)
    place.on_record(3)
    last = place.records()[-1]
    assert (last.decision, last.version) == ("restored", "1")
    assert "log_loss by labels was 0.8" in last.reason
