"""What `sluice doctor --cluster` says of pods that do not run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sluice.cluster.access import Target
from sluice.cluster.doctor import examine, trouble


def pod(
    phase: str = "Running", waiting: tuple[str, str] | None = None, reason: str = "", **conditions: tuple[str, str]
) -> Any:
    state = SimpleNamespace(waiting=SimpleNamespace(reason=waiting[0], message=waiting[1]) if waiting else None)
    container = SimpleNamespace(name="main", image="sluice/platform:0.1.0", state=state)
    told = [SimpleNamespace(type=t, status=s, message=m, reason=reason) for t, (s, m) in conditions.items()]
    status = SimpleNamespace(phase=phase, init_container_statuses=None, container_statuses=[container], conditions=told)
    return SimpleNamespace(metadata=SimpleNamespace(name="ml-pipeline-0"), status=status)


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (pod(), ""),
        (pod("Succeeded", Ready=("False", "")), ""),
        (pod("Pending", ("ImagePullBackOff", "")), "image sluice/platform:0.1.0 cannot be pulled (ImagePullBackOff)"),
        (pod("Running", ("CrashLoopBackOff", "back-off")), "container main waits (CrashLoopBackOff: back-off)"),
        (pod("Pending", PodScheduled=("False", "0/2 nodes: Insufficient memory")), "finds no node (0/2 nodes"),
        (pod("Running", Ready=("False", "containers with unready status")), "is not Ready (containers with unready"),
        (pod("Running", reason="PodCompleted", Ready=("False", "")), ""),
        (pod("Pending", ("ContainerCreating", "")), ""),
    ],
)
def test_a_pods_trouble_is_one_line(found: Any, named: str) -> None:
    said = trouble(found)
    assert named in said
    assert bool(said) is bool(named)
    assert "\n" not in said


def test_a_kind_that_make_built_counts_and_such_a_kubectl_does_not(
    no_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def told(program: str) -> str:
        finding = next(found for found in examine(Target()) if found.name == program)
        assert isinstance(finding.message, str), "it is printed as JSON, too"
        return f"{finding.level}: {finding.message}"

    assert told("kind") == "warning: not on the PATH; only `make kind` needs it"
    tools = tmp_path / "sluice/hermetic/tools"
    tools.mkdir(parents=True)
    for program in ("kind", "kubectl"):
        (tools / program).touch(mode=0o755)
    assert told("kind") == f"ok: {tools / 'kind'}"
    assert told("kubectl") == "error: not on the PATH; install it"


def test_without_a_cluster_the_rest_is_not_looked_at(no_cluster: None) -> None:
    findings = list(examine(Target()))
    assert findings[-1].name == "cluster"
    assert findings[-1].level == "error"
    assert "SLUICE_KFP" in findings[-1].message
