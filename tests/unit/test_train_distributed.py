"""Two real processes train one network; one of them is killed, and the result is the same to the last bit."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice.artifacts.bundles import Bundle, open_bundle
from sluice.components.train_distributed.component import train_distributed
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.evaluation.candidates import read_candidates
from sluice.modeling.distributed import processes
from sluice.modeling.distributed.checkpoints import NAME
from sluice.modeling.distributed.job_settings import Job, Learning, Running
from sluice.modeling.distributed.publishing import RESULT
from sluice.modeling.distributed.results import published
from sluice.modeling.model_files import load_model
from sluice.registry.mlflow_access import mlflow_module
from sluice.reporting.pages import sections_of
from sluice.storage.locations import default_store
from tests.unit.test_train_step import Place, dataset, labelled

ROOT = Path(__file__).parents[2]
LEARNING = Learning(workers=2, epochs=12, patience=12, batch_rows=64)
NAMES = ["random", "zero-rule", "heuristic", "embedding-network"]
DEADLINE = 120.0


@dataclass(frozen=True)
class Trained:
    """An undisturbed run of the step."""

    source: Bundle
    bundle: Bundle
    page: Path
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def home(empty_tracking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("distributed")
    shutil.copyfile(empty_tracking, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("MLFLOW_", "SLUICE_", "KUBERNETES_"))]:
            patch.delenv(name)
        patch.setenv("SLUICE_HOME", str(home))
        patch.setenv("PYTHONPATH", str(ROOT))
        yield home


@pytest.fixture(scope="module")
def undisturbed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("outputs")
    places = {name: Place(folder / name) for name in ("models", "curves", "metrics")}
    source = dataset()
    given = {name: getattr(LEARNING, name) for name in ("workers", "epochs", "patience", "batch_rows")}
    address = train_distributed.python_func(splits=source.uri, checkpoint_seconds=1.0, **given, **places)
    assert address == places["models"].uri
    return Trained(source, open_bundle(address), folder / "curves", places["metrics"].metadata)


def test_the_bundle_is_one_of_trains_and_its_network_predicts(undisturbed: Trained) -> None:
    folder, manifest = Path(undisturbed.bundle.uri), undisturbed.bundle.manifest
    assert [entry.name for entry in read_candidates(folder, "here")] == NAMES
    assert manifest.parents == (undisturbed.source.id,)
    assert manifest.details["task"]["label"] == "late"
    assert manifest.producer.parameters == {
        "workers": 2, "epochs": 12, "patience": 12, "batch_rows": 64, "learning_rate": 0.001, "seed": 2013
    }  # fmt: skip
    rows = labelled(400, 5)
    proba = load_model(folder / "embedding-network").predict_proba(rows)
    assert proba.shape == (400, 2)
    assert ((proba[:, 1] > 0.5) == rows["late"]).mean() > 0.7
    (section,) = sections_of(undisturbed.page.read_text())
    assert "2 workers trained the network together" in section.html
    assert list(undisturbed.metrics) == [f"{name} validation log loss" for name in NAMES]
    assert undisturbed.metrics["embedding-network validation log loss"] < 0.55


def test_mlflow_has_the_epochs_of_the_network(undisturbed: Trained) -> None:
    client = mlflow_module().MlflowClient()
    runs = client.search_runs([found.experiment_id for found in client.search_experiments()])
    parent = next(found for found in runs if found.info.run_name == "train_distributed")
    children = {f.info.run_name: f for f in runs if f.data.tags.get("mlflow.parentRunId") == parent.info.run_id}
    assert sorted(children) == sorted(NAMES)
    history = client.get_metric_history(children["embedding-network"].info.run_id, "validation_log_loss")
    assert [point.step for point in history] == list(range(1, 13))
    assert children["embedding-network"].data.params["processes"] == "2"
    assert parent.data.params["train_distributed.max_restarts"] == "2"
    assert parent.data.tags["sluice.models"] == undisturbed.bundle.id


def worker_of(rank: int) -> int:
    """The process id of a worker that torchrun, a child of ours, started; 0 where there is none yet."""
    for place in Path("/proc").iterdir():
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
            command = (place / "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        wanted = {f"RANK={rank}".encode(), f"PYTEST_WORKERS_OF={os.getpid()}".encode()}
        if b"sluice.modeling.distributed.worker" in command and wanted <= set(variables):
            return int(place.name)
    return 0


def once(ready: Callable[[], bool], act: Callable[[], None]) -> threading.Thread:
    """A thread that acts as soon as something is so."""

    def wait() -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if ready():
                act()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.long  # tests/kind/test_distributed.py kills one, too
def test_a_killed_worker_changes_nothing(undisturbed: Trained, capfd: pytest.CaptureFixture[str]) -> None:
    """Rank 0 it is, the one that writes checkpoints."""
    job = Job(undisturbed.source.uri, "training/killed", LEARNING, checkpoint_seconds=0.0)
    store, killed = default_store(), []

    def kill() -> None:
        killed.append(worker_of(0))
        os.kill(killed[0], signal.SIGKILL)

    thread = once(lambda: store.exists(f"{job.key}/{NAME}"), kill)
    processes.run_processes(job, Running(max_restarts=1), {"PYTEST_WORKERS_OF": str(os.getpid())})
    thread.join()
    assert killed
    resumed = re.search(r"resumed from step (\d+), epoch", capfd.readouterr().out)
    assert resumed, "the second start did not go on from a checkpoint"
    assert int(resumed[1]) > 0
    again = published(store, job, undisturbed.source)
    assert again.id == undisturbed.bundle.id, "the id is made of every weight's bits"


def test_too_many_failures_are_one_line(undisturbed: Trained) -> None:
    job = Job(undisturbed.source.uri, "training/lost", LEARNING, checkpoint_seconds=0.0)
    thread = once(lambda: bool(worker_of(1)), lambda: os.kill(worker_of(1), signal.SIGKILL))
    with pytest.raises(EnvironmentFault, match=r"ended with exit code 137|lost contact"):
        processes.run_processes(job, Running(max_restarts=0), {"PYTEST_WORKERS_OF": str(os.getpid())})
    thread.join()
    assert not default_store().exists(f"{job.key}/{RESULT}")
    with pytest.raises(EnvironmentFault, match="nothing was published"):
        published(default_store(), job, undisturbed.source)


@pytest.mark.long  # two processes that import torch, for one line
def test_bad_data_ends_the_workers_at_once_with_their_own_line(home: Path) -> None:
    only = dataset(train=labelled(60, 0))
    job = Job(only.uri, "training/bad", LEARNING, checkpoint_seconds=0.0)
    with pytest.raises(BadInput, match="has no part 'validation'"):
        processes.run_processes(job, Running(max_restarts=1000), {})


def test_a_job_that_takes_too_long_is_ended(home: Path) -> None:
    job = Job(dataset().uri, "training/slow", LEARNING, checkpoint_seconds=0.0)
    with pytest.raises(EnvironmentFault, match="did not end within timeout_seconds, 1 s"):
        processes.run_processes(job, Running(timeout_seconds=1), {"PYTEST_WORKERS_OF": str(os.getpid())})
    assert not worker_of(0)


def test_two_processes_take_the_gradient_of_one() -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1"]
    command = [*launch, "--nproc-per-node=2", "-m", "tests.unit.two_processes"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"SLUICE_DEVICE": "cpu"}, capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {int(rows) for rows in re.findall(r"rows (\d+)", done.stdout)} == {64, 11}
