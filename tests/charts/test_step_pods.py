"""What Argo and KFP are told to lay over the pods of workflows, which no template of the chart holds."""

import json
import re
from typing import Any

import yaml

from sluice.cluster.spec import compile_for_cluster
from sluice.pipelines import TABLES
from sluice.running.catalog import find_pipeline, pipeline_names
from tests.charts.rendering import CASES, Manifest, case, manifests, named

EXPRESSION = re.compile(r'\{\{= (.+?) \? "(.*?)" : "(.*?)" \}\}')
CONDITION = re.compile(r'(\S+) (matches|==|contains) "([^"]+)"')
TRAINING = '{"containers": [{"args": ["from sluice.components.train_distributed.run import run"]}]}'


def controller_config(objects: tuple[Manifest, ...]) -> dict[str, Any]:
    data = named(objects, "ConfigMap", "workflow-controller-configmap")["data"]
    return {key: yaml.safe_load(value) for key, value in data.items()}


def patch(
    objects: tuple[Manifest, ...], pod: str, account: str = "pipeline-runner", given: str = "{}"
) -> dict[str, Any]:
    """The pod's patch once Argo has read its expressions: pod's name, workflow's account, KFP's own patch."""
    text = controller_config(objects)["workflowDefaults"]["spec"]["podSpecPatch"]
    known = {"pod.name": pod, "workflow.serviceAccountName": account, 'inputs.parameters["pod-spec-patch"]': given}
    does = {"matches": lambda have, want: bool(re.search(want, have)), "==": str.__eq__, "contains": str.__contains__}
    found = list(EXPRESSION.finditer(text))
    assert found, text
    for each in found:
        assert "}}" not in each[0][:-2], "Argo ends an expression at the first two closing braces"
        terms = [CONDITION.fullmatch(term) for term in each[1].split(" && ")]
        holds = all(does[term[2]](known[term[1]], term[3]) for term in terms if term)
        assert all(terms), each[1]
        text = text.replace(each[0], each[2].replace("\\n", "\n") if holds else each[3])
    return dict(yaml.safe_load(text))


