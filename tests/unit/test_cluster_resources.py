"""What steps may take of a node: how it is written, who wins, what a site's bounds refuse, and what KFP is told."""

import json
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp

from sluice.cluster import guarded_steps
from sluice.cluster.resources import (
    MaxResources,
    ResourcePlan,
    StepResources,
    amount,
    largest,
    layered,
    parse_settings,
    read_maximum,
    read_resources,
)
from sluice.cluster.site_rules import MAX_RESOURCES, PROJECT_CODE, STEP_RESOURCES, SiteRules
from sluice.cluster.spec import ClusterSpec, compile_for_cluster
from sluice.cluster.step_environment import step_of
from sluice.core.errors import BadInput
from sluice.core.step_images import TABULAR_IMAGE, TORCH_IMAGE
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.running.catalog import Pipeline

BUILT_IN = StepResources(cpu="2", cpu_request="200m", memory="2Gi", memory_request="512Mi")

WRONG = {
    "{train: {memory: 4GB}}": "steps.train.memory: '4GB' is no quantity of Kubernetes: did you mean 4Gi?",
    "{train: {memory: 4}}": "steps.train.memory: 4 is less than 1Mi: did you mean 4Gi?",
    "{train: {memory: 500m}}": "steps.train.memory: 500m is less than 1Mi",
    "{train: {memory: -1Gi}}": "steps.train.memory: '-1Gi' is no quantity of Kubernetes",
    "{train: {memory: many}}": "steps.train.memory: 'many' is no quantity of Kubernetes: write 500m, 2, 512Mi or 4Gi",
    "{train: {cpu: 2Gi}}": "steps.train.cpu: 2Gi are 2,147,483,648 cores: write 500m or 2; did you mean memory?",
    "{train: {cpu: 0}}": "steps.train.cpu: 0 is less than a thousandth of a core",
    "{train: {cpu: true}}": "steps.train.cpu: Input should be a valid string",
    "{train: {gpu: '1'}}": "steps.train.gpu: Input should be a valid integer",
    "{train: {gpu: -1}}": "steps.train.gpu: Input should be greater than or equal to 0",
    "{train: {gpuKind: nvidia}}": "steps.train.gpuKind: 'nvidia' is no kind of device that a node offers",
    "{train: {memoy: 4Gi}}": "steps.train.memoy: there is no such setting (did you mean 'memory'?); there are cpu,",
    "{train: {cpu: 1, cpuRequest: 2}}": "steps.train: cpuRequest 2 is more than cpu 1",
    "{train: 4Gi}": "steps.train: '4Gi' where a mapping is wanted, such as {cpu: '2', memory: 4Gi}",
    "{train: {tolerations: [{key: a, operator: Exists, value: b}]}}": "the operator Exists has no value",
    "{train: {tolerations: [{keys: a}]}}": "steps.train.tolerations.0.keys: there is no such setting",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_ends_in_one_line(text: str) -> None:
    import yaml

    with pytest.raises(BadInput) as refused:
        read_resources(yaml.safe_load(text))
    assert WRONG[text] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_names_are_kubernetes_own_or_pythons() -> None:
    one = read_resources({"train": {"cpu": 2, "memoryRequest": "1Gi", "nodeSelector": {"pool": "gpu"}}})["train"]
    assert one == StepResources(cpu="2", memory_request="1Gi", node_selector={"pool": "gpu"})
    assert read_resources({"train": {"cpu": 0.5}})["train"].cpu == "0.5"


@given(st.integers(1, 10**6), st.sampled_from(["Ki", "Mi", "Gi", "k", "M", "G"]))
def test_amounts_are_kubernetes_own(count: int, unit: str) -> None:
    """Kubernetes, apimachinery/pkg/api/resource/suffix.go, by hand."""
    bases = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}
    assert amount(f"{count}{unit}") == Decimal(count) * bases[unit]


quantities = st.sampled_from(["100m", "500m", "1", "2", "8"])
settings = st.builds(StepResources, cpu=st.none() | quantities, gpu=st.none() | st.integers(0, 2))


@given(settings, settings, settings, settings, settings)
def test_the_nearest_to_the_run_wins(
    command: StepResources, project: StepResources, pipeline: StepResources, step: StepResources, every: StepResources
) -> None:
    """Another way to say it: the first of them that is not None."""
    plan = ResourcePlan({"train": step, "*": every}, layered({"train": command}, {"train": project}))
    found = plan.of("train", pipeline, BUILT_IN)
    for name in ("cpu", "gpu"):
        said = [getattr(each, name) for each in (command, project, pipeline, step, every, BUILT_IN)]
        assert getattr(found, name) == next((each for each in said if each is not None), None)


