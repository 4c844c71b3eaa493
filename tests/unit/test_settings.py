"""Every environment variable of docs/settings.md: documented, read late, and refused in one line where it is wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from sluice.artifacts import run_results
from sluice.cluster import check, setup, store_accounts
from sluice.cluster.access import Target
from sluice.cluster.connection import connected
from sluice.cluster.site_rules import SiteRules
from sluice.cluster.spec import compile_for_cluster
from sluice.core.authorities import tls_context
from sluice.core.bounds import EVERY
from sluice.core.environment import changed_variables
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError, TrackingFault
from sluice.core.settings import settings
from sluice.core.variable_groups.cluster import ClusterVariables
from sluice.core.variable_groups.mlflow_server import MlflowServerVariables
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.mlflow_server.server_settings import ServerSettings
from sluice.mlflow_server.serving import serve, write_configuration
from sluice.predictions.masking import given_salt
from sluice.registry.mlflow_access import mlflow_module, tracking_faults
from sluice.registry.tracking import tracked_run
from sluice.run_gateway.gateway_settings import GatewaySettings
from sluice.running.catalog import find_pipeline
from sluice.running.local_run import run_pipeline
from sluice.sources.databases import locate
from sluice.steps.step import step
from sluice.storage.locations import default_store
from sluice.storage.s3_retries import retries, tries
from sluice.storage.stores import open_store

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\b(?:SLUICE|MLFLOW|AWS|AZURE|GCE|GOOGLE)_[A-Z0-9_]*[A-Z0-9]\b")
DOCUMENTED = set(VARIABLE.findall((ROOT / "docs" / "settings.md").read_text()))
IMPORT_ALL = """
import pkgutil, importlib, sluice
names = [module.name for module in pkgutil.walk_packages(sluice.__path__, "sluice.")]
assert {"sluice.components.train.run", "sluice.pipelines.supervised"} <= set(names)
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
"""
SERVER = {
    "MLFLOW_BACKEND_STORE_URI": "sqlite:////tmp/none.db",
    "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow",
    "MLFLOW_AUTH_ADMIN_USERNAME": "root",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "administrator1",
    "SLUICE_MLFLOW_STEPS_USERNAME": "steps",
    "SLUICE_MLFLOW_STEPS_PASSWORD": "steps-password",
    "SLUICE_MLFLOW_REGISTER_USERNAME": "register",
    "SLUICE_MLFLOW_REGISTER_PASSWORD": "register-password",
    "SLUICE_MLFLOW_SERVING_USERNAME": "serving",
    "SLUICE_MLFLOW_SERVING_PASSWORD": "serving-password",
}
SWITCHES = (
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION",
    "MLFLOW_UV_AUTO_DETECT",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD",
)
ROLE = {"AWS_ROLE_ARN": "role", "AWS_WEB_IDENTITY_TOKEN_FILE": __file__}
S3 = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}


def _store() -> None:
    default_store().put_bytes("a", b"")


def _bucket() -> None:
    open_store("s3://bucket").exists("a")


def _bucket_by(**given: str) -> Callable[[], None]:
    """Opens S3 without keys, and with these variables beside the one that is looked at."""

    def opened() -> None:
        nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
        with changed_variables(nobody | {name: value for name, value in given.items() if name not in os.environ}):
            open_store("s3://bucket")

    return opened


def _google() -> None:
    open_store("gs://bucket")


def _azure() -> None:
    with changed_variables({"AZURE_STORAGE_ACCOUNT_NAME": os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "account")}):
        open_store("az://container")


def _azure_application() -> None:
    with changed_variables({"AZURE_CLIENT_SECRET": os.environ.get("AZURE_CLIENT_SECRET", "secret")}):
        _azure()


def _track() -> None:
    with tracked_run("a"):
        pass


def _source() -> None:
    locate(Path("/nowhere"), "${SLUICE_SOURCE_NAME}")


def _connect() -> None:
    with connected(Target()):
        pass


def _compile() -> None:
    compile_for_cluster(find_pipeline("supervised"), None)


def _compile_check() -> None:
    from sluice.core.step_images import step_images

    compile_for_cluster(find_pipeline("supervised"), step_images(settings().images))


def _join() -> None:
    from sluice.modeling.distributed.groups import joined

    with joined():
        pass


def _job() -> None:
    from sluice.modeling.distributed.job_settings import job_from_json

    job_from_json(os.environ["SLUICE_TRAINING_JOB"])


def _results() -> None:
    run_results.publish_results(open_store("/dev/null/none"), Path("a"), Path("b"))


def _server() -> None:
    ServerSettings.of(MlflowServerVariables({name: os.environ[name] for name in os.environ if name in DOCUMENTED}))


def _serve() -> None:
    serve(ServerSettings.of(MlflowServerVariables(SERVER)))


def _folder() -> None:
    write_configuration(ServerSettings.of(MlflowServerVariables(os.environ)))


def _accounts() -> None:
    names = (store_accounts.ACCOUNTS, store_accounts.POLICIES)
    with changed_variables({name: os.environ.get(name, str(ROOT)) for name in names}):
        store_accounts.make(1)


def _gateway() -> None:
    given = {"BUCKETS": "a b c", "NAMESPACE": "sluice", "SOCKET": "/run/x"}
    names = {f"SLUICE_GATEWAY_{name}": value for name, value in given.items()}
    with changed_variables({name: os.environ.get(name, value) for name, value in names.items()}):
        GatewaySettings.of(settings().gateway)


def _site_rules() -> None:
    SiteRules.of(ClusterVariables(os.environ))


def _versioned() -> None:
    with changed_variables({store_accounts.VERSIONED: os.environ.get(store_accounts.VERSIONED, "sluice")}):
        store_accounts.versioned()


# What reads a variable, and values that it must refuse.
READERS: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "SLUICE_HOME": (_store, ("/dev/null", "/dev/null/home")),
    "SLUICE_STORE": (_store, ("ftp://host/a", "s3://", "s3://a", "/dev/null/store")),
    "SLUICE_STORE_TRIES": (_bucket, ("many", "0", "-1", "1.5", "1e3", "101", "٣", "9" * 5000, " 4")),
    **{
        bound.variable: (partial(bound.check, 1, "a", "b"), ("many", "0", "-1", "1.5", "1e3", "inf"))
        for bound in EVERY
        if bound.variable
    },
    "SLUICE_CA_FILE": (tls_context, ("/dev/null", "/nowhere/at/all", "-----BEGIN CERTIFICATE-----")),
    "SLUICE_ENGINE_MEMORY": (duckdb_engine, ("much", "0", "12", "five GB", "MB")),
    "SLUICE_LOG_SALT": (given_salt, ("short", "fifteen letters")),
    "SLUICE_SOURCE_NAME": (_source, ("word", "sqlite:///a.db", "postgresql://a:b@c@d/e", "postgresql://h:port/x")),
    "SLUICE_KFP": (
        _connect,
        ("nonsense", "ftp://host", "http://", "http://[::1", "http://host:99999", "http://a b", "http://u:p@x@h"),
    ),
    "SLUICE_STEP_RESOURCES": (_site_rules, ("{", "[]", '{"train": {"memory": "4GB"}}', '{"train": {"memoy": "4Gi"}}')),
    "SLUICE_MAX_RESOURCES": (_site_rules, ("{", "1", '{"ram": "4Gi"}', '{"cpu": "many"}')),
    "SLUICE_PROJECT_CODE": (_site_rules, ("no", "False", "0")),
    "SLUICE_GATEWAY_PROJECT_CODE": (_gateway, ("no", "False", "0")),
    "SLUICE_TABULAR_IMAGE": (_compile, ("with blanks:1", "UPPER:1", "a//b:1", "a:", ":1", "a@sha256:12")),
    "SLUICE_TORCH_IMAGE": (_compile, ("sluice/Torch:1",)),
    "SLUICE_IMAGES": (_compile_check, ("registry/with blank", "/", "a/UPPER")),
    "SLUICE_IMAGE_TAG": (_compile_check, ("two words", "a:b", ".dot", "x" * 129)),
    "AWS_ENDPOINT_URL_S3": (_bucket, ("host:9000", "ftp://host", "http://", "http://host/path", "http://host:99999")),
    "AWS_ENDPOINT_URL": (
        _bucket,
        ("host", "http://[::1", "http://user:word@host", "http://user:80#word@host", "user:word@host"),
    ),
    "AWS_ACCESS_KEY_ID": (_bucket, ("", "key\n", " key", "ключ", "a\x01b")),
    "AWS_SECRET_ACCESS_KEY": (_bucket, ("", "secret\n", "ü")),
    "AWS_SESSION_TOKEN": (_bucket, ("token\n", "a\nb", "€")),
    "AWS_REGION": (_bucket, ("eu\n", "two words", "ü")),
    "AWS_DEFAULT_REGION": (_bucket, ("eu\n", "ü")),
    "AWS_ROLE_ARN": (_bucket_by(AWS_WEB_IDENTITY_TOKEN_FILE=__file__), ("", "role\n", "ü")),
    "AWS_WEB_IDENTITY_TOKEN_FILE": (_bucket_by(AWS_ROLE_ARN="role"), ("", "/nowhere/at/all")),
    "AWS_ROLE_SESSION_NAME": (_bucket_by(**ROLE), ("a\n", "ü")),
    "AWS_ENDPOINT_URL_STS": (_bucket_by(**ROLE), ("host", "http://host", "https://", "https://u:p@x@h")),
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": (
        _bucket_by(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=__file__),
        ("agent", "ftp://host", "http://"),
    ),
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": (
        _bucket_by(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9"),
        ("", "/nowhere/at/all"),
    ),
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": (_bucket_by(), ("/a\n", "/ü")),
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": (_bucket_by(AWS_EC2_METADATA_DISABLED="false"), ("host", "http://")),
    "GOOGLE_APPLICATION_CREDENTIALS": (_google, ("/dev/null", "/nowhere/at/all", __file__)),
    "GOOGLE_BASE_URL": (_google, ("host", "ftp://host", "http://", "http://u:p@x@h")),
    "AZURE_STORAGE_ACCOUNT_NAME": (_azure, ("", "ab", "Upper", "a-b")),
    "AZURE_STORAGE_ENDPOINT": (_azure, ("host", "ftp://host", "http://")),
    "AZURE_STORAGE_ACCOUNT_KEY": (_azure, ("key\n", "ü")),
    "AZURE_STORAGE_SAS_TOKEN": (_azure, ("token\n", "ü")),
    "AZURE_FEDERATED_TOKEN_FILE": (_azure, ("/nowhere/at/all",)),
    "AZURE_CLIENT_ID": (_azure, ("client\n", "ü")),
    "AZURE_TENANT_ID": (_azure_application, ("",)),
    "AZURE_CLIENT_SECRET": (_azure, ("secret",)),
    "AZURE_IDENTITY_ENDPOINT": (_azure, ("host", "http://")),
    "MLFLOW_TRACKING_URI": (
        _track,
        (
            "nonsense",
            "ftp://x",
            "http://",
            "http://[::1",
            "http://h:99999",
            "./mlruns",
            "http://u:p@x@h",
            "mssql://h/x",
            "postgresql+nodriver://h/x",
        ),
    ),
    "MLFLOW_EXPERIMENT_ID": (_track, ("first", "-1", "1.0", "99")),
    "MLFLOW_EXPERIMENT_NAME": (_track, ("n" * 501,)),
    "MLFLOW_RUN_ID": (_track, ("abc",)),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": (mlflow_module, ("x", "-1", "11", "1.5")),
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": (mlflow_module, ("x", "-1", "121", "0.5")),
    "MLFLOW_HTTP_REQUEST_TIMEOUT": (mlflow_module, ("x", "0", "-1", "20s")),
    "SLUICE_RUN": (_results, ("../other", "a//b", "a/../../b")),
    "SLUICE_TRAINING_JOB": (_job, ("", "{", "[]", "{}", "1")),
    "SLUICE_DEVICE": (_join, ("gpu", "CPU", "mps")),
    "SLUICE_SETUP_BUCKETS": (setup.run, ("Bad_Bucket",)),
    "SLUICE_SETUP_SECONDS": (setup.run, ("soon", "0", "-1", "nan", "inf", "5m")),
    "SLUICE_CHECK_SECONDS": (check.run, ("soon", "0", "-1", "nan", "inf", "5m")),
    "MLFLOW_BACKEND_STORE_URI": (_server, ("", "mlflow.db", "://x")),
    "SLUICE_MLFLOW_AUTH_STORE_URI": (_server, ("accounts", "http//x")),
    "MLFLOW_ARTIFACTS_DESTINATION": (_server, ("",)),
    "MLFLOW_AUTH_ADMIN_USERNAME": (_server, ("", "steps")),
    "MLFLOW_AUTH_ADMIN_PASSWORD": (_server, ("", "short")),
    "SLUICE_MLFLOW_STEPS_USERNAME": (_server, ("root",)),
    "SLUICE_MLFLOW_STEPS_PASSWORD": (_server, ("", "short")),
    "SLUICE_MLFLOW_REGISTER_USERNAME": (_server, ("root", "steps")),
    "SLUICE_MLFLOW_REGISTER_PASSWORD": (_server, ("", "short")),
    "SLUICE_MLFLOW_SERVING_USERNAME": (_server, ("root", "steps")),
    "SLUICE_MLFLOW_SERVING_PASSWORD": (_server, ("", "short")),
    "SLUICE_STORE_ACCOUNTS": (_accounts, ("",)),
    "SLUICE_STORE_POLICIES": (_accounts, ("", "/nowhere/at/all")),
    "SLUICE_STORE_VERSIONED": (_versioned, ("Bad_Bucket", "x")),
    "SLUICE_STORE_PASSING": (_versioned, ("../x", "/x")),
    "SLUICE_MLFLOW_DEFAULT_PERMISSION": (_server, ("read", "ALL")),
    "SLUICE_MLFLOW_PORT": (_server, ("http", "0", "-1", "65536")),
    "SLUICE_MLFLOW_WORKERS": (_server, ("few", "0", "1000")),
    "SLUICE_MLFLOW_DIRECT_TRANSFERS": (_server, ("yes", "True", "1")),
    "SLUICE_MLFLOW_CERTIFICATE": (_server, ("/nowhere/at/all",)),
    "SLUICE_MLFLOW_CERTIFICATE_KEY": (_server, ("/nowhere/at/all",)),
    "SLUICE_MLFLOW_FOLDER": (_folder, ("/dev/null", "/dev/null/none", "/nowhere/at/all")),
    "SLUICE_MLFLOW_TRANSFERS_URL": (_server, ("run-gateway", "s3://x", "http://a@b@c")),
    "SLUICE_GATEWAY_BUCKETS": (_gateway, ("", "one two", "a b c d")),
    "SLUICE_GATEWAY_NAMESPACE": (_gateway, ("", "a b")),
    "SLUICE_GATEWAY_SOCKET": (_gateway, ("", "a b")),
    "SLUICE_GATEWAY_PLATFORM": (_gateway, ("a", "a b c")),
    "SLUICE_GATEWAY_SCRATCH": (_gateway, ("../x/", "/x/", "own")),
    "MLFLOW_FLASK_SERVER_SECRET_KEY": (_serve, ("",)),
} | dict.fromkeys(SWITCHES, (mlflow_module, ("maybe", "yes", "2")))
# Any text will do: it is recorded or sent as it stands; or Sluice sets it over whatever was there.
FREE = {
    "AWS_EC2_METADATA_DISABLED",  # but `true`, as Amazon's own clients read it
    "GCE_METADATA_HOST",  # obstore reads it
    "AZURE_AUTHORITY_HOST",  # read with a token of a service account: see test_store_identities.py
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "SLUICE_CA_CONFIGMAP",
    "SLUICE_PIPELINE",
    "SLUICE_COMMIT",
    "SLUICE_CHANGES",
    "SLUICE_ENVIRONMENT",
    "SLUICE_IMAGE",
    "SLUICE_RUN_NAME",
    "SLUICE_MLFLOW_RUN",
    "SLUICE_LIFELINE",
    "SLUICE_MONITOR_WEBHOOK",  # checked when an alarm is sent, and never shown
    "SLUICE_SCRATCH_STORE",
    "MLFLOW_REGISTRY_URI",
    "SLUICE_TERMINATION_LOG",  # a place that cannot be written to hides no error: see below
    "SLUICE_SETUP_RUNTIMES",
    "SLUICE_RUNS_NAMESPACE",
    "SLUICE_STORE_ENDPOINT",  # not of the environment: of the ConfigMap sluice-steps
    "SLUICE_MLFLOW_ENDPOINT",
    "SLUICE_FAILPOINT",  # a test says it, and see test_operator_reconciling.py
    "MLFLOW_AUTH_CONFIG_PATH",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    "MLFLOW_ENABLE_AI_GATEWAY",
    "MLFLOW_S3_ENDPOINT_URL",  # as the next, MLflow's own
    "MLFLOW_SERVER_ALLOWED_HOSTS",
    "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
    "AWS_CA_BUNDLE",  # as the next, boto3's own
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_STS_REGIONAL_ENDPOINTS",
}


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting but what S3, MLflow's server and the home take."""
    for name in set(os.environ) & DOCUMENTED:
        monkeypatch.delenv(name)
    for name, value in (S3 | SERVER | {"SLUICE_HOME": str(tmp_path), "SLUICE_STORE_TRIES": "1"}).items():
        monkeypatch.setenv(name, value)


