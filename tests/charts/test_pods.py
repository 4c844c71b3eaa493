"""Every pod of the chart keeps to Pod Security "restricted", and to what the house asks beyond it."""

import pytest

from tests.charts.rendering import CASES, Manifest, case, containers, manifests, named, pods

# Programs without a probe, each with its reason.
UNPROBED = {
    "model-late-canary": "listens to nothing",
    "ml-pipeline-persistenceagent": "listens to nothing",
    "ml-pipeline-scheduledworkflow": "listens to nothing",
}
STORAGE = ("configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI", "csi", "ephemeral")


def test_pods_keep_to_pod_security_restricted(rendered: tuple[Manifest, ...]) -> None:
    """Source: Kubernetes documentation, "Pod Security Standards", Restricted."""
    for name, template in pods(rendered):
        spec, context = template["spec"], template["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(spec), name
        assert all(set(volume) - {"name"} <= set(STORAGE) for volume in spec.get("volumes", [])), name
        for container in containers(template):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"] == {"drop": ["ALL"]}, name
            assert not {"privileged", "procMount"} & set(own), name
            assert not [port for port in container.get("ports", []) if "hostPort" in port], name


def test_pods_have_a_numeric_user_and_a_read_only_root(rendered: tuple[Manifest, ...]) -> None:
    """A number, since the kubelet cannot tell whether an image's user by name is root."""
    for name, template in pods(rendered):
        assert template["spec"]["securityContext"]["runAsUser"] > 0, name
        for container in containers(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name


def test_containers_ask_for_and_are_bound_to_resources(rendered: tuple[Manifest, ...]) -> None:
    for name, template in pods(rendered):
        for container in containers(template):
            for kind in ("requests", "limits"):
                assert {"cpu", "memory", "ephemeral-storage"} <= set(container["resources"][kind]), (name, kind)


def test_what_serves_is_probed(rendered: tuple[Manifest, ...]) -> None:
    for name, template in pods(rendered):
        if not name.startswith("Deployment") or name.split()[1] in UNPROBED:
            continue
        for container in template["spec"]["containers"]:
            assert "readinessProbe" in container, name


def test_probes_ask_ports_that_their_own_container_names(rendered: tuple[Manifest, ...]) -> None:
    """The kubelet knows no port by a name that another container gives it."""
    for name, template in pods(rendered):
        for container in template["spec"]["containers"]:
            ports = {port["name"] for port in container.get("ports", []) if "name" in port}
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind, {})
                asked = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port", 1)
                assert isinstance(asked, int) or asked in ports, (name, container["name"], asked)


def test_the_kubernetes_api_s_token_goes_only_where_it_is_said(rendered: tuple[Manifest, ...]) -> None:
    for name, template in pods(rendered):
        spec, labels = template["spec"], template["metadata"]["labels"]
        assert spec["serviceAccountName"] not in ("", "default"), name
        reaches = labels.get("sluice.dev/kubernetes-client") == "true"
        sources = [s for v in spec.get("volumes", []) for s in v.get("projected", {}).get("sources", [])]
        mounted = spec["automountServiceAccountToken"] or any("serviceAccountToken" in source for source in sources)
        assert mounted is reaches, f"{name}: token and network policy differ"
    for account in (item for item in rendered if item["kind"] == "ServiceAccount"):
        runner = account["metadata"]["name"] == "pipeline-runner"
        assert account["automountServiceAccountToken"] is runner, account["metadata"]["name"]


def test_pods_use_accounts_that_the_chart_makes(rendered: tuple[Manifest, ...]) -> None:
    made = {item["metadata"]["name"] for item in rendered if item["kind"] == "ServiceAccount"}
    used = {template["spec"]["serviceAccountName"] for _, template in pods(rendered)}
    assert used <= made
    runs = {"pipeline-runner", "pipeline-trainer", "pipeline-executor", "training-worker", "kfp-driver-executor-plugin"}
    # The operator makes servers of models, with accounts that stand ready.
    operated = {f"model-{what}" for what in ("server", "monitor", "canary")} if "sluice-operator" in made else set()
    assert made - used <= runs | operated


def test_images_are_pinned(rendered: tuple[Manifest, ...]) -> None:
    for name, template in pods(rendered):
        for container in containers(template):
            reference = container["image"].rpartition("/")[2]
            tag = reference.partition("@")[0].partition(":")[2]
            assert "@sha256:" in reference or (tag and tag != "latest"), (name, container["image"])


def test_a_mirror_stands_before_every_image() -> None:
    objects = case("mirror")
    for name, template in pods(objects):
        assert template["spec"]["imagePullSecrets"] == [{"name": "pull"}], name
        for container in containers(template):
            assert container["image"].startswith("registry.example.org/mirror/"), (name, container["image"])
    server = named(objects, "Deployment", "ml-pipeline")["spec"]["template"]["spec"]["containers"][0]
    env = {item["name"]: item.get("value") for item in server["env"]}
    assert env["V2_DRIVER_IMAGE"] == "registry.example.org/mirror/ghcr.io/kubeflow/kfp-driver:2.17.0"


def test_hermetic_values_leave_no_image_of_a_registry() -> None:
    for name, template in pods(case("hermetic")):
        for container in containers(template):
            assert container["image"].startswith(("sluice.local/", "sluice/")), (name, container["image"])


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    objects = manifests(settings=(f"minio.image.digest={digest}",))
    (container,) = named(objects, "Deployment", "minio")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"docker.io/minio/minio@{digest}"


def test_containers_mount_what_the_pod_has(rendered: tuple[Manifest, ...]) -> None:
    for name, template in pods(rendered):
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
        mounted = {mount["name"] for container in containers(template) for mount in container.get("volumeMounts", [])}
        assert mounted == volumes, name


@pytest.mark.parametrize("name", CASES)
def test_service_links_do_not_leak_into_programs(name: str) -> None:
    """`mlflow` and `minio` read MLFLOW_PORT and the like, which Kubernetes would set to tcp://..."""
    for pod, template in pods(case(name)):
        assert template["spec"]["enableServiceLinks"] is False, pod


def test_jobs_end_by_themselves(rendered: tuple[Manifest, ...]) -> None:
    for item in rendered:
        if item["kind"] == "Job":
            assert item["spec"]["activeDeadlineSeconds"] > 0, item["metadata"]["name"]
            assert "backoffLimit" in item["spec"], item["metadata"]["name"]
