"""Secrets: made at random, in Secrets only, taken from existing ones where values name them."""

import base64
import json

from tests.charts.rendering import CASES, Manifest, flags, helm, manifests, named, of_kind

OWN = ("mlpipeline-minio-artifact", "mysql-credentials", "mysql-root-credentials")
ACCOUNTS = {"sluice", "steps", "register", "admin", "mlflow"} | {
    f"sluice-{part}" for part in ("kfp", "mlflow", "people", "register", "runs", "steps")
}  # names that are no secret


def secret_values(objects: tuple[Manifest, ...]) -> set[str]:
    """Every value of every Secret, as it stands and decoded; without account names and certificates."""
    found = set()
    for item in of_kind(objects, "Secret"):
        for value in (value for key, value in item.get("data", {}).items() if not key.endswith(".crt")):
            found |= {value, base64.b64decode(value).decode()} if value else set()
    return {value for value in found if base64_free(value) not in ACCOUNTS}


def base64_free(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return value


def test_no_secret_stands_outside_of_secrets(rendered: tuple[Manifest, ...]) -> None:
    """Neither in ConfigMaps nor in arguments, environment or annotations."""
    secrets = {value for value in secret_values(rendered) if len(value) > 7}
    others = json.dumps([item for item in rendered if item["kind"] != "Secret"])
    assert not [value for value in secrets if value in others]


def test_the_test_above_sees_secrets() -> None:
    assert len(secret_values(manifests())) >= 8


def test_passwords_are_random() -> None:
    first, second = manifests(), manifests(settings=("images.tag=another",))
    for name in OWN:
        data = named(first, "Secret", name)["data"]
        for key in set(data) & {"password", "secretkey"}:
            assert len(base64.b64decode(data[key])) >= 32
            assert data[key] != named(second, "Secret", name)["data"][key], name


def test_one_password_made_is_the_same_wherever_it_stands() -> None:
    objects = manifests()
    for part in ("steps", "register", "people"):
        store, copy = (named(objects, "Secret", f"{name}-{part}")["data"] for name in ("object-store", "sluice"))
        assert copy["AWS_SECRET_ACCESS_KEY"] == store["secretkey"]
        assert copy["AWS_ACCESS_KEY_ID"] == store["accesskey"]
    mlflow = named(objects, "Secret", "mlflow-credentials")["data"]
    steps, register, people = (named(objects, "Secret", f"sluice-{n}")["data"] for n in ("steps", "register", "people"))
    assert steps["MLFLOW_TRACKING_PASSWORD"] == people["MLFLOW_TRACKING_PASSWORD"] == mlflow["password"]
    assert register["MLFLOW_TRACKING_PASSWORD"] == mlflow["register-password"] != mlflow["password"]
    assert named(objects, "Secret", "kfp-mlflow-credentials")["data"]["password"] == mlflow["password"]
    metadata = named(objects, "Secret", "metadata-grpc-config")["stringData"]["config.pbtxt"]
    mysql = base64.b64decode(named(objects, "Secret", "mysql-credentials")["data"]["password"]).decode()
    assert f'password: "{mysql}"' in metadata


def test_no_two_parts_have_one_account() -> None:
    objects = manifests()
    parts = ("kfp", "mlflow", "people", "register", "runs", "steps")
    secrets = [named(objects, "Secret", f"object-store-{part}")["data"] for part in parts]
    secrets.append(named(objects, "Secret", "mlpipeline-minio-artifact")["data"])
    for key in ("accesskey", "secretkey"):
        assert len({secret[key] for secret in secrets}) == len(secrets)


def test_an_account_of_your_own_takes_the_place_of_one_that_is_made() -> None:
    objects = manifests(settings=("objectStore.accounts.mlflow=mine", "objectStore.accounts.kfp=yours"))
    made = {item["metadata"]["name"] for item in of_kind(objects, "Secret")}
    assert not made & {"object-store-mlflow", "object-store-kfp"}
    for name, secret in (("mlflow", "mine"), ("ml-pipeline", "yours"), ("minio-accounts-1", "mine")):
        workload = next(i for i in of_kind(objects, "Deployment", "Job") if i["metadata"]["name"] == name)
        assert f'"{secret}"' in json.dumps(workload), name


def test_with_every_secret_named_none_is_made() -> None:
    """What GitOps needs: helm sees no cluster there, and what it makes would change each time."""
    made = [
        item for item in of_kind(manifests(CASES["production"]), "Secret") if "data" in item or "stringData" in item
    ]
    assert not made


def test_what_opens_a_kept_volume_is_kept_with_it() -> None:
    """Else a new installation makes new passwords, which the old data do not know, and an authority nobody trusts."""
    for settings, kept in (((), True), (("persistence.keep=false",), False), (("persistence.enabled=false",), False)):
        objects = manifests(settings=settings)
        things = [
            *of_kind(objects, "PersistentVolumeClaim"),
            *(named(objects, "Secret", name) for name in (*OWN, "sluice-authority")),
        ]
        for item in things:
            policy = item["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
            assert policy == ("keep" if kept else None), (settings, item["metadata"]["name"])


def test_an_existing_secret_that_is_not_there_is_named() -> None:
    foreign = ("minio.enabled=false", "objectStore.host=s3.example.org", "objectStore.existingSecret=keys")
    done = helm(*flags((), foreign))
    assert done.returncode != 0
    assert 'objectStore.existingSecret: no Secret "keys" with the key "accesskey" is seen in namespace' in done.stderr