def test_the_table_of_settings_is_complete() -> None:
    code = {
        name
        for folder in ("components", "pipelines", "platform/sluice")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "ci_templates.py"  # which names variables of other CIs
        for name in VARIABLE.findall(path.read_text())
    }
    assert code == DOCUMENTED


def test_of_each_setting_it_is_known_what_it_refuses() -> None:
    assert not READERS.keys() & FREE
    assert READERS.keys() | FREE == DOCUMENTED


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("name", "value"), [(name, value) for name in READERS for value in READERS[name][1]])
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput) as refused:
        READERS[name][0]()
    said = str(refused.value)
    assert name in said
    assert len(said) < 500 + len(value)
    if value and name.endswith(("KEY", "PASSWORD", "TOKEN")):
        assert value not in said


@pytest.mark.usefixtures("bare")
def test_settings_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_STORE_TRIES", "3")
    assert (tries(), retries().total) == (3, 2)
    monkeypatch.setenv("SLUICE_STORE_TRIES", "7")
    assert (tries(), retries().total) == (7, 6)
    monkeypatch.setenv("SLUICE_STORE_TRIES", "")
    assert tries() == 4
    monkeypatch.setenv("SLUICE_TABULAR_IMAGE", "registry.example:5000/of/ours@sha256:" + "0" * 64)
    spec = compile_for_cluster(find_pipeline("supervised"), None)
    images = {e["container"]["image"] for e in spec.pipeline["deploymentSpec"]["executors"].values()}
    assert os.environ["SLUICE_TABULAR_IMAGE"] in images


