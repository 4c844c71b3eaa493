"""The chart's login (kfp.login=oidc): a real oauth2-proxy as rendered, between a provider and what stands for KFP."""

import base64
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.charts.rendering import SETTINGS, Manifest, case, flags, helm, named, of_kind, program
from tests.conftest import free_port
from tests.login_provider import CLIENT, INSIDE, SECRET, Provider

START_SECONDS = 60.0


class Upstream(BaseHTTPRequestHandler):
    """Says which path and which headers reached it."""

    def do_GET(self) -> None:
        """Echo."""
        self.send_response(200)
        self.end_headers()
        said = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        self.wfile.write(json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with closing(Provider()) as made:
        yield made


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def started(name: str, provider: Provider, upstream: str, folder: Path) -> Iterator[str]:
    """The proxy of that name as the example has it; its address. Only places and keys are the test's own."""
    binary = program("oauth2-proxy")
    found = case("oidc")
    settings = named(found, "ConfigMap", "login")["data"]
    deployment = named(found, "Deployment", f"login-{name}")
    words = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    words = [re.sub(r"https?://(ml-pipeline-ui|ml-pipeline|mlflow):[0-9]+", upstream, word) for word in words]
    port = free_port()
    own = {
        "OAUTH2_PROXY_OIDC_ISSUER_URL": provider.url,
        "OAUTH2_PROXY_HTTP_ADDRESS": f"127.0.0.1:{port}",
        "OAUTH2_PROXY_COOKIE_SECURE": "false",  # the test speaks http
        "OAUTH2_PROXY_CLIENT_ID": CLIENT,
        "OAUTH2_PROXY_CLIENT_SECRET": SECRET,
        "OAUTH2_PROXY_COOKIE_SECRET": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    }
    log = (folder / f"{name}.log").open("w")
    process = subprocess.Popen([binary, *words], env=settings | own, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while call(f"{address}/ping")[0] != 200:
            assert process.poll() is None, (folder / f"{name}.log").read_text()
            assert time.monotonic() < deadline, (folder / f"{name}.log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def kfp(provider: Provider, upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from started("kfp", provider, upstream, tmp_path_factory.mktemp("kfp"))


@pytest.fixture(scope="module")
def mlflow(provider: Provider, upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    yield from started("mlflow", provider, upstream, tmp_path_factory.mktemp("mlflow"))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to the test."""

    def redirect_request(self, *_: Any) -> None:
        """Do not follow."""


def call(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and answer, or where it redirects to; 0 where nothing answers."""
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(urllib.request.Request(url, headers=dict(headers or {})), timeout=10) as answer:
            return answer.status, read(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Location") or read(error.read())
    except OSError:
        return 0, ""


def read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()


def logged_in(address: str, path: str) -> tuple[int, Any]:
    """What a browser without a session gets in the end."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    try:
        with browser.open(address + path, timeout=20) as answer:
            return answer.status, read(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, read(error.read())


def test_without_a_login_nobody_gets_past(kfp: str, provider: Provider) -> None:
    status, place = call(f"{kfp}/")
    assert status == 302
    assert place.startswith(f"{provider.url}/authorize")
    for path in ("/apis/v2beta1/runs", "/apis/v1beta1/healthz"):
        assert call(kfp + path)[0] == 401
    claimed = {"X-Forwarded-User": INSIDE, "X-Forwarded-Email": INSIDE, "X-Auth-Request-Email": INSIDE}
    assert call(f"{kfp}/apis/v2beta1/runs", claimed)[0] == 401
    for wrong in ("Bearer nonsense", f"Bearer {provider.token(aud='another')}", f"Bearer {provider.token(exp=1)}"):
        assert call(f"{kfp}/apis/v2beta1/runs", {"Authorization": wrong})[0] == 401, wrong
    for trick in (
        "//apis/v2beta1/runs",
        "/ping/../apis/v2beta1/runs",
        "/apis/v2beta1/runs?x=/ping",
        "/oauth2/../apis/x",
    ):
        assert call(kfp + trick)[0] in (301, 302, 400, 401, 403, 404), trick


def test_who_logs_in_gets_the_page_that_they_wanted(kfp: str) -> None:
    status, seen = logged_in(kfp, "/pipeline/runs")
    assert (status, seen["path"]) == (200, "/pipeline/runs")
    assert not [name for name in seen["headers"] if name.startswith("x-forwarded-") and INSIDE in seen["headers"][name]]
    assert "authorization" not in seen["headers"]


def test_who_is_of_another_domain_stays_outside(kfp: str, provider: Provider) -> None:
    for email in ("somebody@elsewhere.org", "somebody@notexample.org", "somebody@example.org.elsewhere.org"):
        provider.become(email)
        try:
            assert logged_in(kfp, "/")[0] == 403, email
            token = provider.token()
        finally:
            provider.become(INSIDE)
        assert call(f"{kfp}/apis/v2beta1/runs", {"Authorization": f"Bearer {token}"})[0] in (401, 403)


def test_a_program_with_a_token_of_the_provider_is_let_through(kfp: str, provider: Provider) -> None:
    status, seen = call(f"{kfp}/apis/v2beta1/runs", {"Authorization": f"Bearer {provider.token()}"})
    assert (status, seen["path"]) == (200, "/apis/v2beta1/runs")


def test_mlflow_asks_its_clients_itself(mlflow: str, provider: Provider) -> None:
    account = {"Authorization": "Basic " + base64.b64encode(b"steps:password").decode()}
    status, seen = call(f"{mlflow}/api/2.0/mlflow/runs/get", account)
    assert (status, seen["headers"]["authorization"]) == (200, account["Authorization"])
    status, place = call(f"{mlflow}/ajax-api/2.0/mlflow/runs/get")
    assert status in (302, 401, 403), place
    assert call(f"{mlflow}/")[0] == 302
    assert logged_in(mlflow, "/")[0] == 200


def test_both_ingresses_lead_to_the_login_and_no_policy_past_it() -> None:
    rendered = case("oidc")
    services = {item["metadata"]["name"]: item for item in of_kind(rendered, "Service")}
    backends = {
        item["metadata"]["name"]: item["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        for item in of_kind(rendered, "Ingress")
    }
    assert backends == {
        "ml-pipeline-ui": {"name": "login-kfp", "port": {"name": "http"}},
        "mlflow": {"name": "login-mlflow", "port": {"name": "http"}},
    }
    for backend in backends.values():
        selector = services[backend["name"]]["spec"]["selector"]
        pod = named(rendered, "Deployment", backend["name"])["spec"]["template"]["metadata"]["labels"]
        assert selector.items() <= pod.items()
        assert pod["sluice.dev/login-proxy"] == "true", "else the release's policies shut it out"
    assert "backend-protocol" not in str(named(rendered, "Ingress", "mlflow")), "the login speaks http"
    for name in ("ml-pipeline", "ml-pipeline-ui", "mlflow"):
        for rule in named(rendered, "NetworkPolicy", name)["spec"]["ingress"]:
            assert not [peer for peer in rule["from"] if "ipBlock" in peer or "namespaceSelector" in peer], name


def test_no_secret_of_the_login_is_rendered() -> None:
    text = yaml.safe_dump_all([*login_objects()])
    assert "OAUTH2_PROXY_CLIENT_SECRET" in text
    assert {item["kind"] for item in login_objects()} == {
        "ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount",
    }  # fmt: skip
    assert "client-secret=" not in text


def login_objects() -> Iterator[Manifest]:
    """What the chart makes of the login alone."""
    for item in case("oidc"):
        if item["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "login":
            yield item


@pytest.mark.parametrize(
    ("without", "told"),
    [
        ("auth.oidc.issuerUrl=", "kfp.login=oidc without auth.oidc.issuerUrl"),
        ("auth.oidc.issuerUrl=http://login.example.org", "tokens would be fetched without TLS"),
        ("auth.oidc.existingSecret=", "kfp.login=oidc without auth.oidc.existingSecret"),
        ("auth.oidc.emailDomains=null", "kfp.login=oidc without auth.oidc.emailDomains"),
        ("mlflow.service.type=NodePort", "people would go past the login"),
        ("kfp.ui.service.type=NodePort", "people would go past the login"),
        ("kfp.login=none", "auth.oidc is set, and kfp.login is"),
    ],
)
def test_half_a_login_is_refused_in_one_line(without: str, told: str) -> None:
    done = helm(*flags((), (*SETTINGS["oidc"], without)))
    assert done.returncode != 0
    assert told in done.stderr
