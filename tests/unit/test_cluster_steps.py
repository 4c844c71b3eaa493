"""What a run's steps are doing, read from Argo's nodes."""

from typing import Any

import pytest

from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.submit import documents
from sluice.cluster.workflow_steps import steps_of, task_order
from sluice.running.catalog import find_pipeline

BEGIN, LATER = "2026-11-21T10:00:00Z", "2026-11-21T10:00:07Z"
REASON = "main: Error (exit code 1): step validate failed with exit code 2: flights: 3 rows break the contract"


def manifest(**nodes: dict[str, Any]) -> dict[str, Any]:
    """A Workflow whose nodes stand under `root`, by the rest of their names."""
    whole = {f"id-{number}": {"name": f"wf.root.{name}"} | node for number, (name, node) in enumerate(nodes.items())}
    return {"metadata": {"name": "wf"}, "status": {"nodes": whole}}


def node(phase: str, **more: Any) -> dict[str, Any]:
    return {"phase": phase, "startedAt": BEGIN, "finishedAt": LATER if phase != "Running" else None} | more


@pytest.mark.parametrize(
    ("nodes", "state", "seconds", "message"),
    [
        ({}, "waiting", None, ""),
        ({"a-driver": node("Running")}, "starting", None, ""),
        ({"a-driver": node("Succeeded"), "a": node("Running"), "a.executor": node("Running")}, "running", None, ""),
        (
            {
                "a-driver": node("Succeeded"),
                "a": node("Running"),
                "a.executor": node("Pending", message="ErrImagePull"),
            },
            "starting",
            None,
            "ErrImagePull",
        ),
        ({"a-driver": node("Succeeded"), "a": node("Succeeded"), "a.executor": node("Skipped")}, "cached", None, ""),
        ({"a-driver": node("Succeeded"), "a": node("Succeeded"), "a.executor": node("Succeeded")}, "done", 7.0, ""),
        (
            {"a-driver": node("Succeeded"), "a": node("Failed"), "a.executor": node("Failed", message=REASON)},
            "failed",
            7.0,
            REASON,
        ),
        ({"a-driver": node("Failed", message="no MLMD")}, "failed", 7.0, "no MLMD"),
        (  # Argo says nothing of use where it stands for all tries
            {
                "a-driver": node("Failed", type="Retry", message="No more retries left"),
                "a-driver(0)": node("Failed", type="Pod", message="MLMD is away"),
                "a-driver(1)": node("Failed", type="Pod", startedAt=LATER, message="MLMD is still away"),
            },
            "failed",
            7.0,
            "MLMD is still away",
        ),
        (
            {
                "a-driver": node("Succeeded"),
                "a": node("Failed"),
                "a.executor": node("Failed", type="Retry", message="retryStrategy.expression evaluated to false"),
                "a.executor(0)": node("Failed", type="Pod", message=REASON),
            },
            "failed",
            7.0,
            REASON,
        ),
        (  # the first of many tries: what stands for all of them began with it, and knows less
            {
                "a-driver": node("Succeeded"),
                "a": node("Running"),
                "a.executor": node("Running", type="Retry"),
                "a.executor(0)": node("Pending", type="Pod", message="ErrImagePull"),
            },
            "starting",
            None,
            "ErrImagePull",
        ),
        (  # a second try of the same pod is under way: nothing is decided yet
            {
                "a-driver": node("Succeeded"),
                "a": node("Running"),
                "a.executor": node("Running"),
                "a.executor(0)": node("Failed", message="gone"),
                "a.executor(1)": node("Running", startedAt=LATER),
            },
            "running",
            None,
            "",
        ),
        ({"a-driver": node("Omitted"), "a": node("Omitted", message="omitted: depends")}, "waiting", None, ""),
        ({"a-b-driver": node("Running"), "a-b": node("Running")}, "waiting", None, ""),
    ],
)
def test_a_step_is_what_its_nodes_say(nodes: dict[str, Any], state: str, seconds: float | None, message: str) -> None:
    (step,) = steps_of(manifest(**nodes), ["a"])
    assert (step.name, step.state, step.seconds, step.message) == ("a", state, seconds, message)


def test_before_the_first_report_everything_waits() -> None:
    assert [step.state for step in steps_of({}, ["a", "b"])] == ["waiting", "waiting"]


def test_tasks_stand_behind_what_they_wait_for() -> None:
    order = task_order(compile_for_cluster(find_pipeline("supervised")).pipeline)
    assert order == ["ingest", "validate", "prepare", "sample", "split", "train", "evaluate", "register", "report"]


def test_a_fresh_run_asks_the_cache_for_nothing_and_leaves_the_spec_alone() -> None:
    spec = compile_for_cluster(find_pipeline("supervised"))
    fresh = documents(spec, fresh=True)["pipeline_spec"]["root"]["dag"]["tasks"]
    assert not any(task["cachingOptions"].get("enableCache") for task in fresh.values())
    kept = documents(spec, fresh=False)["pipeline_spec"]["root"]["dag"]["tasks"]
    assert kept["train"]["cachingOptions"] == {"enableCache": True}
