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
        if "secrets" in rule["resources"] and name.startswith("Role"):
            assert rule.get("resourceNames"), name


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


def test_steps_can_do_little() -> None:
    """A step runs a data scientist's code: it reads one Secret and no other pod's log."""
    role = named(manifests(), "Role", "pipeline-runner")
    verbs = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {
        ("configmaps", "get"),
        ("secrets", "get"),
        ("pods", "get"),
        ("persistentvolumeclaims", "get"),
        ("persistentvolumeclaims", "create"),
        ("persistentvolumeclaims", "delete"),
        ("workflowtaskresults", "create"),
        ("workflowtaskresults", "patch"),
    }
    (secrets,) = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert secrets["resourceNames"] == ["object-store-runs"]


def test_drivers_of_an_agent_can_do_less_than_steps() -> None:
    """They read no Secret; the launcher does, in the step's pod."""
    role = named(manifests(settings=("kfp.driver.inAgent=true",)), "Role", "kfp-driver-executor-plugin")
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {
        "configmaps",
        "persistentvolumeclaims",
        "pods",
    }