def test_a_limit_makes_the_requests_of_others_void() -> None:
    asked = {"train": StepResources(memory="256Mi")}
    found = ResourcePlan(asked=asked).of("train", StepResources(), BUILT_IN).to_container()
    assert (found["resourceMemoryLimit"], found["resourceMemoryRequest"]) == ("256Mi", "256Mi")
    assert (found["resourceCpuLimit"], found["resourceCpuRequest"]) == ("2", "200m")
    above = ResourcePlan(asked={"train": StepResources(memory_request="3Gi")}).of("train", StepResources(), BUILT_IN)
    assert above.to_container()["resourceMemoryLimit" if above.memory else "resourceMemoryRequest"] == "3Gi"


def test_all_steps_of_the_command_line_go_before_one_step_of_the_project() -> None:
    plan = ResourcePlan(asked=layered(parse_settings(["*.cpu=3"]), {"train": StepResources(cpu="1", gpu=1)}))
    assert plan.of("train", StepResources(), BUILT_IN).cpu == "3"
    assert plan.of("train", StepResources(), BUILT_IN).gpu == 1
    assert plan.of("split", StepResources(), BUILT_IN).cpu == "3"


def test_a_site_s_bounds_refuse_what_is_asked_and_cut_what_is_not() -> None:
    most = read_maximum({"memory": "1Gi", "gpu": 1, "cpu": 1})
    assert most.cut(BUILT_IN) == StepResources(cpu="1", cpu_request="200m", memory="1Gi", memory_request="512Mi")
    for asked, line in {
        StepResources(memory="1025Mi"): "steps.train.memory: 1025Mi is more than this site gives a step: 1Gi",
        StepResources(memory_request="2G"): "steps.train.memoryRequest: 2G is more",
        StepResources(gpu=2): "steps.train.gpu: 2 is more than this site gives a step: 1",
    }.items():
        for plan, pipeline in (
            (ResourcePlan({}, {"train": asked}, most), StepResources()),
            (ResourcePlan({}, {}, most), asked),
        ):
            with pytest.raises(BadInput, match=line):
                plan.of("train", pipeline, BUILT_IN)
    assert (
        ResourcePlan({"train": StepResources(memory="64Gi")}, {}, most).of("train", StepResources(), BUILT_IN).memory
        == "1Gi"
    )
    assert ResourcePlan({}, {"train": StepResources(memory="1024Mi")}, most).of("train", StepResources(), BUILT_IN)


def test_one_pod_for_all_steps_has_the_largest_of_each() -> None:
    several = [
        StepResources(cpu="500m", memory="4Gi", node_selector={"a": "1"}),
        StepResources(cpu="2", memory="4000Mi", gpu=1, node_selector={"b": "2"}),
    ]
    assert largest(several) == StepResources(cpu="2", memory="4Gi", gpu=1, node_selector={"a": "1", "b": "2"})
    with pytest.raises(BadInput, match=r"different nodes \(nodeSelector .* without --fused"):
        largest([StepResources(node_selector={"a": "1"}), StepResources(node_selector={"a": "2"})])


@pytest.mark.parametrize("word", ["train", "train=1", "train.memory", "train.memory=", ".memory=1Gi", "train.=1Gi"])
def test_a_word_of_the_command_line_has_a_form(word: str) -> None:
    with pytest.raises(BadInput, match=r"write STEP.NAME=VALUE, such as train.memory=4Gi"):
        parse_settings([word])


def test_the_command_line_says_all_but_tolerations() -> None:
    words = [
        "train.memory=4Gi",
        "train.gpu=2",
        "train.gpuKind=amd.com/gpu",
        "train.nodeSelector.pool=big",
        "train-x.cpu=1",
    ]
    assert parse_settings(words) == {
        "train": StepResources(memory="4Gi", gpu=2, gpu_kind="amd.com/gpu", node_selector={"pool": "big"}),
        "train_x": StepResources(cpu="1"),
    }
    with pytest.raises(BadInput, match="tolerations stand in the project's file"):
        parse_settings(["train.tolerations=x"])
    with pytest.raises(BadInput, match=r"--resources.train.gpu: Input should be a valid integer"):
        parse_settings(["train.gpu=one"])


def first() -> None:
    pass


def second_step() -> None:
    pass


ONE, TWO = dsl.component(first, base_image=TABULAR_IMAGE), dsl.component(second_step, base_image=TORCH_IMAGE)


def mine(memory: str = "1Gi") -> None:
    ONE().set_memory_limit(memory)
    TWO().set_cpu_limit("4").set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(2)


def compiled(plan: ResourcePlan, *, fused: bool = False) -> ClusterSpec:
    return compile_for_cluster(Pipeline("mine", "", (), dsl.pipeline(mine)), resources=plan, fused=fused)


