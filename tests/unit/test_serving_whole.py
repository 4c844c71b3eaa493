"""`sluice serve MODEL` as one process under load: aliases move, a canary ends, registry and store go and come back."""

import json
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.modeling.catalogue import candidates_for
from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_settings import TrainingSettings
from sluice.predictions.forms import REQUEST, ROLE, ROW
from sluice.predictions.reader import read_predictions
from sluice.registry.served import SERVED
from sluice.registry.versions import find_version
from sluice.serving.canary_watch import Watch
from sluice.serving.labelled_losses import LoggedLosses
from sluice.serving.registered import open_registry
from sluice.serving.traffic_records import TrafficRecord
from sluice.storage.locations import default_store
from tests.serving_load import Load, Told, wait
from tests.serving_process import SECONDS, Running, heavy_libraries, most_memory, running
from tests.unit import small_world
from tests.unit.test_register import Pipeline

MODEL, CLIENTS, ROWS = "late", 4, 10
CLASSES = small_world.TASK.classes
COLUMNS = ["noise", "weather", "carrier"]
FRAME = small_world.frame(CLIENTS * ROWS, seed=7)
MOVED = 10.0
"""Seconds within which a server follows an alias."""


def rows_of(client: int) -> list[dict[str, Any]]:
    """What a client sends; whether they were late is another column."""
    found = FRAME.iloc[client * ROWS : (client + 1) * ROWS][COLUMNS].astype(object).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in found]


@pytest.fixture
def home(tracked_home: Path, tmp_path: Path) -> Path:
    """A registry where version 1 is champion, and version 2, which the gate refused, challenger."""
    pipeline = Pipeline(small_world.splits(), tmp_path / "work")
    assert pipeline({"lines": line_through(small_world.RATES)}).record.decision == "promoted"
    assert pipeline({"lines": line_through({"storm": 0.8, "rain": 0.18, "sun": 0.18})}).record.decision == "refused"
    return tracked_home


def line_through(rates: Mapping[str, float]) -> Any:
    """A logistic regression that learned these shares of late rows by weather."""
    parts = []
    for seed, rows in ((21, 3000), (22, 800)):
        frame, dice = small_world.frame(rows, seed), np.random.default_rng(seed + 1000)
        late = dice.random(rows) < frame.weather.map(rates).to_numpy(np.float64)
        parts.append(Part(frame, late.astype(np.int64)))
    train, validation = parts
    candidate = next(each for each in candidates_for(small_world.TASK) if each.name == "logistic-regression")
    return candidate.fit(Parts(small_world.TASK, train, validation, train), TrainingSettings(seed=3)).model


def sluice(*words: str) -> str:
    return CliRunner().invoke(app, list(words), catch_exceptions=False).output


@pytest.mark.long  # tests/kind/test_model_server.py has it on a cluster
def test_a_model_is_served_watched_and_taken_back(home: Path) -> None:
    settings = {"model": MODEL, "port": 0, "slices": ["carrier"], "log": {"seconds": 0.3}, "limits": {"seconds": 30}}
    graph = _spoiled(home)
    with running(home, json.dumps(settings), module="sluice.serving") as server:
        said = "\n".join(server.said)
        assert "late/1" in said
        load = Load(server.port, [rows_of(client) for client in range(CLIENTS)], rate=20)
        with load.running():
            wait(lambda: "refused late/2" in _said(server), MOVED, lambda: server.said)
            _restored(graph)
            _a_label_finds_its_request(server)
            _goes_on_without_registry_and_store(server, load, home)
            wait(lambda: "late/2" in _versions(server), 30, lambda: server.said)
            _answers_soon(server, load, "late/2", "promote", "late/2", "--reason", "to see")
            _answers_soon(server, load, "late/1", "rollback", MODEL, "--reason", "it disappoints")
            record = _canary(server, load)
            assert record.event == "roll back"
            assert record.reason.startswith("the challenger is worse: loss "), record.reason
            wait(lambda: "roll back (record" in _said(server), MOVED, lambda: server.said)
            settled = len(load.answers)
            wait(load.more(100), 30, lambda: server.said)
            assert {each.version for each in load.answers[settled + 20 :]} == {"late/1"}
            assert heavy_libraries(server.process.pid) == {"onnxruntime"}
            assert most_memory(server.process.pid) < 150 * 2**20
            answered = len(load.answers)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(SECONDS) == 0, server.said
    assert {each.status for each in load.answers[:answered]} == {200}
    _nothing_is_lost(load)


def _said(server: Running) -> str:
    return "\n".join(server.said)


def _versions(server: Running) -> list[str]:
    return list(json.loads(server.ask("/v1/model")[1])["versions"])


def _spoiled(home: Path) -> tuple[Path, bytes]:
    """The challenger's graph in the store with one other byte; where it is, and what it was."""
    graph = home / "store" / "models" / find_version("late/2").tags[SERVED] / "model.onnx"
    kept = graph.read_bytes()
    graph.chmod(0o644)
    graph.write_bytes(kept.replace(b"forecast", b"forecasT"))
    return graph, kept


def _restored(spoiled: tuple[Path, bytes]) -> None:
    spoiled[0].write_bytes(spoiled[1])


