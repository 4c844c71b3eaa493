"""What runs in MLflow's pods, as real processes on SQLite: migrate, wait, serve."""

import asyncio
import ipaddress
import json
import os
import shutil
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from alembic.script import ScriptDirectory
from cryptography import x509
from mlflow import environment_variables
from mlflow.server import constants
from werkzeug.security import check_password_hash

from sluice.core.errors import BadInput, TrackingFault
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.mlflow_server.app import keep_transfers_here, sign_for
from sluice.mlflow_server.schemas import ACCOUNTS, RUNS, Schema
from sluice.mlflow_server.server_settings import ServerSettings
from sluice.mlflow_server.serving import server_environment
from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from tests.certificates import self_signed
from tests.conftest import MinioServer, free_port

START_SECONDS = 240.0
ADMIN, STEPS = ("root-user", "administrator1"), ("pipelines", "steps-password")
REGISTER = ("registrar", "register-password")
EXPERIMENTS = "/api/2.0/mlflow/experiments/search?max_results=1"


@dataclass
class Pod:
    """A pod's environment: its variables and its writable folder."""

    folder: Path
    variables: dict[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "sluice.mlflow_server", *arguments]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "PG"))}
        return subprocess.Popen(
            command,
            env=clean | self.variables,
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("w"),
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and the last line on standard error."""
        process = self.start(*arguments)
        process.communicate(timeout=300)
        lines = (self.folder / "stderr").read_text().splitlines()
        return process.returncode, lines[-1] if lines else ""


def new_pod(folder: Path) -> Pod:
    """Variables as the chart sets them, with SQLite and a folder in the places of PostgreSQL and S3."""
    return Pod(
        folder,
        {
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
            "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN[0],
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "SLUICE_MLFLOW_STEPS_USERNAME": STEPS[0],
            "SLUICE_MLFLOW_STEPS_PASSWORD": STEPS[1],
            "SLUICE_MLFLOW_REGISTER_USERNAME": REGISTER[0],
            "SLUICE_MLFLOW_REGISTER_PASSWORD": REGISTER[1],
            "SLUICE_MLFLOW_FOLDER": str(folder),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "signs-sessions",
            "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,localhost",
        },
    )


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return new_pod(tmp_path)


@pytest.fixture(scope="module")
def migrated_once(tmp_path_factory: pytest.TempPathFactory) -> Pod:
    """A migration takes seconds, a copy of its database nothing."""
    pod = new_pod(tmp_path_factory.mktemp("migrated"))
    assert pod.run("wait", "--deadline=0") == (
        1,
        f"error: waited 0 s for the migration of database '{pod.database}': its schema of runs and registry is empty",
    )
    assert pod.run("migrate")[0] == 0
    return pod


@pytest.fixture
def migrated(migrated_once: Pod, pod: Pod) -> Pod:
    shutil.copyfile(migrated_once.database, pod.database)
    return pod


@pytest.fixture(scope="module")
def serving(migrated_once: Pod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pod, str]]:
    """A server, and its address."""
    pod = new_pod(tmp_path_factory.mktemp("serving"))
    shutil.copyfile(migrated_once.database, pod.database)
    with served(pod, "http") as address:
        yield pod, address


@contextmanager
def served(pod: Pod, scheme: str, authority: Path | None = None) -> Iterator[str]:
    """A server that answers, for the time of the block; its address."""
    pod.variables["SLUICE_MLFLOW_PORT"] = str(free_port())
    address = f"{scheme}://127.0.0.1:{pod.variables['SLUICE_MLFLOW_PORT']}"
    process = pod.start("serve")
    try:
        deadline = time.monotonic() + START_SECONDS
        while status(f"{address}/health/database", "localhost", authority=authority) != 200:
            log = (pod.folder / "stderr").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def server(serving: tuple[Pod, str]) -> str:
    return serving[1]


def status(url: str, host: str = "", account: tuple[str, str] | None = None, authority: Path | None = None) -> int:
    """The HTTP status of a GET; 0 where nothing answers, or nobody whose certificate is trusted."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    if account:
        request.add_header("Authorization", "Basic " + b64encode(":".join(account).encode()).decode())
    trust = ssl.create_default_context(cafile=authority)
    try:
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError):
        return 0


