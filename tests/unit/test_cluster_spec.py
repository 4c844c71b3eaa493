"""Pipelines compiled for a cluster: what KFP's own messages read out of them, and what every pod of them gets."""

import json
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as kfp

from sluice.cluster.executors import built_in_resources, complete_executor
from sluice.cluster.resources import from_container
from sluice.cluster.spec import compile_for_cluster
from sluice.cluster.step_environment import (
    CONFIG_KEYS,
    NAME,
    REGISTER,
    SECRET_KEYS,
    platform_config,
    secret_for,
    use_stores,
)
from sluice.core.step_images import TABULAR, TABULAR_IMAGE, TORCH, TORCH_IMAGE, step_images
from sluice.core.variable_groups.cluster import ImageVariables
from sluice.running.catalog import Pipeline, find_pipeline, pipeline_names


@pytest.fixture(params=pipeline_names())
def pipeline(request: pytest.FixtureRequest) -> Pipeline:
    return find_pipeline(request.param)


def read(text: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The spec, its containers and their Kubernetes settings, each read by KFP's message: it knows no other field."""
    first, second = yaml.safe_load_all(text)
    spec = json_format.ParseDict(first, kfp.PipelineSpec())
    platform = json_format.ParseDict(second, kfp.PlatformSpec())
    deployment = json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), kfp.PipelineDeploymentConfig())
    settings = {
        label: json_format.ParseDict(json_format.MessageToDict(given), kubernetes.KubernetesExecutorConfig())
        for label, given in platform.platforms["kubernetes"].deployment_spec.executors.items()
    }
    return spec, {label: executor.container for label, executor in deployment.executors.items()}, settings


@pytest.mark.parametrize("fused", [False, True])
def test_every_step_knows_its_stores_its_run_and_its_limits(pipeline: Pipeline, fused: bool) -> None:
    _, containers, settings = read(compile_for_cluster(pipeline, fused=fused).to_yaml())
    assert containers.keys() == settings.keys()
    for label, container in containers.items():
        config = settings[label]
        (secret,), (shared,), (run,) = config.secret_as_env, config.config_map_as_env, config.field_path_as_env
        assert {entry.env_var for entry in secret.key_to_env} == set(SECRET_KEYS)
        assert {entry.env_var for entry in shared.key_to_env} == set(CONFIG_KEYS)
        assert shared.config_map_name == NAME
        accounts = REGISTER if label in ("exec-register", "exec-all-steps") else NAME
        assert secret.secret_name == secret.secret_name_parameter.runtime_value.constant.string_value == accounts
        assert (run.name, run.field_path) == ("SLUICE_RUN", "metadata.labels['pipeline/runid']")
        assert config.image_pull_policy == "IfNotPresent"
        constants = {entry.name: entry.value for entry in container.env}
        assert constants["SLUICE_PIPELINE"] == pipeline.name
        assert constants["SLUICE_IMAGE"] == container.image
        wanted = container.resources
        assert all((wanted.resource_cpu_request, wanted.resource_cpu_limit)), label
        assert all((wanted.resource_memory_request, wanted.resource_memory_limit)), label