def restricted(context: dict[str, Any]) -> bool:
    return context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_every_container_of_a_step_s_pod_is_restricted() -> None:
    for name in CASES:
        objects = case(name)
        config = controller_config(objects)
        assert restricted(config["executor"]["securityContext"])
        assert restricted(config["mainContainer"]["securityContext"])
        step = patch(objects, "p-x7k2-system-container-impl-123")
        launcher = next(item for item in step["initContainers"] if item["name"] == "kfp-launcher")
        assert restricted(launcher["securityContext"])
        assert step["securityContext"]["runAsNonRoot"] is True
        assert step["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert step["securityContext"]["runAsUser"] == 65532


def test_only_steps_get_kfp_s_launcher() -> None:
    """A patch with its name would make a container without an image in drivers' pods."""
    for pod, has in {
        "supervised-abc12-system-container-impl-2718281828": True,
        "p-abc12-retry-system-container-impl-1": True,
        "p-abc12-metadata-0-1-system-container-impl-1": True,
        "p-abc12-system-container-driver-1": False,
        "p-abc12-system-dag-driver-1": False,
        "p-abc12-system-importer-1": False,
        "system-container-impl-abc12-system-dag-driver-1": False,  # a pipeline of that name
    }.items():
        containers = {item["name"] for item in patch(manifests(), pod)["initContainers"]}
        assert containers == ({"init", "kfp-launcher"} if has else {"init"}), pod


def test_each_pod_of_a_workflow_runs_as_the_account_of_what_it_does() -> None:
    step, driver = "p-abc12-system-container-impl-1", "p-abc12-system-dag-driver-1"
    for name in ("default", "kind"):
        objects = case(name)
        account = {
            (pod, given): patch(objects, pod, given=given).get("serviceAccountName")
            for pod in (step, driver)
            for given in ("{}", TRAINING)
        }
        drivers = "kfp-driver-executor-plugin"
        assert account == {
            (step, "{}"): None,  # the workflow's own
            (step, TRAINING): "pipeline-trainer",
            (driver, "{}"): drivers,
            (driver, TRAINING): drivers,
        }
    for pod in (step, driver):  # a run that names its account keeps it
        assert "serviceAccountName" not in patch(manifests(), pod, account="own", given=TRAINING)
    assert "serviceAccountName" not in patch(manifests(settings=("runtimes.enabled=false",)), step, given=TRAINING)


def test_the_training_step_is_known_by_its_code() -> None:
    """The text of the component that KFP's driver puts into the pod's patch; and no other step's."""
    for fused in (False, True):
        spec = compile_for_cluster(find_pipeline("supervised_distributed"), fused=fused).pipeline
        executors = spec["deploymentSpec"]["executors"]
        found = {
            name for name, each in executors.items() if "sluice.components.train_distributed" in str(each["container"])
        }
        assert found == ({"exec-all-steps"} if fused else {"exec-train-distributed"})


SOURCES = (
    "steps.sources.SALES.secretName=sales-database",
    "steps.sources.SALES.key=url",
    "steps.sources.STOCK_2.secretName=stock",
    "steps.sources.STOCK_2.key=address.txt",
)


def test_steps_that_ingest_get_the_addresses_of_databases_and_no_others() -> None:
    """Told apart by the text that KFP's driver puts into the pod's patch, of every step of every pipeline."""
    objects, step = manifests(settings=SOURCES), "p-abc12-system-container-impl-1"
    for name, fused in ((name, fused) for name in pipeline_names() for fused in (False, True)):
        executors = compile_for_cluster(find_pipeline(name), fused=fused).pipeline["deploymentSpec"]["executors"]
        reads = {"exec-all-steps" if fused else "exec-ingest"} if name in TABLES else set()
        for label, executor in executors.items():
            made = patch(objects, step, given=json.dumps({"containers": [executor["container"]]}))
            assert ("containers" in made) == (label in reads), (name, label)
    ingests = json.dumps({"args": ["from sluice.components.ingest.run import run"]})
    (main,) = patch(objects, step, given=ingests)["containers"]
    key = {"name": "stock", "key": "address.txt", "optional": True}
    assert {"name": "SLUICE_SOURCE_STOCK_2", "valueFrom": {"secretKeyRef": key}} in main["env"]
    assert (main["name"], len(main["env"])) == ("main", 2)
    assert "containers" not in patch(objects, "p-abc12-system-dag-driver-1", given=ingests)
    assert "containers" not in patch(manifests(), step, given=ingests)
    raw = yaml.safe_load(controller_config(objects)["workflowDefaults"]["spec"]["podSpecPatch"])
    assert "containers" not in raw, "an agent's"


def test_argo_s_own_containers_hold_another_token_than_the_step() -> None:
    objects = manifests()
    executor = controller_config(objects)["workflowDefaults"]["spec"]["executor"]["serviceAccountName"]
    named(objects, "ServiceAccount", executor)
    token = named(objects, "Secret", f"{executor}.service-account-token")
    assert token["type"] == "kubernetes.io/service-account-token"
    assert token["metadata"]["annotations"] == {"kubernetes.io/service-account.name": executor}


def test_an_agent_s_patch_is_sound_before_its_expression_is_read() -> None:
    """Argo reads no expressions there: it lays the patch over an agent's pod as it stands."""
    raw = yaml.safe_load(controller_config(manifests())["workflowDefaults"]["spec"]["podSpecPatch"])
    assert raw == patch(manifests(), "p-abc12-system-dag-driver-1", account="own")


def agent_container(name: str) -> dict[str, Any]:
    """The container that Argo puts into agents' pods."""
    plugin = named(case(name), "ConfigMap", "kfp-driver-executor-plugin")
    assert plugin["metadata"]["labels"]["workflows.argoproj.io/configmap-type"] == "ExecutorPlugin"
    return dict(yaml.safe_load(plugin["data"]["sidecar.container"]))


def test_the_drivers_of_an_agent_are_restricted_too() -> None:
    for name in ("agent", "kind", "hermetic"):
        container = agent_container(name)
        context = container["securityContext"]
        assert restricted({key: context.pop(key) for key in tuple(context) if key[:3] in ("all", "rea", "cap")})
        assert context == {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for kind in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"][kind])
        places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert places == {"sluice-tmp": "/tmp", "sluice-trusted": "/etc/sluice/ca"}


def test_the_plugin_answers_where_argo_asks() -> None:
    from sluice.cluster.driver_plugin import NAME, PORT

    container = agent_container("kind")
    assert container["name"] == NAME
    assert container["ports"] == [{"containerPort": PORT}]


def test_the_plugin_has_what_kfp_s_mlflow_plugin_reads_in_drivers() -> None:
    """KFP 2.17 gives drivers MLflow's account from this Secret."""
    env = {each["name"]: each.get("valueFrom", {}) for each in agent_container("agent")["env"]}
    for key in ("username", "password"):
        source = env[f"MLFLOW_TRACKING_{key.upper()}"]["secretKeyRef"]
        assert source == {"name": "kfp-mlflow-credentials", "key": key, "optional": True}
    assert "MLFLOW_TRACKING_PASSWORD" not in {each["name"] for each in agent_container("hermetic")["env"]}


def changes(objects: tuple[Manifest, ...]) -> list[str]:
    """The expressions of the policy that changes KFP's workflows as they are made."""
    policies = [item for item in objects if item["kind"] == "MutatingAdmissionPolicy"]
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Ignore", "without the policy drivers are pods, and runs go on"
        selected = policy["spec"]["matchConstraints"]["namespaceSelector"]["matchLabels"]
        assert selected == {"kubernetes.io/metadata.name": "sluice"}
    return [each["jsonPatch"]["expression"] for policy in policies for each in policy["spec"]["mutations"]]


def test_drivers_stay_pods_unless_asked() -> None:
    assert not [each for each in changes(manifests()) if '"plugin"' in each]
    assert not [item for item in manifests(settings=("steps.retries=0",)) if "MutatingAdmission" in item["kind"]]
    assert [each for each in changes(case("agent")) if '"plugin"' in each]


def test_a_step_is_run_again_for_a_service_that_is_away_and_for_nothing_else() -> None:
    """Argo's expression, as Go's and Python's regular expressions both read it; on kind it is seen to work."""
    for name in ("agent", "kind", "hermetic"):
        (change,) = [each for each in changes(case(name)) if "/retryStrategy" in each]
        pattern = re.search(r"lastRetry\.message matches '([^']+)'", change)
        assert pattern
        lost = "failed to publish results to ML Metadata: rpc error: code = Unavailable desc = connection error"
        assert re.search(pattern[1], f"Error (exit code 1): {lost}")
        panic = "Error (exit code 2): panic: invalid memory address\ngoroutine 1 [running]:\n"
        assert re.search(pattern[1], panic + "pipelines/backend/src/v2/metadata.(*Client).PublishExecution(0xc0)")
        failed = "F1 main.go:53] failed to execute component: "
        upload = (
            'failed to upload output artifact: uploadFile(): \ncaused by: Put "http://minio:9000/x": dial tcp 10.0.0.1'
        )
        assert re.search(pattern[1], f"{failed}{upload}: connect: connection refused")
        refused = "rpc error: code = InvalidArgument desc = x"
        own = f"ConnectionError: connection refused\n{failed}exit status 1\n"
        for other in (panic, "Error (exit code 1)", "OOMKilled (exit code 137)", refused, own):
            assert not re.search(pattern[1], other)
        assert '"limit": dyn("5")' in change
    # or Argo never sees the launcher's words
    assert controller_config(manifests())["mainContainer"]["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_agents_find_the_tokens_that_argo_mounts() -> None:
    """Argo, util/secrets: TokenNameForServiceAccount."""
    objects = case("agent")
    for account in ("pipeline-runner", "kfp-driver-executor-plugin"):
        named(objects, "ServiceAccount", account)
        secret = named(objects, "Secret", f"{account}.service-account-token")
        assert secret["type"] == "kubernetes.io/service-account-token"
        assert secret["metadata"]["annotations"] == {"kubernetes.io/service-account.name": account}


def test_steps_have_a_folder_to_write_to() -> None:
    config, step = controller_config(manifests()), patch(manifests(), "p-system-container-impl-1")
    volume, authority = step["volumes"]
    assert volume["emptyDir"] == {"sizeLimit": "4Gi"}
    assert config["mainContainer"]["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/tmp"},
        {"name": authority["name"], "mountPath": "/etc/sluice/ca", "readOnly": True},
    ]
    assert {"name": "HOME", "value": "/tmp"} in config["mainContainer"]["env"]
    # Argo adds a volume for each Secret of the object store, of its name.
    store = config["artifactRepository"]["s3"]
    secrets = {value["name"] for key, value in store.items() if key.endswith("Secret")}
    assert len(secrets) == 2
    assert not secrets & {volume["name"], authority["name"]}


def test_steps_have_requests_and_limits() -> None:
    config = controller_config(manifests())
    for part in ("executor", "mainContainer"):
        for kind in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(config[part]["resources"][kind])


def test_logs_lie_where_the_pages_look_for_them() -> None:
    objects = manifests()
    store = controller_config(objects)["artifactRepository"]["s3"]
    ui = named(objects, "Deployment", "ml-pipeline-ui")["spec"]["template"]["spec"]["containers"][0]["env"]
    env = {item["name"]: item.get("value") for item in ui}
    assert store["keyFormat"] == env["ARGO_KEYFORMAT"]
    assert store["bucket"] == env["ARGO_ARCHIVE_BUCKETNAME"]
    assert store["endpoint"] == "run-gateway.sluice.svc.cluster.local:9000", "pods go through the gateway"
    assert f"{env['MINIO_HOST']}:{env['MINIO_PORT']}" == "minio-service.sluice.svc.cluster.local:9000"


def test_launchers_and_drivers_find_kfps_cache_behind_the_gateway() -> None:
    """KFP 2.14 reads the variables, 2.17 is told by its API server. Without a gateway they find KFP by themselves."""
    for settings, host in (((), "run-gateway"), (("objectStore.gateway.enabled=false",), "ml-pipeline")):
        objects = manifests(settings=("kfp.driver.inAgent=true", *settings))
        api = named(objects, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "ML_PIPELINE_SERVICE_NAME", "value": host} in api
        sidecar = named(objects, "ConfigMap", "kfp-driver-executor-plugin")["data"]["sidecar.container"]
        for container in (controller_config(objects)["mainContainer"], yaml.safe_load(sidecar)):
            env = {item["name"]: item.get("value") for item in container["env"]}
            told = env.get("ML_PIPELINE_SERVICE_HOST"), env.get("ML_PIPELINE_SERVICE_PORT_GRPC")
            assert told == ((None, None) if settings else ("run-gateway.sluice.svc.cluster.local", "8887"))


def test_the_launcher_knows_the_object_store() -> None:
    """Without `providers` KFP 2.17 writes to a server in the namespace kubeflow."""
    for name, host, plain in (("default", "run-gateway.sluice.svc.cluster.local:9000", False),
                              ("production", "s3.eu-central-1.amazonaws.com:443", False)):  # fmt: skip
        data = named(case(name), "ConfigMap", "kfp-launcher")["data"]
        provider = yaml.safe_load(data["providers"])["minio"]["default"]
        assert (provider["endpoint"], provider["disableSSL"]) == (host, plain)
        assert data["defaultPipelineRoot"].startswith("minio://")


def test_nothing_of_kfp_looks_into_the_namespace_kubeflow(rendered: tuple[Manifest, ...]) -> None:
    for item in rendered:
        if item["kind"] in ("ConfigMap", "Deployment", "Job"):
            text = yaml.safe_dump(item).replace("http://ml-pipeline.kubeflow:8888", "")
            assert not re.search(r"\.kubeflow\b(?!\.org)", text), item["metadata"]["name"]
