"""What a cluster's owner adds to pods and accounts: it reaches each part and replaces nothing of the chart's."""

import json
from typing import Any

import pytest
import yaml

from tests.charts.rendering import Manifest, case, containers, flags, helm, manifests, named, of_kind, pods
from tests.charts.test_step_pods import controller_config, patch

PARTS = {
    "minio": {"minio", "minio-accounts"},
    "mysql": {"mysql"},
    "postgresql": {"postgresql"},
    "mlflow": {"mlflow", "mlflow-migrate-1"},
    "argo.controller": {"workflow-controller"},
    "objectStore.gateway": {"run-gateway"},
    "kfp.apiServer": {"ml-pipeline"},
    "kfp.ui": {"ml-pipeline-ui"},
    "kfp.persistenceAgent": {"ml-pipeline-persistenceagent"},
    "kfp.scheduledWorkflow": {"ml-pipeline-scheduledworkflow"},
    "kfp.metadata": {"metadata-grpc"},
    "kfp.metadata.gateway": {"metadata-envoy"},
    "trainer": {"trainer-controller"},
    "jobset": {"jobset-controller"},
    "setup": {"sluice-setup", "sluice-check"},
}
RUNS = ("pipeline-runner", "pipeline-trainer", "kfp-driver-executor-plugin", "training-worker")


