"""What a step costs on a cluster: the chart's settings of Argo, its stock settings, and Argo without KFP.

Run it with `python tests/benchmarks/cluster_steps.py` after `make kind`. Every contestant runs a chain of STEPS empty
Python steps in the same image on the same cluster; the rounds alternate. For the stock setting the workflow controller
is rolled out with DEFAULT_REQUEUE_TIME=10s, Argo's own default, and at the end with the chart's again.
"""

import statistics
import time
from collections.abc import Callable

from kfp import dsl

from tests.kind.cluster import Cluster

STEPS, ROUNDS, DEADLINE, STOCK = 4, 3, 900.0, "10s"
CONTROLLER = "deployment/workflow-controller"


def kfp_chain(image: str) -> Callable[..., object]:
    @dsl.component(base_image=image, install_kfp_package=False)
    def empty(n: int) -> int:
        return n

    @dsl.pipeline(name="benchmark-chain")
    def chain(n: int = 0) -> None:
        task = empty(n=n)
        for _ in range(STEPS - 1):
            task = empty(n=task.output)

    return chain


def kfp_seconds(cluster: Cluster) -> float:
    """Seconds a step, from submission to the run's end."""
    started = time.perf_counter()
    run = cluster.kfp.create_run_from_pipeline_func(kfp_chain(cluster.step_image()), enable_caching=False)
    state = cluster.wait(run.run_id, DEADLINE)
    assert state == "SUCCEEDED", state
    return (time.perf_counter() - started) / STEPS


def argo_seconds(cluster: Cluster) -> float:
    """The same chain as a Workflow, without KFP's drivers and launchers."""
    tasks = [
        {"name": f"empty-{i}", "template": "empty", **({"dependencies": [f"empty-{i - 1}"]} if i else {})}
        for i in range(STEPS)
    ]
    container = {"image": cluster.step_image(), "command": ["python", "-c", "pass"]}
    container["resources"] = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "benchmark-argo-"},
        "spec": {
            "entrypoint": "chain",
            "serviceAccountName": "pipeline-runner",
            "podMetadata": {"labels": {"pipelines.kubeflow.org/v2_component": "true"}},
            "templates": [{"name": "chain", "dag": {"tasks": tasks}}, {"name": "empty", "container": container}],
        },
    }
    place = ("argoproj.io", "v1alpha1", cluster.namespace, "workflows")
    started = time.perf_counter()
    name = cluster.custom.create_namespaced_custom_object(*place, workflow)["metadata"]["name"]

    def phase() -> str:
        status = cluster.custom.get_namespaced_custom_object(*place, name).get("status", {})
        return str(status.get("phase", "")) if status.get("finishedAt") else ""

    assert cluster.until(phase, DEADLINE, f"workflow {name} to end") == "Succeeded"
    seconds = (time.perf_counter() - started) / STEPS
    cluster.custom.delete_namespaced_custom_object(*place, name)
    return seconds


def requeue(cluster: Cluster, seconds: str) -> None:
    """Roll the workflow controller out with another requeue time."""
    cluster.kubectl("set", "env", CONTROLLER, f"DEFAULT_REQUEUE_TIME={seconds}")
    cluster.kubectl("rollout", "status", CONTROLLER, "--timeout=120s")


def main() -> None:
    cluster = Cluster()
    path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='DEFAULT_REQUEUE_TIME')].value}"
    ours = cluster.kubectl("get", CONTROLLER, "--output", path)
    contestants = {
        f"KFP, the chart's settings (requeue {ours})": (ours, kfp_seconds),
        f"KFP, stock (requeue {STOCK})": (STOCK, kfp_seconds),
        f"bare Argo, the chart's settings (requeue {ours})": (ours, argo_seconds),
        f"bare Argo, stock (requeue {STOCK})": (STOCK, argo_seconds),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for _ in range(ROUNDS):
            for name, (setting, measure) in contestants.items():
                requeue(cluster, setting)
                times[name].append(measure(cluster))
                print(f"{name}: {times[name][-1]:.1f} s a step", flush=True)
    finally:
        requeue(cluster, ours)
    stock = statistics.median(times[f"KFP, stock (requeue {STOCK})"])
    print(f"\n| seconds a step ({STEPS} steps, {ROUNDS} rounds) | min | median | ratio of medians to stock KFP |")
    print("|---|---:|---:|---:|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {min(values):.1f} | {median:.1f} | {median / stock:.2f} |")


if __name__ == "__main__":
    main()