@pytest.mark.usefixtures("bare")
def test_nothing_is_read_while_modules_are_imported(tmp_path: Path) -> None:
    wrong = dict.fromkeys(DOCUMENTED, "\x01 wrong \n")
    command = [sys.executable, "-c", IMPORT_ALL]
    done = subprocess.run(command, env=os.environ | wrong, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.usefixtures("bare")
def test_the_command_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "contract.yaml").touch()
    environment = os.environ | {"SLUICE_STORE": "s3://bucket", "SLUICE_STORE_TRIES": "many"}
    command = [sys.executable, "-m", "sluice", "lake", str(tmp_path), "lakes/x"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: SLUICE_STORE: SLUICE_STORE_TRIES='many': give a whole number from 1 to 100, or unset it"
    ]


@pytest.mark.usefixtures("bare")
def test_a_termination_log_that_cannot_be_written_hides_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_TERMINATION_LOG", "/dev/null/none")
    with pytest.raises(SystemExit) as ended, step("sample"):
        raise BadInput("row 3 is wrong")
    assert ended.value.code == 2
    first, second = capsys.readouterr().out.splitlines()
    assert first == "[sluice] error: row 3 is wrong"
    assert "SLUICE_TERMINATION_LOG='/dev/null/none' cannot be written" in second