def test_nothing_secret_stands_in_a_spec(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in SECRET_KEYS:
        monkeypatch.setenv(key, "very-secret")
    assert "very-secret" not in compile_for_cluster(pipeline).to_yaml()


def test_choices_are_literals_where_the_server_takes_them() -> None:
    pipeline = find_pipeline("supervised")
    spec, _, _ = read(compile_for_cluster(pipeline).to_yaml())
    allocation = spec.root.input_definitions.parameters["allocation"]
    assert [value.string_value for value in allocation.literals] == ["proportional", "equal"]
    assert "literals" not in compile_for_cluster(pipeline, choices=False).to_yaml()


def test_choices_are_those_of_the_steps() -> None:
    from sluice.parameters.sample import Parameters

    choices = {parameter.name: parameter.choices for parameter in find_pipeline("supervised").parameters}
    assert choices["allocation"] == Parameters.choices()["allocation"]


def test_the_description_explains_every_parameter(pipeline: Pipeline) -> None:
    spec, _, _ = read(compile_for_cluster(pipeline).to_yaml())
    for parameter in pipeline.parameters:
        assert f"{parameter.name}: {parameter.description}" in spec.pipeline_info.description


def test_a_version_follows_the_content_and_nothing_else(pipeline: Pipeline) -> None:
    first, again = compile_for_cluster(pipeline), compile_for_cluster(pipeline)
    other = compile_for_cluster(pipeline, step_images(ImageVariables({"SLUICE_IMAGE_TAG": "other"})))
    assert first.version == again.version != other.version
    assert first.version != compile_for_cluster(pipeline, fused=True).version


def test_a_clusters_images_replace_those_of_this_machine(pipeline: Pipeline) -> None:
    found = step_images(
        ImageVariables({TABULAR: "mirror.example/tabular@sha256:" + "1" * 64, TORCH: "mirror.example/torch:2"})
    )
    _, containers, _ = read(compile_for_cluster(pipeline, found).to_yaml())
    used = {TORCH} if pipeline.name == "score" else {TABULAR, TORCH}
    assert {container.image for container in containers.values()} == {found[name] for name in used}


def test_what_a_pipeline_itself_asks_for_is_kept() -> None:
    asked = {"image": TORCH_IMAGE, "resources": {"resourceMemoryLimit": "64Gi"}, "env": [{"name": "A", "value": "b"}]}
    given = from_container(asked, {}).over(built_in_resources(asked))
    whole = complete_executor(asked, "supervised", {}, given)
    assert whole["resources"]["resourceMemoryLimit"] == "64Gi"
    assert whole["resources"]["resourceMemoryRequest"] == "64Gi", (
        "a limit alone is a request, too, as Kubernetes has it"
    )
    assert whole["resources"]["resourceCpuRequest"] == "200m"
    assert {"name": "A", "value": "b"} in whole["env"]
    config = platform_config({"nodeSelector": {"labels": {"gpu": "yes"}}, "imagePullPolicy": "Always"})
    assert config["nodeSelector"] == {"labels": {"gpu": "yes"}}
    assert config["imagePullPolicy"] == "Always"
    assert config["secretAsEnv"]


def test_a_step_of_one_s_own_gets_the_stores_as_ours_do() -> None:
    @dsl.component(base_image=TABULAR_IMAGE)
    def step() -> None:
        pass

    @dsl.pipeline
    def mine() -> None:
        use_stores(step())

    platform = json_format.MessageToDict(mine.platform_spec)
    (own,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    ours = platform_config({})
    for key in ("secretAsEnv", "configMapAsEnv", "fieldPathAsEnv"):
        assert sorted_entries(own[key]) == sorted_entries(ours[key])


def sorted_entries(listed: list[dict[str, Any]]) -> list[str]:
    """KFP's helpers write some fields twice and the variables in an order of their own."""
    entries = [entry for each in listed for entry in each.get("keyToEnv") or [each]]
    return sorted(json.dumps(entry, sort_keys=True) for entry in entries)


def test_a_misspelt_setting_is_found_here_and_not_by_a_server() -> None:
    with pytest.raises(json_format.ParseError, match="nodeSelektor"):
        platform_config({"nodeSelektor": {}})


READING = ("sluice.components.ingest", "sluice.components.ingest_images")


def test_the_fused_pipeline_has_the_same_form_and_outputs_and_one_task(pipeline: Pipeline) -> None:
    plain, fused = (compile_for_cluster(pipeline, fused=fused).pipeline for fused in (False, True))
    assert fused["root"]["inputDefinitions"] == plain["root"]["inputDefinitions"]
    assert fused["root"].get("outputDefinitions") == plain["root"].get("outputDefinitions")
    ((name, task),) = fused["root"]["dag"]["tasks"].items()
    assert task["inputs"]["parameters"].keys() == plain["root"]["inputDefinitions"]["parameters"].keys()
    reports = set() if pipeline.name == "score" else {"report", "result"}
    assert fused["root"]["dag"]["outputs"]["artifacts"].keys() == reports
    assert fused["pipelineInfo"]["name"] == f"{plain['pipelineInfo']['name']}-fused"
    container = fused["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    assert container["command"] == ["python", "-m", "sluice.cluster.fused_step"]
    assert container["args"][:2] == [pipeline.name, "{{$}}"]
    steps = set(container["args"][2].split(","))
    first = {"sluice.components.score"} if pipeline.name == "score" else set(READING)
    assert steps & first
    # by which the chart gives a pod the account that makes TrainJobs
    assert ("sluice.components.train_distributed" in steps) == (pipeline.name == "supervised_distributed")


def test_only_what_registers_has_the_account_that_may() -> None:
    names = ("exec-register", "exec-register-2", "exec-all-steps", "exec-train", "exec-registered", "exec-pre-register")
    assert [secret_for(name) for name in names] == [REGISTER] * 3 + [NAME] * 3
