"""Each part's account at the object store: a real MinIO, the chart's own policies, and what an attacker would try."""

import io
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, CopySource
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.versioningconfig import SUSPENDED, VersioningConfig

from sluice.cluster import store_accounts
from sluice.cluster.store_accounts import StoreAccount
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.storage.s3_connection import Connection
from tests.charts.rendering import CASES, case, manifests, named
from tests.conftest import MinioServer, NewMinio

PARTS = ("kfp", "mlflow", "monitoring", "people", "register", "runs", "serving", "steps")
BUCKETS = ("mlpipeline", "sluice", "mlflow")
LAID = {
    ("sluice", "lakes/flights/contract.yaml"),
    ("sluice", "datasets/1/manifest.json"),
    ("sluice", "models/1/manifest.json"),
    ("sluice", "promotions/flights/000001.json"),
    ("sluice", "runs/1/result.json"),
    ("mlpipeline", "pipelines/1"),
    ("mlpipeline", "v2/artifacts/a/1/page"),
    ("mlpipeline", "private-artifacts/sluice/a/main.log"),
    ("mlflow", "1/models/m-1/artifacts/MLmodel"),
}
pytestmark = pytest.mark.minio


class Store:
    """A MinIO with the release's accounts.

    Attributes:
        root: A client with root's keys.
    """

    def __init__(self, server: MinioServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.server = folder, server
        policies = named(case("models"), "ConfigMap", "object-store-policies")["data"]
        for file, text in policies.items():
            (folder / "policies").mkdir(exist_ok=True)
            (folder / "policies" / file).write_text(text)
        for part in PARTS:
            self.give(part, f"sluice-{part}", f"secret-of-{part}")
        settings = {"ACCOUNTS": "accounts", "POLICIES": "policies"}
        for name, value in settings.items():
            monkeypatch.setenv(f"SLUICE_STORE_{name}", str(folder / value))
        monkeypatch.setenv("SLUICE_SETUP_BUCKETS", " ".join(BUCKETS))
        monkeypatch.setenv("SLUICE_STORE_VERSIONED", "sluice")
        monkeypatch.setenv("SLUICE_STORE_PASSING", "training/ own/")
        self.root = Connection.from_environment().client()

    def give(self, part: str, access: str, secret: str) -> None:
        """Write a part's keys as its Secret has them."""
        place = self.folder / "accounts" / part
        place.mkdir(parents=True, exist_ok=True)
        (place / "accesskey").write_text(access)
        (place / "secretkey").write_text(secret)

    def client(self, part: str, secret: str = "") -> Minio:
        """A client with a part's keys."""
        host = self.server.endpoint.partition("://")[2]
        return Minio(host, f"sluice-{part}", secret or f"secret-of-{part}", secure=False, region="us-east-1")


@pytest.fixture(scope="module")
def made(new_minio: NewMinio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A server of its own, with the accounts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        server = new_minio().start()
        for name, value in server.settings().items():
            patch.setenv(name, value)
        store = Store(server, tmp_path_factory.mktemp("store"), patch)
        store_accounts.make(30)
        yield store
        server.stop()


@pytest.fixture
def filled(made: Store) -> Store:
    """With one object of every kind and nothing else, laid by root."""
    for bucket in BUCKETS:
        for entry in made.root.list_objects(bucket, recursive=True):
            made.root.remove_object(bucket, entry.object_name)
    for bucket, name in LAID:
        put(made.root, bucket, name, b"first")
    return made


def put(client: Minio, bucket: str, name: str, data: bytes = b"forged") -> None:
    client.put_object(bucket, name, io.BytesIO(data), len(data))


def get(client: Minio, bucket: str, name: str, version: str | None = None) -> bytes:
    return client.get_object(bucket, name, version_id=version).read()


def listed(client: Minio, bucket: str) -> list[str]:
    return [str(entry.object_name) for entry in client.list_objects(bucket)]


def refused(attempt: Callable[[], Any]) -> bool:
    """Whether the store denies it; any other failure is a mistake of the test."""
    try:
        attempt()
    except (S3Error, MinioAdminException) as error:
        if "AccessDenied" not in str(error):
            raise
        return True
    return False


WRITES = {
    # What each part may write, by bucket and name; all else is refused.
    "kfp": {("mlpipeline", "pipelines/2")},
    "runs": {("mlpipeline", "v2/artifacts/a/2/page"), ("mlpipeline", "private-artifacts/sluice/b/main.log")},
    "mlflow": {("mlflow", "1/models/m-2/artifacts/MLmodel")},
    "steps": {
        ("sluice", name) for name in ("datasets/2/x", "models/2/x", "code/1.patch", "runs/2/x", "training/2/x", "own/x")
    },
    "people": {("sluice", name) for name in ("lakes/own/x.csv", "code/1.patch", "labels/late/x.parquet", "own/x")},
    "serving": {
        ("sluice", name)
        for name in (
            "predictions/late/date=2026-11-26/hour=14/x.parquet",
            "predictions/late/writers/1.json",
            "logged-models/late",
            "labels/late/x.parquet",
            "salts/predictions",
            "traffic/late/servers/1.json",
            "traffic/late/counts/1-0/1.json",
        )
    },
    "monitoring": {("sluice", "datasets/2/x"), ("sluice", "monitoring/late/1.json")},
}
WRITES["register"] = WRITES["steps"] | {
    ("sluice", name)
    for name in (
        "promotions/flights/000002.json",
        "traffic/late/records/000001.json",
        "traffic/late/servers/1.json",
        "traffic/late/counts/1-0/1.json",
    )
}
PLACES = set.union(*WRITES.values()) | {("sluice", "anything"), ("mlpipeline", "anything"), ("mlflow", "anything")}


def test_a_part_writes_its_own_places_and_no_other(filled: Store) -> None:
    free = {"mlflow": {("mlflow", "anything")}, "runs": {("mlpipeline", "anything")}}
    for part in PARTS:
        client = filled.client(part)
        allowed = {place for place in PLACES if not refused(partial(put, client, *place))}
        assert allowed == WRITES[part] | free.get(part, set()), part


def test_no_part_deletes_what_is_not_its_own(filled: Store) -> None:
    own = {
        "kfp": {("mlpipeline", "pipelines/1")},
        "mlflow": {("mlflow", "1/models/m-1/artifacts/MLmodel")},
        "people": {("sluice", "lakes/flights/contract.yaml")},
    }
    for part in PARTS:
        client = filled.client(part)
        gone = {place for place in LAID if not refused(partial(client.remove_object, *place))}
        assert gone == own.get(part, set()), part


def test_a_step_reads_its_bucket_and_none_of_the_others(filled: Store) -> None:
    for part in ("steps", "register", "people"):
        client = filled.client(part)
        assert get(client, "sluice", "promotions/flights/000001.json") == b"first"
        assert list(client.list_objects("sluice", recursive=True))
        for bucket, name in (("mlpipeline", "pipelines/1"), ("mlflow", "1/models/m-1/artifacts/MLmodel")):
            assert refused(partial(get, client, bucket, name))
            assert refused(partial(listed, client, bucket))


def test_a_model_server_reads_models_and_no_lake(filled: Store) -> None:
    client = filled.client("serving")
    assert get(client, "sluice", "models/1/manifest.json") == b"first"
    for name in ("lakes/flights/contract.yaml", "promotions/flights/000001.json", "runs/1/result.json"):
        assert refused(partial(get, client, "sluice", name)), name
    put(client, "sluice", "predictions/late/writers/1.json")
    client.remove_object("sluice", "predictions/late/writers/1.json")


def test_a_step_reads_no_key_of_masks(filled: Store) -> None:
    put(filled.root, "sluice", "salts/predictions", b"key")
    assert refused(partial(get, filled.client("steps"), "sluice", "salts/predictions"))
    assert get(filled.client("serving"), "sluice", "salts/predictions") == b"key"


def test_what_runs_in_a_step_s_pod_reads_no_uploaded_pipeline(filled: Store) -> None:
    assert refused(lambda: get(filled.client("runs"), "mlpipeline", "pipelines/1"))
    assert get(filled.client("runs"), "mlpipeline", "v2/artifacts/a/1/page") == b"first"


def test_a_step_cannot_copy_over_a_promotion_either(filled: Store) -> None:
    client = filled.client("steps")
    put(client, "sluice", "own/forged")
    assert refused(
        lambda: client.copy_object("sluice", "promotions/flights/000001.json", CopySource("sluice", "own/forged"))
    )
    assert get(filled.root, "sluice", "promotions/flights/000001.json") == b"first"


def test_what_a_step_overwrites_stays_as_a_version_that_it_cannot_delete(filled: Store) -> None:
    """S3's policies do not tell creating from overwriting: so what was there must not be lost."""
    client, name = filled.client("steps"), "models/1/manifest.json"
    put(client, "sluice", name)
    first = next(v for v in filled.root.list_objects("sluice", name, include_version=True) if v.is_latest != "true")
    assert refused(lambda: client.remove_object("sluice", name, version_id=first.version_id))
    assert refused(lambda: client.set_bucket_versioning("sluice", VersioningConfig(SUSPENDED)))
    for _ in range(2):
        put(client, "sluice", "training/1/checkpoint")  # these are many, and nobody's evidence
    assert len(list(filled.root.list_objects("sluice", "training/1/", include_version=True))) == 1
    assert get(filled.root, "sluice", name, first.version_id) == b"first"


def test_no_part_is_an_administrator(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
    everything = {"Version": "2012-10-17", "Statement": [opened]}
    for part in PARTS:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", f"sluice-{part}")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"secret-of-{part}")
        with pytest.raises(EnvironmentFault, match="AccessDenied"):
            store_accounts.keep_account(
                Connection.from_environment(), StoreAccount("steps", f"sluice-{part}", "secret-of-all", everything)
            )
        admin = MinioAdmin(
            endpoint=filled.server.endpoint.partition("://")[2],
            credentials=StaticProvider(f"sluice-{part}", f"secret-of-{part}"),
            secure=False,
        )
        assert refused(partial(admin.user_add, "intruder", "intruder-secret"))
        assert refused(partial(admin.policy_set, "readwrite", user=f"sluice-{part}"))
        # What MinIO lets every user do by itself: keys that outlive the Secret's, or another password for all.
        assert refused(partial(admin.add_service_account, access_key="backdoor", secret_key="backdoor-secret"))
        assert refused(partial(admin.user_add, f"sluice-{part}", "mine-alone"))


def test_doing_it_again_keeps_all_and_takes_a_new_key(filled: Store) -> None:
    store_accounts.make(30)
    assert get(filled.client("steps"), "sluice", "models/1/manifest.json") == b"first"
    filled.give("steps", "sluice-steps", "another-secret")
    store_accounts.make(30)
    with pytest.raises(S3Error, match="signature"):
        get(filled.client("steps"), "sluice", "models/1/manifest.json")
    assert get(filled.client("steps", "another-secret"), "sluice", "models/1/manifest.json") == b"first"
    assert filled.root.get_bucket_versioning("sluice").status == ENABLED
    filled.give("steps", "sluice-steps", "secret-of-steps")
    store_accounts.make(30)


def test_a_grant_by_hand_is_taken_back(filled: Store) -> None:
    keys = filled.server.settings()
    root = StaticProvider(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
    admin = MinioAdmin(endpoint=filled.server.endpoint.partition("://")[2], credentials=root, secure=False)
    admin.policy_set("readwrite", user="sluice-steps")
    put(filled.client("steps"), "sluice", "promotions/flights/000009.json")
    store_accounts.make(30)
    assert refused(lambda: put(filled.client("steps"), "sluice", "promotions/flights/000009.json"))


def test_a_new_access_key_takes_the_old_one_s_rights_and_nobody_sees_either(
    filled: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    root = StaticProvider(filled.server.access_key, filled.server.secret_key)
    admin = MinioAdmin(endpoint=filled.server.endpoint.partition("://")[2], credentials=root, secure=False)
    admin.user_add("made-by-hand", "secret-of-a-person")
    filled.give("steps", "steps-new-and-unknown", "secret-of-steps")
    store_accounts.make(30)
    told = "".join(capsys.readouterr())
    assert "account of steps: removed one" in told
    assert "steps-new-and-unknown" not in told
    assert "sluice-steps" not in told
    users = set(json.loads(admin.user_list()))
    assert users >= {"steps-new-and-unknown", "made-by-hand"}
    assert "sluice-steps" not in users
    admin.user_remove("made-by-hand")
    filled.give("steps", "sluice-steps", "secret-of-steps")
    store_accounts.make(30)
    assert "sluice-steps" in json.loads(admin.user_list())


def test_accounts_that_are_one_or_root_s_or_missing_are_refused_in_one_line(
    made: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def said() -> str:
        assert store_accounts.main(["make"]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    root = made.server.access_key
    made.give("steps", root, "secret-of-steps")
    assert "steps and MinIO's root have the same access key;" in said()
    made.give("steps", "sluice-register", "secret-of-steps")
    assert "steps and register have the same access key;" in said()
    for access, secret, what in (
        ("ab", "long-enough", "access key of steps has 2"),
        ("abc", "short", "secret key of steps has 5"),
    ):
        made.give("steps", access, secret)
        line = said()
        assert what in line
        assert "short;" not in line
    (made.folder / "accounts/steps/secretkey").unlink()
    assert "no secretkey of the account steps" in said()
    made.give("steps", "sluice-steps", "secret-of-steps")
    policy = made.folder / "policies/steps.json"
    kept = policy.read_text()
    policy.write_text("{")
    assert "steps.json is no JSON" in said()
    policy.write_text(kept)


def test_waiting_ends_when_the_account_is_there(made: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ACCESS_KEY_ID", "sluice-kfp"), ("SECRET_ACCESS_KEY", "secret-of-kfp")):
        monkeypatch.setenv(f"AWS_{name}", value)
    assert store_accounts.main(["wait", "mlpipeline"]) == 0
    monkeypatch.setenv("SLUICE_SETUP_SECONDS", "1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert store_accounts.main(["wait", "mlpipeline"]) == 1
    for name, value in made.server.settings().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match="no bucket 'absent'"):
        store_accounts.require_bucket("absent")


def test_only_minio_and_its_job_have_root_s_keys() -> None:
    for files in (CASES["default"], CASES["hermetic"]):
        holders = {
            item["metadata"]["name"]
            for item in manifests(files)
            if item["kind"] not in ("Secret",) and '"mlpipeline-minio-artifact"' in json.dumps(item)
        }
        assert holders == {"minio", "minio-accounts-1"}


def test_no_part_has_a_right_that_its_secret_does_not_name() -> None:
    """Every policy names its bucket whole: an asterisk in a bucket's name would open its neighbours."""
    for text in named(manifests(), "ConfigMap", "object-store-policies")["data"].values():
        for statement in json.loads(text)["Statement"]:
            assert all("*" not in arn.partition("/")[0] for arn in statement.get("Resource", []))
            if statement["Effect"] == "Allow":
                assert not [action for action in statement["Action"] if "*" in action or "Version" in action]