def test_an_engine_without_memory_is_a_fault_of_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_ENGINE_MEMORY", "1KB")
    with pytest.raises(SystemExit) as ended, step("sample"):
        duckdb_engine().raw_sql("SELECT count(*) FROM range(1000)").fetchall()
    assert ended.value.code == EnvironmentFault.exit_code
    assert "DuckDB is out of memory; raise SLUICE_ENGINE_MEMORY" in capsys.readouterr().out


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, address.format("secret-word"))
        for name in ("MLFLOW_TRACKING_URI", "SLUICE_KFP", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "SLUICE_STORE")
        for address in (
            "ftp://user:{}@host",
            "http://user:{}@x@[::1",
            "user:{}@host:1",
            "http://user:80#{}@h",
            "x://{}@h",
        )
        if name != "SLUICE_STORE" or "://" in address  # else it is a folder
    ],
)
def test_the_messages_show_no_password(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SluiceError) as refused:
        READERS[name][0]()
    assert "secret-word" not in str(refused.value)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_ENGINE_MEMORY", "lots"),
        ("TMPDIR", "/dev/null"),
        ("TMPDIR", "/nowhere/at/all"),
        ("MLFLOW_TRACKING_URI", "nonsense"),
        ("MLFLOW_TRACKING_URI", "mssql+pyodbc://h/x"),
        ("MLFLOW_EXPERIMENT_ID", "first"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon"),
    ],
)
def test_a_wrong_setting_is_told_before_any_work(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=name):
        run_pipeline(find_pipeline("supervised"), {}, Console())
    with pytest.raises(SystemExit) as ended, step("ingest"):
        pytest.fail("the step began")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"[sluice] error: {name}=") or name in line
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("bare")
def test_only_a_variable_that_is_set_is_to_be_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> str:
        with pytest.raises(TrackingFault) as failed, tracking_faults():
            raise OSError("the disk is gone")
        return str(failed.value)

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "unset" not in fail()
    assert str(tmp_path) in fail()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret-word@127.0.0.1:9")
    assert fail().endswith("check that it runs, or unset MLFLOW_TRACKING_URI")
    assert "secret-word" not in fail()


@pytest.mark.usefixtures("bare")
def test_a_login_in_mlflow_s_address_moves_to_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret%2Fword@127.0.0.1:9")
    for name in ("USERNAME", "PASSWORD"):  # which Sluice sets, and which must be gone after the test
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    assert mlflow_module().get_tracking_uri() == "http://127.0.0.1:9"
    assert os.environ["MLFLOW_TRACKING_USERNAME"] == "user"
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "secret/word"