def read(spec: ClusterSpec, label: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Resources, Kubernetes' part and variables of an executor, each read by KFP's own message."""
    container = spec.pipeline["deploymentSpec"]["executors"][label]["container"]
    config = spec.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]
    json_format.ParseDict(config, kubernetes.KubernetesExecutorConfig())
    json_format.ParseDict(container, kfp.PipelineDeploymentConfig.PipelineContainerSpec())
    return container["resources"], config, {each["name"]: each["value"] for each in container["env"]}


def test_the_compiled_pipeline_has_plain_values() -> None:
    project = read_resources(
        {
            "second_step": {"memory": "8Gi", "disk": "20Gi", "gpu": 1, "nodeSelector": {"gpu": "a100"}},
            "first": {"cpu": 1},
        }
    )
    spec = compiled(ResourcePlan({"*": StepResources(cpu="3", memory="3Gi")}, project))
    resources, config, variables = read(spec, "exec-second-step")
    assert resources["resourceMemoryLimit"] == resources["resourceMemoryRequest"] == "8Gi"
    assert resources["resourceCpuLimit"] == "4", "the pipeline's own goes before the chart's"
    assert resources["accelerator"]["resourceCount"] == "1"
    assert config["nodeSelector"] == {"labels": {"gpu": "a100"}}
    assert config["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    (volume,) = config["genericEphemeralVolume"]
    assert (volume["size"], volume["mountPath"], variables["TMPDIR"]) == ("20Gi", "/scratch", "/scratch")
    resources, config, variables = read(spec, "exec-first")
    assert resources["resourceCpuLimit"] == resources["resourceCpuRequest"] == "1"
    assert "{{" in resources["resourceMemoryLimit"], "a parameter of the pipeline stays one"
    assert not {"nodeSelector", "tolerations", "genericEphemeralVolume"} & set(config)
    assert "TMPDIR" not in variables
    nearer = read(compiled(ResourcePlan(asked={"first": StepResources(memory="2Gi")})), "exec-first")[0]
    assert nearer["resourceMemoryLimit"] == "2Gi"


def test_a_fused_pipeline_gets_the_largest_of_its_steps() -> None:
    spec = compiled(ResourcePlan(asked={"first": StepResources(memory="16Gi")}), fused=True)
    resources, config, _ = read(spec, "exec-all-steps")
    assert (resources["resourceMemoryLimit"], resources["resourceCpuLimit"]) == ("16Gi", "4")
    assert resources["accelerator"]["resourceCount"] == "2"
    assert config["tolerations"]
    plain = read(compiled(ResourcePlan(), fused=True), "exec-all-steps")[0]
    assert plain["resourceMemoryLimit"] == "4Gi"


def test_a_step_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"steps.secnd_step: the pipeline has no such step \(did you mean 'second_step'"):
        compiled(ResourcePlan(asked={"secnd_step": StepResources(cpu="1")}))
    compiled(ResourcePlan({"of_another_pipeline": StepResources(cpu="1")}))
    assert step_of("exec-train-distributed-2") == "train_distributed"


def test_resources_leave_the_guarded_steps_as_they_are() -> None:
    """The admission policy compares command lines: a step with more memory must still be the step."""
    known = guarded_steps.guarded_steps()["registers"]
    from sluice.running.catalog import find_pipeline, pipeline_names

    plan = ResourcePlan({"*": StepResources(cpu="1", disk="1Gi", gpu=1)}, {}, MaxResources())
    for name in [each for each in pipeline_names() if each.startswith("supervised")][:1]:
        spec = compile_for_cluster(find_pipeline(name), guarded_steps.IMAGES, resources=plan)
        container = spec.pipeline["deploymentSpec"]["executors"]["exec-register"]["container"]
        assert [*container["command"], *container["args"]] in known


def test_a_site_s_rules_are_read_from_the_release() -> None:
    assert SiteRules.of(ClusterVariables({})) == SiteRules()
    rules = SiteRules.of(
        ClusterVariables(
            {
                PROJECT_CODE: "false",
                STEP_RESOURCES: json.dumps({"train": {"memory": "8Gi"}}),
                MAX_RESOURCES: json.dumps({"cpu": "4"}),
            }
        )
    )
    assert rules.resources == {"train": StepResources(memory="8Gi")}
    assert rules.plan().most == MaxResources(cpu="4")
    rules.check_code({"seed": 7, "code": ""})
    for arguments, own in (({"code": "code/1.zip"}, False), ({}, True)):
        with pytest.raises(BadInput, match=r"steps.projectCode=false in the chart's values"):
            rules.check_code(arguments, own_pipeline=own)
    SiteRules().check_code({"code": "code/1.zip"}, own_pipeline=True)
    with pytest.raises(BadInput, match="SLUICE_MAX_RESOURCES of the ConfigMap sluice-steps is no JSON"):
        SiteRules.of(ClusterVariables({MAX_RESOURCES: "{"}))