def own(part: str) -> dict[str, Any]:
    """What a part's `pod` may hold, told apart by the part's name."""
    return {
        "annotations": {"example.org/part": part},
        "labels": {"part": part},
        "serviceAccount": {
            "annotations": {"example.org/role": part},
            "labels": {"azure.workload.identity/use": "true"},
        },
        "env": [{"name": "OWN_PART", "value": part}],
        "envFrom": [{"secretRef": {"name": "own"}}],
        "volumes": [{"name": "own", "emptyDir": {}}],
        "volumeMounts": [{"name": "own", "mountPath": "/own"}],
        "nodeSelector": {"pool": part},
        "tolerations": [{"key": part, "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
        "imagePullSecrets": [{"name": "pull"}],
    }


@pytest.fixture(scope="module")
def all_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """The chart with a `pod` of its own for each part, and something for all."""
    values: dict[str, Any] = {
        "crds": {"enabled": False},
        "pods": {"labels": {"team": "ml"}, "env": [{"name": "HTTPS_PROXY", "value": "x"}]},
        "scheduling": {
            "nodeSelector": {"disk": "ssd", "pool": "any"},
            "tolerations": [{"key": "all", "operator": "Exists"}],
        },
    }
    for part in PARTS:
        at = values
        for name in part.split("."):
            at = at.setdefault(name, {})
        at["pod"] = own(part)
    file = tmp_path_factory.mktemp("values") / "values.yaml"
    file.write_text(json.dumps(values))
    done = helm("--values", str(file))
    assert done.returncode == 0, done.stderr
    return tuple(item for item in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if item)


def test_each_part_s_pods_have_what_is_added(all_parts: tuple[Manifest, ...]) -> None:
    found = {
        name.split()[1].rsplit("-1", 1)[0] if "migrate" not in name else name.split()[1]: pod
        for name, pod in pods(all_parts)
    }
    by_account = {item["metadata"]["name"]: item for item in of_kind(all_parts, "ServiceAccount")}
    names = {name for part in PARTS.values() for name in part}
    assert names == {name if name in names else name.removesuffix("-1") for name in found}
    for part, own_names in PARTS.items():
        wanted = own(part)
        for name in own_names:
            template = found[name]
            spec, metadata = template["spec"], template["metadata"]
            assert metadata["labels"]["part"] == part
            assert metadata["labels"]["team"] == "ml"
            assert metadata["annotations"]["example.org/part"] == part
            assert spec["nodeSelector"] == {"disk": "ssd", "pool": part}, "the part's own goes before that of all"
            assert spec["tolerations"] == [{"key": "all", "operator": "Exists"}, *wanted["tolerations"]]
            assert spec["imagePullSecrets"] == wanted["imagePullSecrets"]
            for key in ("affinity", "priorityClassName", "runtimeClassName"):
                assert spec[key] == wanted[key], (name, key)
            (spread,) = spec["topologySpreadConstraints"]
            chosen = spread["labelSelector"]["matchLabels"].items()
            assert chosen <= metadata["labels"].items()
            assert {"name": "own", "emptyDir": {}} in spec["volumes"]
            for container in containers(template):
                env = [each["name"] for each in container["env"]]
                assert env.count("OWN_PART") == env.count("HTTPS_PROXY") == 1
                assert {"secretRef": {"name": "own"}} in container["envFrom"]
                assert {"name": "own", "mountPath": "/own"} in container["volumeMounts"]
            account = by_account[spec["serviceAccountName"]]["metadata"]
            assert account["annotations"]["example.org/role"] == part
            assert account["labels"]["azure.workload.identity/use"] == "true"


def test_what_is_added_changes_nothing_else(all_parts: tuple[Manifest, ...]) -> None:
    """Laid over the finished object: without it there is what was there."""
    for name, template in pods(manifests()):
        if "migrate" in name or "accounts" in name:
            continue
        kind, short = name.split()
        now = named(all_parts, kind, short)["spec"]["template"]
        for before, after in zip(containers(template), containers(now), strict=True):
            for key in set(before) - {"env", "envFrom", "volumeMounts"}:
                assert after[key] == before[key], (name, key)
            assert [each for each in after["env"] if each["name"] not in ("OWN_PART", "HTTPS_PROXY")] == before.get(
                "env", []
            )
            assert [each for each in after["volumeMounts"] if each["name"] != "own"] == before.get("volumeMounts", [])
        assert now["spec"]["securityContext"] == template["spec"]["securityContext"]
        before, after = template["metadata"].get("annotations", {}), now["metadata"]["annotations"]
        assert set(after) - {"example.org/part"} == set(before)


REFUSED = {
    'minio.pod={"env":[{"name":"MINIO_REGION","value":"x"}]}': "the variable MINIO_REGION of container minio is set",
    'pods={"env":[{"name":"PGUSER","value":"x"}]}': "the variable PGUSER of container",
    'minio.pod={"volumes":[{"name":"data","emptyDir":{}}]}': 'there is a volume "data" already',
    'pods={"volumes":[{"name":"x","hostPath":{"path":"/"}}]}': 'the volume "x" is of the kind hostPath',
    'trainer.pod={"volumes":[{"name":"x","nfs":{"server":"a","path":"/"}}]}': 'the volume "x" is of the kind nfs',
    'kfp.ui.pod={"volumeMounts":[{"name":"x","mountPath":"/tmp/"}]}': "has something at /tmp/ already",
    'mlflow.pod={"labels":{"sluice.dev/mysql-client":"true"}}': "would open the platform's NetworkPolicies",
    'setup.pod={"labels":{"app.kubernetes.io/name":"x"}}': 'the label "app.kubernetes.io/name" is the chart\'s own',
    'argo.controller.pod={"annotations":{"checksum/config":"x"}}': 'the annotation "checksum/config" is the chart',
    'steps.pod={"env":[{"name":"PYTHONPATH","value":"x"}]}': "steps.pod.env: PYTHONPATH decides what a step runs",
    'steps.pod={"env":[{"name":"AWS_ENDPOINT_URL","value":"x"}]}': "steps.pod.env: AWS_ENDPOINT_URL decides",
    'steps.pod={"volumes":[{"name":"x","hostPath":{"path":"/"}}]}': "steps.pod.volumes: x is of the kind hostPath",
    'steps.pod={"volumes":[{"name":"x","secret":{"secretName":"y"}}]}': "steps.pod.volumes: x is of the kind secret",
    'steps.pod={"volumes":[{"name":"sluice-tmp","emptyDir":{}}]}': "the name sluice-tmp is Argo's, KFP's or the",
    'steps.pod={"volumes":[{"name":"x","persistentVolumeClaim":{"claimName":"minio"}}]}': "the claim minio is the",
    'steps.pod={"volumeMounts":[{"name":"x","mountPath":"/usr/lib"}]}': "/usr/lib would hide what steps run",
    'steps.pod={"volumeMounts":[{"name":"x","mountPath":"/mnt/../tmp"}]}': "/mnt/../tmp would hide",
    'steps.pod={"labels":{"pipeline/runid":"x"}}': "steps.pod.labels: pipeline/runid says what a pod is",
    'steps.pod={"labels":{"azure.workload.identity/use":"true"}}': "without the annotations azure.workload",
    'steps.pod={"priorityClassName":"system-node-critical"}': "system-node-critical is for the cluster's own pods",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_what_would_break_something_is_refused_by_name(setting: str) -> None:
    done = helm("--set-json", setting)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("sluice: ")]
    assert [line for line in said if REFUSED[setting] in line], done.stderr


def test_steps_and_workers_have_what_is_added() -> None:
    objects = case("extras")
    config = controller_config(objects)
    assert config["workflowDefaults"]["spec"]["podMetadata"] == {"labels": {"example.org/team": "ml"}}
    assert {"name": "ACME", "value": "yes"} in config["mainContainer"]["env"]
    assert {"name": "acme", "mountPath": "/mnt/acme"} in config["mainContainer"]["volumeMounts"]
    laid = patch(objects, "p-system-container-impl-1")
    assert laid["nodeSelector"] == {"pool": "steps"}
    assert {"name": "acme", "configMap": {"name": "acme"}} in laid["volumes"]
    for text in named(objects, "ConfigMap", "training-runtimes")["data"].values():
        (job,) = yaml.safe_load(text)["spec"]["template"]["spec"]["replicatedJobs"]
        pod = job["template"]["spec"]["template"]
        assert pod["metadata"]["labels"]["example.org/team"] == "ml"
        (worker,) = pod["spec"]["containers"]
        assert {"name": "ACME", "value": "yes"} in worker["env"]
        assert {volume["name"] for volume in pod["spec"]["volumes"]} == {
            mount["name"] for mount in worker["volumeMounts"]
        }


def test_an_identity_takes_the_place_of_every_key() -> None:
    objects = case("identity")
    for name in RUNS:
        notes = named(objects, "ServiceAccount", name)["metadata"]["annotations"]
        assert notes == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/steps"}
    launcher = named(objects, "ConfigMap", "kfp-launcher")["data"]
    assert launcher["defaultPipelineRoot"].startswith("s3://")
    assert yaml.safe_load(launcher["providers"])["s3"]["default"]["credentials"] == {"fromEnv": True}
    logs = controller_config(objects)["artifactRepository"]["s3"]
    assert logs["useSDKCreds"] is True
    assert not [key for key in logs if key.startswith(("accessKey", "secretKey"))]
    for secret in ("sluice-steps", "sluice-register", "sluice-people"):
        assert named(objects, "Secret", secret)["data"]["AWS_ACCESS_KEY_ID"] == ""
        assert named(objects, "Secret", secret)["data"]["MLFLOW_TRACKING_PASSWORD"]
    for _, template in pods(objects):
        for container in containers(template):
            for each in container.get("env", []):
                key = each.get("valueFrom", {}).get("secretKeyRef", {})
                assert key.get("key") not in ("accesskey", "secretkey"), each
                assert key.get("name") != ""
    ui = named(objects, "Deployment", "ml-pipeline-ui")["spec"]["template"]["spec"]["containers"][0]["env"]
    env = {each["name"]: each.get("value") for each in ui}
    assert env["MINIO_ACCESS_KEY"] == env["MINIO_SECRET_KEY"] == "", "it has keys of its own where nothing is said"
    for role in of_kind(objects, "Role"):
        for rule in role["rules"]:
            assert all(rule.get("resourceNames", ["x"])), role["metadata"]["name"]


def test_commands_hear_of_the_site_s_rules() -> None:
    data = named(case("extras"), "ConfigMap", "sluice-steps")["data"]
    assert data["SLUICE_PROJECT_CODE"] == "false"
    assert json.loads(data["SLUICE_MAX_RESOURCES"]) == {"memory": "64Gi"}
    assert json.loads(data["SLUICE_STEP_RESOURCES"]) == {"train": {"memory": "8Gi"}}
    plain = named(manifests(), "ConfigMap", "sluice-steps")["data"]
    assert not {"SLUICE_PROJECT_CODE", "SLUICE_MAX_RESOURCES", "SLUICE_STEP_RESOURCES"} & set(plain)


def test_a_release_of_before_has_none_of_these_values() -> None:
    """helm upgrade --reuse-values: the sections are not there."""
    gone = ("pods=null", "steps.pod=null", "steps.projectCode=null", "steps.maxResources=null", "minio.pod=null")
    done = helm(*flags((), (*gone, "steps.resourcesByStep=null", "objectStore.identity=null", "crds.enabled=false")))
    assert done.returncode == 0, done.stderr