def test_a_schema_newer_than_the_code_is_refused_in_one_line(migrated: Pod) -> None:
    for table in ("alembic_version_auth", "alembic_version"):
        with sqlite3.connect(migrated.database) as connection:
            connection.execute(f"UPDATE {table} SET version_num = 'fedcba987654'")
        for command in ("wait", "migrate"):
            code, line = migrated.run(command)
            assert code == 2
            assert "is newer than MLflow" in line
            assert "fedcba987654" in line


def test_a_schema_behind_the_code_is_not_served(migrated: Pod) -> None:
    with sqlite3.connect(migrated.database) as connection:
        before = RUNS.revisions[RUNS.head]
        connection.execute("UPDATE alembic_version SET version_num = ?", [before])
    code, line = migrated.run("wait", "--deadline=0")
    assert code == 1
    assert line.endswith("its schema of runs and registry is behind the code")


def test_people_and_steps_have_accounts_and_nobody_else_gets_in(serving: tuple[Pod, str]) -> None:
    pod, server = serving
    assert status(server + EXPERIMENTS) == 401
    assert status(server + EXPERIMENTS, account=(ADMIN[0], "wrong-password")) == 401
    assert status(server + EXPERIMENTS, account=ADMIN) == 200
    assert status(server + EXPERIMENTS, account=STEPS) == 200
    assert status(f"{server}/api/2.0/mlflow/users/get?username={ADMIN[0]}", account=ADMIN) == 200
    assert status(f"{server}/api/2.0/mlflow/users/get?username={ADMIN[0]}", account=STEPS) == 403
    assert status(server + EXPERIMENTS, host="evil.example.org", account=ADMIN) == 403
    for secret in (ADMIN[1], STEPS[1]):
        assert secret not in (pod.folder / "basic_auth.ini").read_text()
        assert secret not in (pod.folder / "stderr").read_text()


