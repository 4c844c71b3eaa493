"""What runs in MLflow's pods, as real processes on SQLite: migrate, wait, serve."""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from mlflow import environment_variables
from mlflow.server import constants
from werkzeug.security import check_password_hash

from components.common.errors import BadInput
from sluice.mlflow_server.app import keep_transfers_here
from sluice.mlflow_server.schemas import ACCOUNTS, RUNS, Schema
from sluice.mlflow_server.serving import server_environment
from sluice.mlflow_server.settings import Settings
from tests.conftest import free_port

START_SECONDS = 90.0
ADMIN, STEPS = ("root-user", "administrator1"), ("pipelines", "steps-password")
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
        process.communicate(timeout=120)
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
    pod.variables["SLUICE_MLFLOW_PORT"] = str(free_port())
    address = f"http://127.0.0.1:{pod.variables['SLUICE_MLFLOW_PORT']}"
    process = pod.start("serve")
    try:
        deadline = time.monotonic() + START_SECONDS
        while status(f"{address}/health/database", "localhost") != 200:
            log = (pod.folder / "stderr").read_text()
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)
        yield pod, address
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def server(serving: tuple[Pod, str]) -> str:
    return serving[1]


def status(url: str, host: str = "", account: tuple[str, str] | None = None) -> int:
    """The HTTP status of a GET; 0 where nothing answers."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    if account:
        request.add_header("Authorization", "Basic " + b64encode(":".join(account).encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
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


def test_steps_log_into_what_the_administrator_made(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    def client(account: tuple[str, str]) -> MlflowClient:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", account[1])
        return MlflowClient(server)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    experiment = client(ADMIN).create_experiment("flights")
    client(ADMIN).create_registered_model("delays")
    steps = client(STEPS)
    run = steps.create_run(experiment)
    steps.log_metric(run.info.run_id, "rmse", 1.5)
    (tmp_path / "note.txt").write_text("kept")
    steps.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
    version = steps.create_model_version("delays", run.info.artifact_uri, run.info.run_id).version
    steps.set_registered_model_alias("delays", "champion", version)
    assert Path(steps.download_artifacts(run.info.run_id, "note.txt")).read_text() == "kept"
    assert client(ADMIN).get_model_version_by_alias("delays", "champion").run_id == run.info.run_id


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
    given = set(server_environment(Settings.from_environment(pod.variables)))
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
        Settings.from_environment(pod.variables | {name: value})
