"""Who asks a store: keys, a role of a service account, a pod's or a machine's credentials, of each cloud.

Each identity is given out by a server that speaks the documented protocol: MinIO itself for a web identity of AWS,
small ones for the rest. What they give out opens a real MinIO, or the small servers of `fake_clouds`. No request leaves
this machine.
"""

import base64
import http.server
import ipaddress
import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from minio.credentials.providers import AssumeRoleProvider, StaticProvider
from minio.minioadmin import MinioAdmin

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.variable_groups.stores import S3Variables
from sluice.storage.failures import Failure
from sluice.storage.s3 import identity as s3_identity
from sluice.storage.stores import Store, open_store
from tests.certificates import self_signed
from tests.conftest import START_SECONDS, MinioServer, NewMinio
from tests.login_provider import Provider
from tests.unit.fake_clouds import METADATA, AzureHandler, GoogleHandler, Objects, cloud_settings, serving

Answers = Callable[["Asked"], tuple[int, Any]]


class Asked:
    """A request to a server that gives out credentials."""

    def __init__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        url = urllib.parse.urlsplit(handler.path)
        self.method, self.path = handler.command, url.path
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
        self.given = dict(urllib.parse.parse_qsl(url.query) + urllib.parse.parse_qsl(body))


class Giver:
    """A server that gives out credentials; a function answers, and what was asked is kept."""

    def __init__(self, answers: Answers, certificates: Path | None = None) -> None:
        self.asked: list[Asked] = []
        giver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def answer(self) -> None:
                giver.asked.append(Asked(self))
                status, told = answers(giver.asked[-1])
                body = (told if isinstance(told, str) else json.dumps(told)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - as http.server calls them

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificates:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "public.crt", certificates / "private.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"{scheme}://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def giver() -> Iterator[Callable[..., Giver]]:
    made: list[Giver] = []

    def make(answers: Answers, certificates: Path | None = None) -> Giver:
        made.append(Giver(answers, certificates))
        return made[-1]

    yield make
    for each in made:
        each.server.shutdown()
        each.server.server_close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    key, certificate = self_signed(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    (folder / "private.key").write_bytes(key)
    (folder / "public.crt").write_bytes(certificate)
    return folder


class Federated(NamedTuple):
    """A MinIO over TLS that takes tokens of an OpenID Connect provider for a role, as Amazon's STS does."""

    server: MinioServer
    provider: Provider
    role: str


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with closing(Provider()) as made:
        yield made


@pytest.fixture(scope="module")
def federated(new_minio: NewMinio, certificates: Path, provider: Provider) -> Iterator[Federated]:
    server = new_minio(certificates)
    server._command.remove("--quiet")  # what the role is called stands in its log alone
    with pytest.MonkeyPatch.context() as patch:
        prefix = "MINIO_IDENTITY_OPENID"
        patch.setenv(f"{prefix}_CONFIG_URL", f"{provider.url}/.well-known/openid-configuration")
        patch.setenv(f"{prefix}_CLIENT_ID", "sluice")
        patch.setenv(f"{prefix}_ROLE_POLICY", "readwrite")
        server.start()
    deadline = time.monotonic() + START_SECONDS
    while not (role := re.search(r"arn:minio:iam:\S+", (server.folder / "log").read_text())):
        assert time.monotonic() < deadline, (server.folder / "log").read_text()
        time.sleep(0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificates / "public.crt"))
        yield Federated(server, provider, role[0])
    server.stop()


@pytest.fixture
def role(
    federated: Federated, certificates: Path, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The variables that EKS gives to a pod whose service account has a role; its token's file."""
    token = tmp_path / "token"
    token.write_text(federated.provider.token())
    monkeypatch.setenv("AWS_ENDPOINT_URL", federated.server.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", federated.server.endpoint)
    monkeypatch.setenv("AWS_ROLE_ARN", federated.role)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("SLUICE_CA_FILE", str(certificates / "public.crt"))
    return token


def works(store: Store) -> None:
    """Each kind of request passes."""
    store.put_bytes("a/k", b"x")
    assert store.get_bytes("a/k") == b"x"
    assert store.put_if_absent("a/other", b"y")
    assert not store.put_if_absent("a/other", b"z")
    assert list(store.keys("a/")) == ["a/k", "a/other"]
    store.delete("a/k")
    assert not store.exists("a/k")


@pytest.mark.minio
class TestRoleOfAServiceAccount:
    def test_its_token_opens_the_store(self, federated: Federated, role: Path) -> None:
        bucket = federated.server.bucket()
        works(open_store(f"s3://{bucket}"))

    def test_a_token_that_is_refused_is_told_and_never_shown(self, role: Path) -> None:
        token = role.read_text()
        role.write_text(token[:-8] + "forged00")
        with pytest.raises(EnvironmentFault) as caught:
            open_store("s3://lake").get_bytes("k")
        said = str(caught.value)
        assert "no credentials (InvalidParameterValue: crypto/rsa: verification error); check the role in" in said
        assert said.endswith("AWS_ROLE_ARN, and that it trusts the service account")
        assert token[:30] not in said

    def test_the_token_goes_over_tls_alone(self, role: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
        with pytest.raises(BadInput, match=r"AWS_ENDPOINT_URL_STS='http://127\.0\.0\.1:1': .* must be https"):
            open_store("s3://lake")

    def test_keys_come_first(self, role: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "known")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
        assert set(s3_identity(S3Variables.now()).options) == {"access_key_id", "secret_access_key"}

    def test_empty_keys_count_as_none(self, federated: Federated, role: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret must have every key that a pipeline names; of a role it has none to give."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
        works(open_store(f"s3://{federated.server.bucket()}"))

    @pytest.mark.parametrize("lacking", ["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"])
    def test_half_of_it_is_refused(self, role: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
        monkeypatch.delenv(lacking)
        with pytest.raises(BadInput, match=f"set {lacking} too"):
            open_store("s3://lake")

    def test_a_token_that_is_not_there_is_refused(self, role: Path) -> None:
        role.unlink()
        with pytest.raises(BadInput, match=r"AWS_WEB_IDENTITY_TOKEN_FILE='.*' is no file"):
            open_store("s3://lake")


@pytest.fixture
def passing(s3: MinioServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Credentials of MinIO that pass, as Amazon's servers write them; the environment has none."""
    keys = StaticProvider(s3.access_key, s3.secret_key)
    admin = MinioAdmin(endpoint=f"127.0.0.1:{s3.port}", credentials=keys, secure=False)
    admin.user_add("of-a-role", "secret-of-a-role")
    admin.policy_set("readwrite", user="of-a-role")
    mine = {"access_key": "of-a-role", "secret_key": "secret-of-a-role"}
    found = AssumeRoleProvider(sts_endpoint=s3.endpoint, region="us-east-1", **mine).retrieve()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    given = {"AccessKeyId": found.access_key, "SecretAccessKey": found.secret_key, "Token": str(found.session_token)}
    return given | {"Expiration": later(3600), "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": later(0)}


def decoded(text: str) -> bytes:
    """Base64 as tokens have it, without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def later(seconds: int) -> str:
    """So many seconds from now, as Amazon's servers write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.mark.minio
class TestCredentialsOfAPod:
    @pytest.fixture
    def agent(
        self,
        passing: dict[str, str],
        giver: Callable[..., Giver],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Giver:
        """The agent of EKS on the node, and the variables that it has pods be given."""
        token = tmp_path / "token"
        token.write_text("token-of-the-pod")

        def answers(asked: Asked) -> tuple[int, Any]:
            return (
                (200, passing) if asked.headers.get("authorization") == token.read_text() else (403, {"message": "no"})
            )

        agent = giver(answers)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{agent.address}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
        return agent

    def test_they_open_the_store_and_are_asked_for_once(self, s3: MinioServer, agent: Giver) -> None:
        works(open_store(f"s3://{s3.bucket()}"))
        assert [(asked.method, asked.path) for asked in agent.asked] == [("GET", "/v1/credentials")]

    def test_they_are_fetched_anew_before_they_expire(
        self, s3: MinioServer, agent: Giver, passing: dict[str, str], tmp_path: Path
    ) -> None:
        passing["Expiration"] = later(60)
        store = open_store(f"s3://{s3.bucket()}")
        store.put_bytes("k", b"x")
        (tmp_path / "token").write_text("token-after-its-renewal")
        deadline = time.monotonic() + 20
        while agent.asked[-1].headers["authorization"] != "token-after-its-renewal":
            assert time.monotonic() < deadline
            store.put_bytes("k", b"y")

    def test_a_refusal_is_told(self, agent: Giver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "other").write_text("token-of-another-pod")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "other"))
        with pytest.raises(EnvironmentFault, match=r"no credentials from 127.0.0.1:.*check the association of the ser"):
            open_store("s3://lake").get_bytes("k")

    def test_a_token_that_no_request_can_carry_is_told(self, agent: Giver, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("two\nlines")
        with pytest.raises(EnvironmentFault, match=r"obstore cannot make the request \(.*InvalidHeaderValue"):
            open_store("s3://lake").get_bytes("k")

    def test_without_its_token_it_is_refused(self, agent: Giver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        with pytest.raises(BadInput, match=r"FULL_URI is set without AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            open_store("s3://lake")


@pytest.mark.minio
class TestInstanceProfile:
    @pytest.fixture
    def metadata(self, passing: dict[str, str], giver: Callable[..., Giver], monkeypatch: pytest.MonkeyPatch) -> Giver:
        """The metadata service of a virtual machine, version 2: credentials for a session's token alone."""

        def answers(asked: Asked) -> tuple[int, Any]:
            if (asked.method, asked.path) == ("PUT", "/latest/api/token"):
                return 200, "token-of-a-session"
            if asked.headers.get("x-aws-ec2-metadata-token") != "token-of-a-session":
                return 401, "no token"
            roles = "/latest/meta-data/iam/security-credentials/"
            return {roles: (200, "role-of-tests"), f"{roles}role-of-tests": (200, passing)}.get(asked.path, (404, ""))

        service = giver(answers)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.address)
        return service

    def test_it_opens_the_store(self, s3: MinioServer, metadata: Giver) -> None:
        works(open_store(f"s3://{s3.bucket()}"))

    def test_a_machine_without_a_role_is_told_the_ways_out(self, metadata: Giver, giver: Callable[..., Giver]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", giver(lambda _: (404, "")).address)
            with pytest.raises(
                EnvironmentFault, match=r"no credentials from .* instance profile, or set AWS_ACCESS_KEY"
            ):
                open_store("s3://lake").get_bytes("k")

    @pytest.mark.parametrize("off", [True, False])
    def test_without_the_service_keys_are_wanted_at_once(
        self, metadata: Giver, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int], off: bool
    ) -> None:
        if off:
            monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        else:
            monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
        began = time.monotonic()
        with pytest.raises(BadInput, match=r"S3 wants credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY$"):
            open_store("s3://lake")
        assert time.monotonic() - began < 5


@pytest.fixture
def objects() -> Objects:
    kept = Objects()
    kept.tokens = {"token-of-tests"}
    return kept


@pytest.fixture
def google(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Cloud Storage; nothing else of Google's answers."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for address in serving(GoogleHandler, objects):
        for name, value in cloud_settings("gs", address).items():
            monkeypatch.setenv(name, value)
        yield address


class TestGoogle:
    def test_the_service_account_of_the_workload(self, google: str, objects: Objects) -> None:
        works(open_store("gs://lake/p"))
        assert sorted(objects.kept) == ["p/a/other"]
        assert objects.seen[0][1].startswith(METADATA[0]), "the pod's metadata server"

    def test_without_the_service_it_is_told(self, google: str, objects: Objects) -> None:
        objects.tokens.clear()
        with pytest.raises(
            EnvironmentFault, match="set GOOGLE_APPLICATION_CREDENTIALS, or give the workload a service"
        ):
            open_store("gs://lake/p").get_bytes("k")

    def test_a_key_of_a_service_account(
        self, google: str, objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It signs its own token for Cloud Storage; nobody else is asked."""
        key = rsa.generate_private_key(65537, 2048)
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        body = {"type": "service_account", "client_email": "a@b.example", "private_key_id": "1", "project_id": "p"}
        body |= {"private_key": key.private_bytes(*pem).decode(), "client_id": "1"}
        (tmp_path / "key.json").write_text(json.dumps(body))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

        class Signed(set[str]):
            def __contains__(self, token: object) -> bool:
                signed, _, signature = str(token).rpartition(".")
                key.public_key().verify(decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
                return json.loads(decoded(signed.partition(".")[2]))["iss"] == "a@b.example"

        objects.tokens = Signed()
        works(open_store("gs://lake/p"))
        assert not [path for _, path, _ in objects.seen if path.startswith(METADATA[0])]

    def test_an_identity_of_another_cluster(
        self, google: str, giver: Callable[..., Giver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Workload identity federation: a token of a service account of any Kubernetes for one of Google's."""
        told = {"access_token": "token-of-tests", "expires_in": 3600, "token_type": "Bearer"}
        told["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        exchange = giver(lambda asked: (200, told) if asked.given["subject_token"] == "of-the-pod" else (400, {}))
        (tmp_path / "token").write_text("of-the-pod")
        body = {"type": "external_account", "audience": "//iam.googleapis.com/projects/1/x"}
        body |= {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": f"{exchange.address}/token"}
        (tmp_path / "adc.json").write_text(json.dumps(body | {"credential_source": {"file": str(tmp_path / "token")}}))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
        works(open_store("gs://lake/p"))
        assert exchange.asked

    @pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
    def test_a_file_without_credentials_is_refused(
        self, google: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        if content is not None:
            (tmp_path / "adc.json").write_text(content)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
        with pytest.raises(BadInput, match=r"GOOGLE_APPLICATION_CREDENTIALS='.*adc.json': .*; name the file that"):
            open_store("gs://lake/p")

    @pytest.mark.parametrize("address", ["gs://", "gs://x", "gs://Lake/p", "gs://user:hidden@lake/p"])
    def test_a_malformed_address(self, address: str) -> None:
        with pytest.raises(BadInput, match=r"give gs://bucket/prefix") as caught:
            open_store(address)
        assert "hidden" not in str(caught.value)


@pytest.fixture
def azure(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Blob Storage, and a machine with a managed identity."""
    for name in ("ACCOUNT_KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    for name in ("FEDERATED_TOKEN_FILE", "CLIENT_ID", "CLIENT_SECRET", "TENANT_ID", "AUTHORITY_HOST"):
        monkeypatch.delenv(f"AZURE_{name}", raising=False)
    for address in serving(AzureHandler, objects):
        for name, value in cloud_settings("az", address).items():
            monkeypatch.setenv(name, value)
        yield address


class TestAzure:
    def test_the_managed_identity_of_the_machine(
        self, azure: str, objects: Objects, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AZURE_CLIENT_ID", "one-of-several")
        works(open_store("sluice+az://lake/p"))
        assert "client_id=one-of-several" in objects.seen[0][1]

    @pytest.fixture
    def workload(
        self,
        azure: str,
        giver: Callable[..., Giver],
        certificates: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Giver:
        """What the webhook of workload identity gives to a pod, and an Entra that knows its token."""

        def answers(asked: Asked) -> tuple[int, Any]:
            if asked.given.get("client_assertion") != "of-the-pod" or asked.path != "/tenant/oauth2/v2.0/token":
                return 401, {"error": "invalid_client", "error_description": "AADSTS700211: no such federation"}
            return 200, {"access_token": "token-of-tests", "expires_in": 3600, "token_type": "Bearer"}

        entra = giver(answers, certificates)
        (tmp_path / "token").write_text("of-the-pod")
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AZURE_CLIENT_ID", "client")
        monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{entra.address}/")
        monkeypatch.setenv("SLUICE_CA_FILE", str(certificates / "public.crt"))
        return entra

    def test_the_identity_of_a_service_account(self, workload: Giver, objects: Objects) -> None:
        works(open_store("az://lake/p"))
        assert sorted(objects.kept) == ["p/a/other"]
        assert workload.asked[0].given["client_id"] == "client"

    def test_a_token_that_is_refused_is_told(self, workload: Giver, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("forged-0123456789")
        with pytest.raises(
            EnvironmentFault, match=r"invalid_client: AADSTS700211: no such federation\); check AZURE_CL"
        ) as e:
            open_store("az://lake/p").get_bytes("k")
        assert "forged" not in str(e.value)

    def test_a_key_of_the_account(self, azure: str, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0LW9mLXRlc3Rz")
        with pytest.raises(EnvironmentFault, match=r"InvalidAuthenticationInfo; check AZURE_STORAGE_ACCOUNT_KEY$"):
            open_store("az://lake/p").get_bytes("k")
        assert objects.seen[-1][2]["authorization"].startswith("SharedKey account:")

    @pytest.mark.parametrize(
        ("name", "value", "said"),
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", "", "az:// wants the storage account: set AZURE_STORAGE_ACCOUNT_NAME"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "A-b", "small letters and digits"),
            (
                "AZURE_FEDERATED_TOKEN_FILE",
                "/nowhere/at/all",
                "AZURE_FEDERATED_TOKEN_FILE='/nowhere/at/all' is no file",
            ),
            ("AZURE_CLIENT_SECRET", "x", "AZURE_CLIENT_SECRET wants AZURE_CLIENT_ID and AZURE_TENANT_ID too"),
            ("AZURE_STORAGE_ENDPOINT", "account", "AZURE_STORAGE_ENDPOINT='account'"),
        ],
    )
    def test_what_is_malformed_is_refused(
        self, azure: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(BadInput) as caught:
            open_store("az://lake/p")
        assert said in str(caught.value)

    @pytest.mark.parametrize("address", ["az://", "az://L/p", "az://a--b/p", "az://user:hidden@lake/p"])
    def test_a_malformed_address(self, azure: str, address: str) -> None:
        with pytest.raises(BadInput, match=r"give az://container/prefix") as caught:
            open_store(address)
        assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_a_missing_bucket_is_named(request: pytest.FixtureRequest, scheme: str) -> None:
    request.getfixturevalue("google" if scheme == "gs" else "azure")
    store = open_store(f"{scheme}://no-such-place/p")
    word = "bucket" if scheme == "gs" else "container"
    for operation in (lambda: store.exists("k"), lambda: store.get_bytes("k"), lambda: list(store.keys())):
        with pytest.raises(BadInput, match=f"has no {word} 'no-such-place'; create it, or check the store's address"):
            operation()


@pytest.mark.parametrize("host", ["s3.example", "S3.example:443", "s3.example:443"])
def test_the_store_itself_is_no_giver_of_credentials(no_aws: None, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "known")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-tests")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.example:443/")
    service = open_store("s3://lake")._service  # type: ignore[attr-defined]
    told = service.refusal(Failure("GET", host, 403, "AccessDenied", "x"), "k")
    assert "access denied; check AWS_ACCESS_KEY_ID" in str(told)
    assert "no credentials from sts.example" in str(service.refusal(Failure("GET", "sts.example", 403, "", "x"), "k"))
