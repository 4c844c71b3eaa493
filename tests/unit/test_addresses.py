"""No login of an address is ever shown, however it is quoted, and no address leads to another host than it seems to."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from sluice.cluster.connection import Cluster
from sluice.cluster.kfp_api import KfpApi
from sluice.core.addresses import Login, is_ambiguous, is_web_address, redacted, shown, without_login
from sluice.core.errors import BadInput
from sluice.registry.pipeline_runs import log_parameters
from sluice.running.run_progress import captured
from tests.unit.api_server import Server

QUICK = settings(max_examples=300)
# What could split an address, what could pass for it, and what needs no care.
PASSWORDS = st.text(st.sampled_from("ab7@@//??##::%&=+\\'\"[]é "), min_size=6, max_size=20).filter(str.strip)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://user:word@host:8080/x", "http://host:8080/x"),
        ("http://user:wo@rd@host", "http://host"),
        ("http://user:80#word@host", "http://host"),
        ("user:word@host:9000", "host:9000"),
        ("https://token@host", "https://host"),
        ("http://host/x?user=a&password=word&b=c", "http://host/x?user=a&password=***&b=c"),
        ("postgresql://h/d?sslkey=/a/b", "postgresql://h/d?sslkey=***"),
        ("sqlite:////home/me@work/mlflow.db", "sqlite:////home/me@work/mlflow.db"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("s3://AKIA:se/cret@bucket/a", "s3://bucket/a"),
        ("sluice+s3://secret@bucket/a", "sluice+s3://bucket/a"),
        ("sluice+s3://bucket/a@b", "sluice+s3://bucket/a@b"),
    ],
)
def test_one_address_as_it_is_shown(address: str, said: str) -> None:
    assert shown(address) == said
    assert "://" not in address or redacted(f"no way to {address} there") == f"no way to {said} there"


@QUICK
@given(PASSWORDS)
@example("p@ss/word")
@example("80#word@x")
def test_an_address_of_the_web_is_read_alike_by_everybody(password: str) -> None:
    address = f"http://user:{password}@right.example:81/x"
    if is_web_address(address):
        assert urlsplit(address).hostname == parse_url(address).host == "right.example"
        assert shown(address) == "http://right.example:81/x"


@QUICK
@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_a_login_that_is_written_rightly_is_taken_whole(user: str, password: str) -> None:
    assume(max(user + password) < "\ud800")
    address = f"https://{quote(user, safe='')}:{quote(password, safe='')}@right.example/x"
    assert not is_ambiguous(address)
    assert without_login(address) == ("https://right.example/x", Login(user, password))


@QUICK
@given(
    PASSWORDS,
    st.sampled_from(["HTTPS_PROXY", "MLFLOW_TRACKING_URI", "SLUICE_KFP", "DATABASE"]),
    st.sampled_from(["{}", "'{}'", "could not parse {!r}", "x{}y", "at {}: refused", "({},)"]),
)
def test_what_a_library_says_of_an_address_has_no_password(password: str, name: str, words: str) -> None:
    address = f"http://user:{password}@host.example:81/x"
    said = redacted(words.format(address), {name: address})
    assert password not in said
    alone = redacted(words.format(password), {name: address})
    assert password not in alone or password not in words.format(password)


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SLUICE_SOURCE_X", "A_API_KEY"]
)
def test_a_secret_of_the_environment_is_hidden_wherever_it_stands(name: str) -> None:
    assert redacted("a 'pass-word'! bpass-wordc", {name: "pass-word"}) == "a '***'! b***c"


def test_a_word_is_hidden_as_a_word() -> None:
    environment = {"PGPASSWORD": "postgres"}
    assert redacted("postgresql refuses postgres", environment) == "postgresql refuses ***"


@pytest.mark.parametrize("name", ["AWS_WEB_IDENTITY_TOKEN_FILE", "TOKENIZERS_PARALLELISM", "HOME", "SECRETARY"])
def test_what_is_no_secret_is_shown(name: str) -> None:
    assert redacted("at /some/place", {name: "/some/place"}) == "at /some/place"


def test_every_error_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pass%40word@proxy:3128")
    said = str(BadInput("no way through http://me:pass%40word@proxy:3128 nor with pass@word"))
    assert said == "no way through http://proxy:3128 nor with ***"


def test_a_traceback_is_redacted_too() -> None:
    script = (
        "import sys\nfrom sluice.steps.step import step\n"
        "with step('a'):\n    raise ValueError('http://me:pass-word@proxy and ' + sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "other-word"], env=None, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ValueError: http://proxy and other-word" in done.stderr
    assert "pass-word" not in done.stdout + done.stderr.replace(script, "")


def test_kfp_s_login_goes_into_a_header_and_nowhere_else(server: Server) -> None:
    url = server.url.replace("//", "//me:pass%2Fword@")
    api, cluster = KfpApi(url), Cluster(url, {}, {}, None)
    server.answers["/apis/v2beta1/healthz"] = (200, {"tag_name": "2.17.0"})
    assert api.version() == "2.17.0"
    assert server.headers["Authorization"] == "Basic bWU6cGFzcy93b3Jk"
    server.close()
    with pytest.raises(Exception, match="does not answer") as caught:
        api.version()
    for text in (str(caught.value), cluster.place, repr(cluster), api.url):
        assert "pass" not in text


def test_urllib3_itself_reads_a_raw_delimiter_otherwise() -> None:
    """Why what is ambiguous is refused: of two readers each finds a host of its own."""
    address = "http://user:80#x@right.example"
    assert is_ambiguous(address)
    with contextlib.suppress(LocationParseError):
        assert parse_url(address).host != "right.example"


def test_a_run_s_log_and_its_parameters_are_redacted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "token-word")
    with captured(tmp_path / "run.log", Console(file=io.StringIO())):
        print("retry of http://me:pass-word@host with token-word")
    assert (tmp_path / "run.log").read_text() == "retry of http://host with ***\n"
    logged: list[Any] = []
    run = SimpleNamespace(data=SimpleNamespace(params={}))
    client = SimpleNamespace(get_run=lambda _: run, log_batch=lambda _, params: logged.extend(params))
    log_parameters(client, "r", {"lake": "s3://AKIA:secret@bucket/lake", "seed": 1})
    assert [(entry.key, entry.value) for entry in logged] == [("lake", "s3://bucket/lake"), ("seed", "1")]
