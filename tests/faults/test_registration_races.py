"""Registrations at the same moment, in processes of their own: one champion, one version of a digest, one chain."""

import json
import multiprocessing
import os
import traceback
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TypeAlias

import pytest

from sluice.components.register.run import run
from sluice.registry.promotions import promotions
from sluice.registry.versions import CHAMPION, version_by_alias, versions
from sluice.storage.locations import default_store
from tests.unit import small_world
from tests.unit.test_register import Pipeline

SECONDS = 900
# Imports cost the most: one process makes them, the others are forked from it.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "sluice.components.register.run",
        "mlflow.pyfunc",
        "mlflow.store.tracking.sqlalchemy_store",
        "mlflow.store.model_registry.sqlalchemy_store",
    ]
)
SETTINGS = ("SLUICE_", "MLFLOW_", "AWS_")


Answers: TypeAlias = "Queue[tuple[str, str, str]]"


def register_at_once(
    barrier: Barrier, answers: Answers, variables: dict[str, str], data: str, models: str, place: str
) -> None:
    """What each process does: make ready, wait for the others, register; tell decision, version and reason."""
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:  # the server's, of an earlier test
        del os.environ[name]
    os.environ.update(variables)
    from sluice.registry.mlflow_access import mlflow_module

    mlflow_module().MlflowClient().search_registered_models()
    folder = Path(place)
    barrier.wait(SECONDS)
    try:
        done = run(data, models, folder / "e.json", result=folder / "r.json", card=folder / "c.md")
        answers.put((done.record.decision, done.version.version, done.record.reason))
    except BaseException:  # noqa: BLE001 - the parent process tells of it
        answers.put(("broke", "", traceback.format_exc()))


def at_once(pipeline: Pipeline, prepared: list[tuple[str, Path]]) -> list[tuple[str, str, str]]:
    barrier, answers = SERVER.Barrier(len(prepared)), SERVER.Queue()
    shared = (barrier, answers, {k: v for k, v in os.environ.items() if k.startswith(SETTINGS)}, pipeline.data.uri)
    processes = [
        SERVER.Process(target=register_at_once, args=(*shared, models, str(file.parent)), daemon=True)
        for models, file in prepared
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=SECONDS) for _ in processes]
    for process in processes:
        process.join(SECONDS)
    assert all(decision != "broke" for decision, _, _ in told), told
    return told


# The records are kept by the same code in both; an object store is where a cluster's runs meet.
@pytest.fixture(params=[pytest.param("local", marks=pytest.mark.long), pytest.param("s3", marks=pytest.mark.minio)])
def pipeline(
    request: pytest.FixtureRequest, tracked_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Pipeline:
    if request.param == "s3":
        monkeypatch.setenv("SLUICE_STORE", f"s3://{request.getfixturevalue('s3').bucket()}/store")
    return Pipeline(small_world.splits(), tmp_path / "work")


def evaluations(pipeline: Pipeline, rates: list[float]) -> list[tuple[str, Path]]:
    """Models that differ a little, each judged while there was no champion."""
    prepared = []
    for rate in rates:
        models, file = pipeline.evaluated({"weather": small_world.rule("weather", small_world.RATES | {"rain": rate})})
        assert json.loads(file.read_text())["decision"] == "promote"
        prepared.append((models.uri, file))
    return prepared


def test_of_several_winners_at_once_one_becomes_champion(pipeline: Pipeline) -> None:
    told = at_once(pipeline, evaluations(pipeline, [0.39, 0.4, 0.41]))
    assert sorted(decision for decision, _, _ in told) == ["promoted", "refused", "refused"], told
    (winner,) = [version for decision, version, _ in told if decision == "promoted"]
    assert all("champion changed" in reason for decision, _, reason in told if decision == "refused")
    champion = version_by_alias("late", CHAMPION)
    assert champion is not None
    assert champion.version == winner
    records = promotions(default_store(), "late")
    assert [record.number for record in records] == [1, 2, 3]
    assert [record.version for record in records if record.decision == "promoted"] == [winner]


def test_the_same_model_at_once_is_one_version_promoted_once(pipeline: Pipeline) -> None:
    ((models, file),) = evaluations(pipeline, [0.4])
    prepared = []
    for number in range(3):
        own = file.parent / f"own-{number}" / file.name
        own.parent.mkdir()
        own.write_bytes(file.read_bytes())
        prepared.append((models, own))
    told = at_once(pipeline, prepared)
    assert {version for _, version, _ in told} == {"1"}, told
    assert [version.version for version in versions("late")] == ["1"]
    assert [record.decision for record in promotions(default_store(), "late")] == ["promoted"]