def _a_label_finds_its_request(server: Running) -> None:
    """By each protocol the same is said; the request is found by its id, and takes a label."""
    row, store = rows_of(0)[0], default_store()
    tensors = [
        {"name": name, "shape": [1], "datatype": "FP64" if name == "noise" else "BYTES", "data": [row[name]]}
        for name in COLUMNS
    ]
    shares = []
    for path, body, found in (
        ("/v1/predict", {"rows": [row]}, lambda told: list(told["forecasts"][0]["probabilities"].values())),
        ("/invocations", {"dataframe_records": [row]}, lambda told: list(told["predictions"][0].values())),
        ("/v2/models/late/infer", {"inputs": tensors}, lambda told: told["outputs"][1]["data"]),
    ):
        status, answer = server.ask(path, body)
        assert status == 200, answer
        shares.append(found(json.loads(answer)))
    assert shares[0] == shares[1] == shares[2], "the same by each protocol"
    request = json.loads(server.ask("/v1/predict", {"rows": [row]})[1])["request"]
    label = {"labels": [{"request": request, "row": 0, "late": "late"}]}
    status, answer = server.ask("/v1/feedback", label)
    assert (status, json.loads(answer)["labels"]) == (200, 1)
    status, answer = server.ask("/v1/feedback", {"labels": [{"request": request, "late": "later"}]})
    assert status == 422
    assert "later" in json.loads(answer)["detail"]
    wait(lambda: request in _logged(store), 20, lambda: server.said)
    assert "late/1 (champion" in sluice("which", request)


def _logged(store: Any) -> dict[str, list[str]]:
    """The rows' roles by request."""
    now = datetime.now(UTC)
    found: dict[str, list[str]] = {}
    rows = read_predictions(store, MODEL, now - timedelta(hours=1), now + timedelta(hours=1))
    for batch in rows.batches([REQUEST, ROW, ROLE]):
        for request, role in zip(batch.column(REQUEST).to_pylist(), batch.column(ROLE).to_pylist(), strict=True):
            found.setdefault(request, []).append(role)
    return found


def _goes_on_without_registry_and_store(server: Running, load: Load, home: Path) -> None:
    store, database = home / "store", home / "mlflow.db"
    store.rename(home / "store.away")
    store.write_text("a file stands where the store should be")
    database.rename(home / "mlflow.db.away")
    wait(lambda: {"registry", "log"} <= json.loads(server.ask("/readyz")[1]).keys(), 20, lambda: server.said)
    status, answer = server.ask("/v1/feedback", {"labels": [{"request": "a", "late": "late"}]})
    assert (status, json.loads(answer)["detail"]) == (
        503,
        "the labels were not kept, for the store fails; send them again",
    )
    wait(load.more(100), 30, lambda: server.said)
    assert server.ask("/readyz")[0] == 200
    metrics = server.ask("/metrics")[1].decode()
    assert "sluice_registry_up 0.0" in metrics
    assert "sluice_log_store_up 0.0" in metrics
    assert "sluice_log_dropped_rows_total 0.0" in metrics
    store.unlink()
    (home / "store.away").rename(store)
    (home / "mlflow.db.away").rename(database)
    wait(lambda: "the store takes the prediction log again" in _said(server), 30, lambda: server.said)
    wait(lambda: "the registry answers again" in _said(server), MOVED, lambda: server.said)


def _answers_soon(server: Running, load: Load, version: str, *words: str) -> None:
    """A command moves the alias; within MOVED seconds it is this version that answers."""
    sluice(*words)
    wait(lambda: load.answers[-1].version == version, MOVED, lambda: server.said)
    wait(load.more(20), 20, lambda: server.said)
    assert {each.version for each in load.answers[-10:]} == {version}


def _canary(server: Running, load: Load) -> TrafficRecord:
    """A canary on true losses: labels come for what was answered, until it is decided."""
    wait(lambda: "late/2" in _versions(server), MOVED, lambda: server.said)
    told = sluice("canary", MODEL, "--reason", "to see", "--steps", "50", "--guard", "loss")
    assert told.startswith("begin late/2 at 0.5")
    dice, store = np.random.default_rng(11), default_store()
    watch = Watch(store, MODEL, open_registry(), losses=LoggedLosses(store, MODEL))
    labelled, deadline = len(load.answers), time.monotonic() + 90
    while True:
        assert time.monotonic() < deadline, server.said
        new = load.answers[labelled:]
        labelled += len(new)
        labels = [label for each in new for label in _labels(each, dice)]
        if labels:
            status, answer = server.ask("/v1/feedback", {"labels": labels})
            assert status == 200, (answer, [each for each in new if each.status != 200], server.said)
        record, _ = watch.look(time.time())
        if record is not None and not record.running:
            return record
        time.sleep(0.5)


def _labels(told: Told, dice: np.random.Generator) -> list[dict[str, Any]]:
    """Whether the rows of a request were late, as their weather has it."""
    late = [dice.random() < small_world.RATES[row["weather"]] for row in rows_of(told.client)]
    return [{"request": told.request, "row": place, "late": CLASSES[each]} for place, each in enumerate(late)]


def _nothing_is_lost(load: Load) -> None:
    now = datetime.now(UTC)
    rows = read_predictions(default_store(), MODEL, now - timedelta(hours=1), now + timedelta(hours=1))
    assert (rows.lost, rows.writing) == (0, ())
    logged = _logged(default_store())
    for each in load.answers:
        if each.status == 200:
            roles = [role for role in logged[each.request] if role != "shadow"]
            assert len(roles) == ROWS, each
    assert any("shadow" in roles for roles in logged.values())
