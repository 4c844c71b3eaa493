"""What the step asks of a cluster, and what it makes of the answers; tests/kind asks a real one."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.modeling.distributed import explaining
from sluice.modeling.distributed.cluster import train
from sluice.modeling.distributed.job_settings import Job, Learning, Running, job_from_json
from sluice.modeling.distributed.observing import Observer, Worker
from sluice.modeling.distributed.specs import processes_per_node, reference_to, train_job, workflow_of
from tests.charts.test_trainer import runtimes

JOB = Job("sluice+s3://sluice/datasets/x", "training/x", Learning(workers=3), 10.0)
WORKFLOW = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "run-x", "uid": "w", "controller": True}
POD = {
    "metadata": {"name": "step", "uid": "p", "labels": {"pipeline/runid": "r-1"}, "ownerReferences": [WORKFLOW]},
    "spec": {"containers": [{"name": "wait", "image": "argo"}, {"name": "main", "image": "sluice/python-torch:9"}]},
}


def body(name: str = "torch-cpu", pod: Any = POD, **settings: Any) -> dict[str, Any]:
    environment = {"SLUICE_STORE": "sluice+s3://sluice"}
    return train_job(
        "sluice-train-1", JOB, Running(runtime=name, **settings), runtimes()[name], environment, pod, [workflow_of(pod)]
    )


def test_a_trainjob_says_what_the_runtime_does_not() -> None:
    made = body(timeout_seconds=99)
    assert made["spec"]["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org",
        "kind": "TrainingRuntime",
        "name": "torch-cpu",
    }
    trainer = made["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["image"]) == (3, 1, "sluice/python-torch:9")
    assert made["spec"]["activeDeadlineSeconds"] == 99
    assert made["metadata"]["labels"]["pipeline/runid"] == "r-1"
    values = {entry["name"]: entry.get("value") for entry in trainer["env"]}
    assert job_from_json(values["SLUICE_TRAINING_JOB"]) == JOB
    assert values["SLUICE_STORE"] == "sluice+s3://sluice"


def test_credentials_are_named_and_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-show")
    made = body()
    assert "do-not-show" not in json.dumps(made)
    env = {entry["name"]: entry for entry in made["spec"]["trainer"]["env"]}
    assert env["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "sluice-steps"


def test_the_workflow_takes_the_trainjob_along() -> None:
    assert body()["metadata"]["ownerReferences"] == [
        {key: WORKFLOW[key] for key in ("apiVersion", "kind", "name", "uid")}
    ]
    alone = {"metadata": {"name": "step", "uid": "p"}, "spec": POD["spec"]}
    assert workflow_of(alone) == {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "p"}
    budget = {"metadata": {"name": "run-x", "uid": "b", "labels": {}}}
    wanted = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "name": "run-x", "uid": "b"}
    assert reference_to(budget) == wanted


class Ending:
    """A TrainJob that is as the test says; it notes what is done to it."""

    def __init__(self, condition: str = "") -> None:
        self.done: list[Any] = []
        self.asked = 0
        self.job = {"status": {"conditions": [{"type": condition, "status": "True", "reason": "x"}]}}

    def get(self, _: str) -> Any:
        self.asked += 1
        if self.asked > 1 and self.job["status"]["conditions"][0]["type"] == "":
            os.kill(os.getpid(), signal.SIGTERM)
        return self.job if self.asked > 1 else None

    def create(self, _: Any) -> bool:
        return True

    def delete(self, name: str) -> None:
        self.done.append(("delete", name))

    def give_to(self, name: str, owners: list[Any]) -> None:
        self.done.append(("give", name, owners[0]["name"]))

    def pods(self, _: str) -> list[Any]:
        return []

    def watch_pods(self, _: str) -> Iterator[tuple[str, Any]]:
        return iter(())


@pytest.mark.parametrize(
    ("condition", "error", "done"),
    [
        ("Complete", None, [("give", "sluice-train-1", "run-x")]),
        ("Failed", EnvironmentFault, [("give", "sluice-train-1", "run-x")]),
        ("", SystemExit, [("delete", "sluice-train-1")]),
    ],
)
def test_what_has_ended_stays_with_the_run_and_what_is_cancelled_goes(
    condition: str, error: type[BaseException] | None, done: list[Any]
) -> None:
    jobs: Any = Ending(condition)
    with pytest.raises(error) if error else nullcontext():
        train(jobs, body(), Running(), workflow_of(POD))
    assert jobs.done == done


def test_a_worker_has_a_process_for_each_gpu() -> None:
    made = body("torch-gpu")
    assert made["spec"]["trainer"]["numProcPerNode"] == 1
    assert processes_per_node({"resources": {"limits": {"nvidia.com/gpu": "8"}}}) == 8
    assert processes_per_node({}) == 1


def test_a_runtime_for_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="runtime 'jax-tpu' is for jax; train_distributed trains a torch network"):
        body("jax-tpu")
    empty = {"metadata": {}, "spec": {"template": {"spec": {"replicatedJobs": []}}}}
    with pytest.raises(BadInput, match="no container named 'node'"):
        train_job("x", JOB, Running(), empty, {}, POD, [])


def pod(rank: int, attempt: int = 0, node: str = "", state: Any = None, conditions: Any = (), made: int = 0) -> Any:
    status: dict[str, Any] = {"conditions": list(conditions)}
    if state:
        status["containerStatuses"] = [{"name": "node", "state": state}]
    labels = {"jobset.sigs.k8s.io/restart-attempt": str(attempt)}
    meta = {"name": f"x-node-0-{rank}-{made}", "uid": f"{attempt}-{rank}-{made}", "labels": labels}
    meta |= {"annotations": {"batch.kubernetes.io/job-completion-index": str(rank)}, "creationTimestamp": f"{made:04}"}
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": status}


def ended(rank: int, code: int, message: str = "", at: str = "1", **more: Any) -> Worker:
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": at, **more}}
    return Worker(pod(rank, node="kind-worker", state=state))


RUNNING = {"running": {"startedAt": "1"}}
NO_GPU = {
    "type": "PodScheduled",
    "status": "False",
    "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
}


def test_a_worker_without_a_node_is_told_with_the_schedulers_words() -> None:
    workers = [Worker(pod(0, state=RUNNING)), Worker(pod(1, conditions=[NO_GPU]))]
    assert explaining.running(workers) == 1
    assert explaining.waiting(workers, 2, [], {}) == (
        "2 workers wanted, 1 running, 1 pending: worker 1 has no node: "
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    )


def test_other_reasons_to_wait_are_told_too() -> None:
    pulling = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    one = [Worker(pod(0, node="n1", state=pulling))]
    assert explaining.waiting(one, 2, [], {}).endswith(
        'worker 0 on n1 waits (ImagePullBackOff): Back-off pulling image "x"'
    )
    quota = [{"message": "old"}, {"message": "pods is forbidden: exceeded quota"}]
    assert explaining.waiting([], 2, quota, {}).endswith("0 pods made: pods is forbidden: exceeded quota")
    suspended = {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}}
    assert "is suspended" in explaining.waiting([], 2, [], suspended)
    gone = [Worker(pod(0, state=RUNNING), deleted=True), Worker(pod(0, made=1))]
    assert explaining.waiting(gone, 2, [], {}) == "2 workers wanted, 0 running, 1 pending: worker 0 has not started"


def words(code: int, text: str) -> str:
    return f"step train_distributed failed with exit code {code}: {text}"


def test_the_worker_that_broke_first_is_blamed_in_its_own_words() -> None:
    lost = ended(0, 1, words(1, "lost contact with another worker (reset)"), at="1")
    assert explaining.ended([lost, ended(1, 1, words(1, "S3 is down"), at="2")]).endswith("S3 is down")
    assert explaining.ended([lost, ended(1, 137, at="2", reason="OOMKilled")]) == (
        "worker 1 (pod x-node-0-1-0 on kind-worker) ended with exit code 137, OOMKilled"
    )
    assert explaining.ended([lost, ended(1, 1, "Traceback\nValueError: odd\n", at="2")]).endswith(": ValueError: odd")
    assert explaining.ended([lost]).endswith("lost contact with another worker (reset)")
    gone = Worker(pod(1, state=RUNNING), deleted=True)
    assert explaining.ended([gone]) == explaining.ended([lost, gone]) == "worker 1 (pod x-node-0-1-0) was deleted"
    assert explaining.ended([ended(0, 1, words(1, "S3 is down")), gone]).endswith("S3 is down")


def test_a_refusal_is_no_failure_to_try_again() -> None:
    assert explaining.refused([ended(0, 1, words(2, "no part 'validation'"))]) == "no part 'validation'"
    assert not explaining.refused([ended(0, 1, words(1, "S3 is down")), Worker(pod(1))])


class Script:
    """Pods and logs as an API server would tell them, the connection breaking now and then."""

    def __init__(self) -> None:
        self.logs = {
            "x-node-0-0-0": [["1 first", "2 [sluice] second"], ["1 first", "2 [sluice] second", "3 third"], []],
            "x-node-0-0-9": [["4 again"]],
        }
        self.told = threading.Event()

    def watch_pods(self, name: str) -> Iterator[tuple[str, Any]]:
        yield "ADDED", pod(0)
        yield "MODIFIED", pod(0, state=RUNNING)
        yield "ADDED", pod(1, state=RUNNING)
        self.told.wait(5)
        yield "DELETED", pod(0, state={"terminated": {"exitCode": 1}})
        yield "ADDED", pod(0, attempt=1, state=RUNNING, made=9)
        threading.Event().wait(0.2)

    def log(self, pod: str) -> Iterator[str]:
        lines = self.logs[pod].pop(0) if self.logs[pod] else []
        yield from lines
        if "3 third" in lines:
            self.told.set()


def test_rank_0_is_heard_over_broken_connections_and_restarts(capsys: pytest.CaptureFixture[str]) -> None:
    observer = Observer(Script(), "x")
    heard = ""
    with observer.watching():
        deadline = threading.Event()
        for _ in range(100):
            heard += capsys.readouterr().out
            if "again" in heard:
                break
            deadline.wait(0.1)
    assert heard.splitlines() == [
        "[sluice] worker 0: first",
        "[sluice] worker 0: second",
        "[sluice] worker 0: third",
        "[sluice] worker 0: again",
    ]
    workers = {worker.name: worker for worker in observer.workers()}
    assert workers["x-node-0-0-0"].deleted
    assert "terminated" in workers["x-node-0-0-0"].state
    assert workers["x-node-0-0-9"].attempt == 1
