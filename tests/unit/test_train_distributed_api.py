"""A Kubernetes API that takes a connection and says nothing must not hold the step for ever."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client

from sluice.core.errors import EnvironmentFault
from sluice.modeling.distributed import trainjobs
from sluice.modeling.distributed.trainjobs import TrainJobs

CALLS: dict[str, Callable[[TrainJobs], Any]] = {
    "own_pod": lambda jobs: jobs.own_pod(),
    "runtime": lambda jobs: jobs.runtime("torch-cpu"),
    "create": lambda jobs: jobs.create({}),
    "get": lambda jobs: jobs.get("job"),
    "delete": lambda jobs: jobs.delete("job"),
    "pods": lambda jobs: jobs.pods("job"),
    "warnings": lambda jobs: jobs.warnings("job"),
    "budget": lambda jobs: jobs.budget("run"),
    "give_to": lambda jobs: jobs.give_to("job", []),
    "watch_pods": lambda jobs: list(jobs.watch_pods("job", seconds=0)),
    "log": lambda jobs: list(jobs.log("pod")),
}
QUIET = ("budget", "give_to", "watch_pods", "log")
"""These say nothing, or a line, where the API fails."""


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainJobs]:
    """Its API's kernel takes the connections, and nobody ever reads from them."""
    monkeypatch.setattr(trainjobs, "_TIMEOUT", (5, 0.05))
    monkeypatch.setattr(trainjobs, "_LOG_TIMEOUT", (5, 0.05))
    monkeypatch.setattr(trainjobs, "_RETRY_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        configuration = client.Configuration(host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        yield TrainJobs(client.ApiClient(configuration), "here")


@pytest.mark.timeout(60)  # without timeouts of their own the calls would wait for ever
@pytest.mark.parametrize("name", CALLS)
def test_every_call_ends_by_itself(jobs: TrainJobs, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name in QUIET:
        assert not CALLS[name](jobs)
    else:
        with pytest.raises(EnvironmentFault, match="the Kubernetes API failed"):
            CALLS[name](jobs)


def test_no_call_is_forgotten() -> None:
    assert set(CALLS) == {name for name in vars(TrainJobs) if not name.startswith("_")}