@pytest.fixture
def certified(migrated: Pod) -> tuple[Pod, Path]:
    """A pod with a certificate, and the file that vouches for it."""
    key, certificate = self_signed(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    files = {"SLUICE_MLFLOW_CERTIFICATE": certificate, "SLUICE_MLFLOW_CERTIFICATE_KEY": key}
    for name, content in files.items():
        (migrated.folder / name).write_bytes(content)
        migrated.variables[name] = str(migrated.folder / name)
    return migrated, migrated.folder / "SLUICE_MLFLOW_CERTIFICATE"


def test_with_a_certificate_it_speaks_tls_alone_and_clients_trust_who_is_named(
    certified: tuple[Pod, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pod, authority = certified
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SLUICE_CA_FILE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", STEPS[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", STEPS[1])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with served(pod, "https", authority) as address:
        assert status(address.replace("https:", "http:") + "/health") == 0
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(TrackingFault, match="certificate"), tracking_faults():
            mlflow_module().MlflowClient().search_registered_models()
        monkeypatch.setenv("SLUICE_CA_FILE", str(authority))
        with tracking_faults():
            assert list(mlflow_module().MlflowClient().search_registered_models()) == []
        # Addresses that the server signs are called without MLflow's own settings.
        assert requests.get(f"{address}/health", timeout=10).status_code == 200


def test_a_certificate_and_its_key_belong_together(certified: tuple[Pod, Path]) -> None:
    pod, _ = certified
    file = Path(pod.variables["SLUICE_MLFLOW_CERTIFICATE_KEY"])
    for key in (None, self_signed(x509.DNSName("another"))[0], b"no key"):
        if key:
            file.write_bytes(key)
        variables = pod.variables if key else {k: v for k, v in pod.variables.items() if not k.endswith("CATE_KEY")}
        with pytest.raises(
            BadInput, match="belong together" if key is None else "or another one's key; correct"
        ) as said:
            ServerSettings.of(MlflowServerVariables(variables))
        assert "PRIVATE" not in str(said.value)


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[tuple[str, str]], Any]:
    """A function that gives MLflow's client as an account; the last one that it gave is the one that works."""
    from mlflow import MlflowClient

    def given(account: tuple[str, str]) -> Any:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", account[1])
        return MlflowClient(server)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    return given


def test_steps_log_into_what_the_administrator_made_and_the_register_step_registers(
    client: Callable[[tuple[str, str]], Any], tmp_path: Path
) -> None:
    experiment = client(ADMIN).create_experiment("flights")
    client(ADMIN).create_registered_model("delays")
    steps = client(STEPS)
    run = steps.create_run(experiment)
    steps.log_metric(run.info.run_id, "rmse", 1.5)
    (tmp_path / "note.txt").write_text("kept")
    steps.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
    assert Path(steps.download_artifacts(run.info.run_id, "note.txt")).read_text() == "kept"
    register = client(REGISTER)
    version = register.create_model_version("delays", run.info.artifact_uri, run.info.run_id).version
    register.set_registered_model_alias("delays", "champion", version)
    register.create_registered_model("arrivals")
    register.set_registered_model_tag("delays", "sluice.record", "1")  # of a model that somebody else made
    register.delete_registered_model_tag("delays", "sluice.record")
    register.set_registered_model_alias("delays", "challenger", version)
    register.delete_registered_model_alias("delays", "challenger")
    assert client(STEPS).get_model_version_by_alias("delays", "champion").run_id == run.info.run_id


def test_steps_cannot_touch_the_registry(client: Callable[[tuple[str, str]], Any]) -> None:
    """Neither anybody's model nor, before the register step does, one of a name to come, which they would then own."""
    from mlflow.exceptions import MlflowException

    experiment = client(STEPS).create_experiment("attacks")  # of its own: it may manage what it made
    run = client(STEPS).create_run(experiment)
    client(STEPS).delete_run(client(STEPS).create_run(experiment).info.run_id)  # of two opened at once, one goes
    register = client(REGISTER)
    register.create_registered_model("taken")
    version = register.create_model_version("taken", run.info.artifact_uri, run.info.run_id).version
    register.set_registered_model_alias("taken", "champion", version)
    steps = client(STEPS)
    attacks: dict[str, Callable[[], Any]] = {
        "a model of a name to come": lambda: steps.create_registered_model("flights-late"),
        "a version": lambda: steps.create_model_version("taken", run.info.artifact_uri, run.info.run_id),
        "an alias": lambda: steps.set_registered_model_alias("taken", "champion", version),
        "an alias away": lambda: steps.delete_registered_model_alias("taken", "champion"),
        "a version's digest": lambda: steps.set_model_version_tag("taken", version, "sluice.digest", "0"),
        "a version's tag away": lambda: steps.delete_model_version_tag("taken", version, "sluice.digest"),
        "a model's tag": lambda: steps.set_registered_model_tag("taken", "x", "0"),
        "a version's words": lambda: steps.update_model_version("taken", version, "forged"),
        "a version's stage": lambda: steps.transition_model_version_stage("taken", version, "Production"),
        "another name": lambda: steps.rename_registered_model("taken", "mine"),
        "a version away": lambda: steps.delete_model_version("taken", version),
        "a model away": lambda: steps.delete_registered_model("taken"),
        "its experiment away": lambda: steps.delete_experiment(experiment),
    }
    for what, attack in attacks.items():
        with pytest.raises(MlflowException) as error:
            attack()
        assert error.value.error_code == "PERMISSION_DENIED", what
    assert client(ADMIN).get_model_version_by_alias("taken", "champion").version == version
    with pytest.raises(MlflowException, match="the account registrar may not delete"):
        client(REGISTER).delete_registered_model("taken")


def test_the_files_of_a_registered_version_stay_as_they_are(
    client: Callable[[tuple[str, str]], Any], server: str, tmp_path: Path
) -> None:
    """Who loads `models:/name@champion` with plain MLflow checks no digest."""
    import mlflow
    from mlflow.exceptions import MlflowException

    experiment = client(STEPS).create_experiment("loading")
    run = client(STEPS).create_run(experiment).info.run_id
    made = client(STEPS).create_logged_model(experiment, name="model", source_run_id=run)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}")
    for account in (STEPS, REGISTER):
        client(account).log_model_artifacts(made.model_id, str(folder))
    client(STEPS).finalize_logged_model(made.model_id, "READY")
    (folder / "MLmodel").write_text("forged")
    for account in (STEPS, REGISTER):
        attacker = client(account)
        for attack in (
            partial(attacker.log_model_artifacts, made.model_id, str(folder)),
            partial(attacker.finalize_logged_model, made.model_id, "FAILED"),
            partial(attacker.delete_logged_model, made.model_id),
        ):
            with pytest.raises((MlflowException, OSError), match=r"READY|may not delete|403"):
                attack()
    kept = Path(mlflow.artifacts.download_artifacts(f"models:/{made.model_id}", tracking_uri=server))
    assert (kept / "MLmodel").read_text() == "flavors: {}"
    place = f"{made.experiment_id}/models/{made.model_id}/artifacts/MLmodel"
    for path in (f"artifacts/{place}", f"artifacts//{place.replace('models', '%6dodels')}", f"mpu/create/{place}"):
        code = send(f"{server}/api/2.0/mlflow-artifacts/{path}", "POST" if "mpu" in path else "PUT", STEPS)
        assert code == 403, path


