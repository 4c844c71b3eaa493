"""Rights: little, named, and in the release's own namespace."""

from tests.charts.rendering import Manifest, manifests, named, of_kind

# Objects of the whole cluster that a controller cannot do without; templates/trainer says why.
CLUSTER_WIDE = {"trainer", "jobset"}


def rules(objects: tuple[Manifest, ...]) -> list[tuple[str, Manifest]]:
    return [
        (f"{item['kind']} {item['metadata']['name']}", rule)
        for item in of_kind(objects, "Role", "ClusterRole")
        for rule in item["rules"]
    ]


def test_no_rule_has_a_wildcard(rendered: tuple[Manifest, ...]) -> None:
    for name, rule in rules(rendered):
        for field in ("apiGroups", "resources", "verbs"):
            assert "*" not in rule[field], name


def test_no_rule_lets_its_owner_widen_itself(rendered: tuple[Manifest, ...]) -> None:
    for name, rule in rules(rendered):
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), name
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"], name


def test_secrets_are_read_by_name(rendered: tuple[Manifest, ...]) -> None:
    for name, rule in rules(rendered):
        if "secrets" in rule["resources"] and name.startswith("Role") and rule["verbs"] != ["create"]:
            assert rule.get("resourceNames"), name  # who makes one cannot be held to a name, and reads none


def test_bindings_lead_to_roles_and_accounts_of_the_chart(rendered: tuple[Manifest, ...]) -> None:
    made = {(item["kind"], item["metadata"]["name"]) for item in rendered}
    for item in of_kind(rendered, "RoleBinding", "ClusterRoleBinding"):
        role = item["roleRef"]
        assert (role["kind"], role["name"]) in made or role["name"] == "system:auth-delegator", item["metadata"]["name"]
        assert role["name"] != "cluster-admin"
        for subject in item["subjects"]:
            assert ("ServiceAccount", subject["name"]) in made
            assert subject["namespace"] == item["metadata"].get("namespace", subject["namespace"])


def test_cluster_roles_are_only_those_of_trainer(rendered: tuple[Manifest, ...]) -> None:
    for item in of_kind(rendered, "ClusterRole"):
        assert item["metadata"]["labels"]["app.kubernetes.io/name"].split("-")[0] in CLUSTER_WIDE


def rights(objects: tuple[Manifest, ...], account: str) -> set[tuple[str, str, str]]:
    """Resource, verb and the names it is bound to, of everything that an account of the chart may do."""
    bound = {
        (item["roleRef"]["kind"], item["roleRef"]["name"])
        for item in of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        if account in [subject["name"] for subject in item["subjects"]]
    }
    return {
        (resource, verb, ",".join(rule.get("resourceNames", [])))
        for item in of_kind(objects, "Role", "ClusterRole")
        if (item["kind"], item["metadata"]["name"]) in bound
        for rule in item["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


LAUNCHER = {("configmaps", "get", "kfp-launcher"), ("secrets", "get", "object-store-runs")}
AGENT = {
    ("workflowtasksets", "list", ""),
    ("workflowtasksets", "watch", ""),
    ("workflowtasksets/status", "patch", ""),  # of agents alone, says templates/admission/workflows.yaml
}


def test_steps_can_do_little() -> None:
    """A step runs a data scientist's code, in the container of KFP's launcher, which reads settings and keys."""
    assert rights(manifests(), "pipeline-runner") == LAUNCHER
    assert rights(manifests(settings=("kfp.driver.inAgent=true",)), "pipeline-runner") == LAUNCHER | AGENT


def test_each_program_in_runs_pods_has_its_own_account() -> None:
    objects = manifests()
    results = {("workflowtaskresults", "create", ""), ("workflowtaskresults", "patch", "")}
    assert rights(objects, "pipeline-executor") == results
    assert not rights(objects, "training-worker")
    training = rights(objects, "pipeline-trainer")
    assert training > LAUNCHER
    assert {verb for resource, verb, _ in training if resource == "trainjobs"} == {"get", "create", "patch", "delete"}
    assert {resource for resource, verb, _ in training if verb in ("create", "patch", "update", "delete")} == {
        "trainjobs"
    }


def test_no_account_of_the_chart_makes_what_the_policy_of_pods_passes_over() -> None:
    """Pods of Kubernetes' own controllers are not held, but those of JobSets: nobody may make what they are made of."""
    unheld = {"deployments", "replicasets", "statefulsets", "daemonsets", "cronjobs", "jobs", "replicationcontrollers"}
    for name, rule in rules(manifests(settings=("kfp.driver.inAgent=true",))):
        if unheld & set(rule["resources"]) and {"create", "update", "patch"} & set(rule["verbs"]):
            assert (name, rule["resources"]) in (
                ("ClusterRole sluice-jobset-controller", ["jobs"]),
                ("ClusterRole sluice-jobset-controller", ["jobs/status"]),
            )


def test_drivers_of_an_agent_can_do_less_than_steps() -> None:
    """They read no Secret; the launcher does, in the step's pod."""
    role = named(manifests(settings=("kfp.driver.inAgent=true",)), "Role", "kfp-driver-executor-plugin")
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
    }
