"""What a step costs on a cluster: the chart's settings of Argo, its stock settings, and Argo without KFP.

Run it with `python tests/benchmarks/cluster_steps.py` after `make kind`. Every contestant runs a chain of STEPS empty
Python steps in the same image on the same cluster; the rounds alternate. For the stock setting the workflow controller
is rolled out with DEFAULT_REQUEUE_TIME=10s, Argo's own default, and the policy that takes drivers out of pods is bound
to nothing; at the end all is as the chart has it again. The release must have kfp.driver.inAgent, as on kind.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from kfp import dsl

from tests.kind.cluster import Cluster

STEPS, ROUNDS, DEADLINE, STOCK = 4, 3, 900.0, "10s"
CONTROLLER = "deployment/workflow-controller"
BINDING = "mutatingadmissionpolicybinding/sluice-sluice-kfp-driver"
POLICY_SECONDS = 3.0  # the API server reads policies a moment later


@dataclass(frozen=True)
class Setting:
    """How long Argo lets a workflow lie, and whether drivers run in its agent or in pods."""

    requeue: str
    agent: bool

    def apply(self, cluster: Cluster) -> None:
        """Roll the workflow controller out, and bind the policy that takes drivers out of pods, or not."""
        cluster.kubectl("set", "env", CONTROLLER, f"DEFAULT_REQUEUE_TIME={self.requeue}")
        cluster.kubectl("rollout", "status", CONTROLLER, "--timeout=120s")
        nowhere = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "no-such-namespace"}}}
        patch = {"spec": {"matchResources": None if self.agent else nowhere}}
        cluster.kubectl("patch", BINDING, "--type=merge", "--patch", json.dumps(patch))
        time.sleep(POLICY_SECONDS)


Measure = Callable[[Cluster, Setting], float]


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


def check_drivers(cluster: Cluster, run: str, *, agent: bool) -> None:
    """See that the run's drivers ran where the setting wanted them."""
    found = json.loads(cluster.kubectl("get", "workflows", "-l", f"pipeline/runid={run}", "-o", "json"))["items"]
    plugins = ["plugin" in each for item in found for each in item["spec"]["templates"] if "driver" in each["name"]]
    assert plugins
    assert set(plugins) == {agent}, f"drivers of run {run} in the agent: {plugins}"


def kfp_seconds(cluster: Cluster, setting: Setting) -> float:
    """Seconds a step, from submission to the run's end."""
    started = time.perf_counter()
    run = cluster.kfp.create_run_from_pipeline_func(kfp_chain(cluster.step_image()), enable_caching=False)
    state = cluster.wait(run.run_id, DEADLINE)
    assert state == "SUCCEEDED", state
    seconds = (time.perf_counter() - started) / STEPS
    check_drivers(cluster, run.run_id, agent=setting.agent)
    return seconds


def argo_seconds(cluster: Cluster, _: Setting) -> float:
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


def main() -> None:
    cluster = Cluster()
    path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='DEFAULT_REQUEUE_TIME')].value}"
    ours = cluster.kubectl("get", CONTROLLER, "--output", path)
    stock = f"KFP, stock: requeue {STOCK}, drivers in pods"
    contestants: dict[str, tuple[Setting, Measure]] = {
        f"KFP, requeue {ours}, drivers in the agent": (Setting(ours, agent=True), kfp_seconds),
        f"KFP, requeue {ours}, drivers in pods": (Setting(ours, agent=False), kfp_seconds),
        stock: (Setting(STOCK, agent=False), kfp_seconds),
        f"bare Argo, requeue {ours}": (Setting(ours, agent=True), argo_seconds),
        f"bare Argo, stock: requeue {STOCK}": (Setting(STOCK, agent=True), argo_seconds),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    try:
        for _ in range(ROUNDS):
            for name, (setting, measure) in contestants.items():
                setting.apply(cluster)
                times[name].append(measure(cluster, setting))
                print(f"{name}: {times[name][-1]:.1f} s a step", flush=True)
    finally:
        Setting(ours, agent=True).apply(cluster)
    peer = statistics.median(times[stock])
    print(f"\n| seconds a step ({STEPS} steps, {ROUNDS} rounds) | min | median | ratio of medians to stock KFP |")
    print("|---|---:|---:|---:|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| {name} | {min(values):.1f} | {median:.1f} | {median / peer:.2f} |")


if __name__ == "__main__":
    main()