def test_steps_give_no_rights_away_and_change_no_password(
    client: Callable[[tuple[str, str]], Any], server: str
) -> None:
    experiment = client(STEPS).create_experiment("rights")
    for method, path, body in (
        ("PATCH", "users/update-password", {"username": STEPS[0], "password": "another-password"}),
        ("POST", "users/create", {"username": "intruder", "password": "another-password"}),
        (
            "POST",
            "experiments/permissions/create",
            {"experiment_id": experiment, "username": STEPS[0], "permission": "READ"},
        ),
    ):
        assert send(f"{server}/api/2.0/mlflow/{path}", method, STEPS, body) == 403, path
    assert status(server + EXPERIMENTS, account=STEPS) == 200


def test_no_other_spelling_of_the_account_gets_past_its_limits(server: str) -> None:
    """Flask and FastAPI read the header each in a way of its own; a request that they could read apart goes nowhere."""
    whole = b64encode(":".join(STEPS).encode()).decode()
    place = f"{server}/api/2.0/mlflow/registered-models/create"
    for header in (f"Basic {whole}", f"basic  {whole}", f"Basic\t{whole}", f"Basic {whole}!", f"Basic\xa0{whole}"):
        assert send(place, "POST", None, {"name": "spelt"}, header) in (401, 403), header
    for path in ("registered%2Dmodels/create", "registered%252Dmodels/create", "Registered-Models/create"):
        assert send(f"{server}/api/2.0/mlflow/{path}", "POST", STEPS, {"name": "spelt"}) == 403, path
    assert send(place, "POST", REGISTER, {"name": "spelt"}) == 200


def send(
    url: str, method: str, account: tuple[str, str] | None, body: Mapping[str, Any] | None = None, header: str = ""
) -> int:
    """The HTTP status of a request that would change something."""
    given = header or "Basic " + b64encode(":".join(account or ("", "")).encode()).decode()
    headers = {"Authorization": given, "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_clients_are_told_that_artifacts_go_through_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow offers addresses of S3 to everybody; a client outside the cluster does not get there."""
    from mlflow.server import server_info_api

    offered = {"store_type": "SqlStore", "multipart_uploads_enabled": True, "multipart_downloads_enabled": True}
    monkeypatch.setattr(server_info_api, "build_server_info_payload", lambda: offered)
    keep_transfers_here()
    answer = json.loads(asyncio.run(server_info_api.get_server_info()).body)
    assert answer == {
        "store_type": "SqlStore",
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
    }


def test_a_new_password_in_the_secret_is_the_accounts_after_a_migration(migrated: Pod) -> None:
    def accepted(password: str) -> bool:
        with sqlite3.connect(migrated.database) as connection:
            row = connection.execute("SELECT password_hash FROM users WHERE username = ?", [ADMIN[0]]).fetchone()
        return check_password_hash(row[0], password)

    assert accepted(ADMIN[1])
    assert migrated.run("wait", "--deadline=0")[0] == 0
    migrated.variables["MLFLOW_AUTH_ADMIN_PASSWORD"] = "another-password"
    assert migrated.run("migrate")[0] == 0
    assert migrated.run("wait", "--deadline=0")[0] == 0
    assert accepted("another-password")
    assert not accepted(ADMIN[1])


def test_the_server_is_not_ready_without_its_tables(serving: tuple[Pod, str]) -> None:
    pod, server = serving
    with sqlite3.connect(pod.database) as connection:
        connection.execute("ALTER TABLE alembic_version RENAME TO gone")
    try:
        assert status(f"{server}/health/database", "localhost") == 503
        assert status(f"{server}/health") == 200
    finally:
        with sqlite3.connect(pod.database) as connection:
            connection.execute("ALTER TABLE gone RENAME TO alembic_version")


def test_a_database_that_does_not_answer_is_waited_for_until_the_deadline(pod: Pod) -> None:
    port = free_port()
    pod.variables["MLFLOW_BACKEND_STORE_URI"] = f"postgresql+psycopg2://127.0.0.1:{port}/mlflow"
    code, line = pod.run("migrate", "--deadline=1")
    assert code == 1
    assert line.startswith(f"error: waited 1 s for database 'mlflow' at 127.0.0.1:{port}: ")
    assert "Connection refused" in line


@pytest.mark.parametrize("schema", [RUNS, ACCOUNTS], ids=lambda schema: schema.name)
def test_revisions_are_those_that_alembic_sees(schema: Schema) -> None:
    import mlflow

    folder = Path(mlflow.__file__).parent / schema.scripts
    scripts = ScriptDirectory(str(folder))
    assert [schema.head] == scripts.get_heads()
    assert schema.revisions == {each.revision: each.down_revision for each in scripts.walk_revisions()}


def test_the_server_is_told_what_mlflow_tells_its_workers(pod: Pod) -> None:
    known = {value for name, value in vars(constants).items() if name.endswith("_ENV_VAR")}
    known |= set(vars(environment_variables))
    given = set(server_environment(ServerSettings.of(MlflowServerVariables(pod.variables))))
    assert given <= known
    assert constants.SERVE_ARTIFACTS_ENV_VAR in given


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MLFLOW_BACKEND_STORE_URI", "", "MLFLOW_BACKEND_STORE_URI is not set"),
        ("MLFLOW_AUTH_ADMIN_PASSWORD", "short", "MLFLOW_AUTH_ADMIN_PASSWORD has 5 characters; MLflow wants 12"),
        ("SLUICE_MLFLOW_STEPS_USERNAME", ADMIN[0], "steps need an account of their own"),
        ("SLUICE_MLFLOW_DEFAULT_PERMISSION", "ALL", "'ALL': give NO_PERMISSIONS, READ, USE"),
        ("SLUICE_MLFLOW_WORKERS", "none", "SLUICE_MLFLOW_WORKERS='none': give a whole number"),
    ],
)
def test_a_wrong_variable_is_named(pod: Pod, name: str, value: str, message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        ServerSettings.of(MlflowServerVariables(pod.variables | {name: value}))


@pytest.mark.minio
def test_addresses_are_signed_for_where_steps_reach_the_store(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server itself goes past the gateway of runs' pods, which is for those alone."""
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    for name, value in {**s3.settings(), "MLFLOW_S3_ENDPOINT_URL": s3.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it keeps the keys that it was first used with
    monkeypatch.setattr(S3ArtifactRepository, "_get_s3_client", S3ArtifactRepository._get_s3_client)
    sign_for("http://run-gateway.example.org:9000")
    repository = S3ArtifactRepository(f"s3://{s3.bucket()}/1")
    begun = repository.create_multipart_upload("weights", num_parts=2)
    assert [part.url.startswith("http://run-gateway.example.org:9000/") for part in begun.credentials] == [True, True]
    repository.abort_multipart_upload("weights", begun.upload_id)
    assert repository._get_s3_client().meta.endpoint_url == s3.endpoint
