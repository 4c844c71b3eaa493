"""Who may ask, how much, and how slowly; and what health, readiness and metrics say meanwhile."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from sluice.core.errors import BadInput
from sluice.core.processors import quota, usable_processors
from sluice.predictions.request_ids import moment_of
from sluice.serving.app import Server
from sluice.serving.assembly import assembled
from sluice.serving.doors import Doors
from sluice.serving.exchange import Loaded, NoModel
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.limits import Limits
from sluice.serving.metrics import Metrics
from sluice.serving.settings import Settings, read_settings
from sluice.serving.tokens import Tokens, own_token_file
from tests.unit.serving_world import ROW, Got, ask, call, served_folder, server

TOKEN, OTHER = "first-token-of-sixteen", "second-token-of-sixteen"
ASKED = {"rows": [dict(ROW)]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_folder(tmp_path_factory.mktemp("m") / "late")


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_without_a_token_only_health_and_the_empty_page_are_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# ours\n\n{TOKEN}\n{OTHER}\n")
    app = server(folder, doors=Doors(Tokens(tmp_path / "tokens")))
    for path in ("/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready", "/", "/page.js", "/page.css"):
        assert call(app, path).status == 200, path
    closed: dict[str, Any] = {
        **dict.fromkeys(("/v1/model", "/openapi.json", "/metrics", "/v2", "/v2/models/late", "/nowhere")),
        **dict.fromkeys(("/v1/predict", "/invocations", "/v2/models/late/infer", "/nothing"), ASKED),
    }
    for path, body in closed.items():
        for given in ({}, {"authorization": bearer(TOKEN + "x")}, {"authorization": f"Basic {TOKEN}"}):
            got = call(app, path, body, **given)
            assert (got.status, got.headers["www-authenticate"]) == (401, 'Bearer realm="sluice"'), path
            assert "late" not in got.body.decode(), path
    for token in (TOKEN, OTHER):
        assert call(app, "/v1/predict", ASKED, authorization=bearer(token)).status == 200
    assert call(app, "/nowhere", authorization=bearer(TOKEN)).status == 404


def test_tokens_change_while_the_server_runs(tmp_path: Path) -> None:
    path, now = tmp_path / "tokens", [0.0]
    path.write_text(f"{TOKEN}\n")
    tokens = Tokens(path, lambda: now[0])
    path.write_text(f"{OTHER}\n")
    assert tokens.accept(bearer(TOKEN))  # looked at once a second
    now[0] = 2.0
    assert (tokens.accept(bearer(TOKEN)), tokens.accept(bearer(OTHER))) == (False, True)
    for broken in ("short\n", None):
        path.write_text(broken) if broken else path.unlink()
        now[0] += 2
        assert tokens.accept(bearer(OTHER)), "a rotation that failed halfway shuts nobody out"
    path.write_text("")
    now[0] += 2
    assert not tokens.accept(bearer(OTHER)), "an empty file lets nobody in"
    assert not tokens.accept("Bearer ")


@pytest.mark.parametrize(
    ("content", "told"), [("", "holds no token"), ("short", "line 1: this is no token"), (f"{TOKEN}\né" * 9, "line 2")]
)
def test_a_wrong_token_file_is_told_without_its_tokens(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "tokens").write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=told) as caught:
        Tokens(tmp_path / "tokens")
    assert not content or content[:5] not in str(caught.value)


def test_a_machines_own_token_is_made_once_and_for_its_user(tmp_path: Path) -> None:
    path = own_token_file(tmp_path / "serving")
    assert path.stat().st_mode & 0o777 == 0o600
    assert own_token_file(tmp_path / "serving").read_text() == path.read_text()
    assert len(path.read_text().strip()) == 43
    Tokens(path)


def test_without_tokens_other_sites_pages_are_kept_out(folder: Path) -> None:
    app = assembled(Settings(folder=folder, name="late/3"), 8080)
    own = "127.0.0.1:8080"
    assert call(app, "/v1/predict", ASKED, host=own).status == 200
    assert call(app, "/v1/predict", ASKED, host="localhost:8080", origin="http://localhost:8080").status == 200
    assert call(app, "/v1/predict", ASKED, host="rebound.example:8080").status == 421
    for origin in ("http://evil.example", "null", "https://127.0.0.1:8080", "http://127.0.0.1:9"):
        assert call(app, "/v1/predict", ASKED, host=own, origin=origin).status == 403


def test_a_port_of_its_own_for_metrics(folder: Path, tmp_path: Path) -> None:
    app = server(folder, doors=Doors(Tokens(own_token_file(tmp_path)), metrics_port=9090))
    assert {path: call(app, path, port=9090).status for path in ("/metrics", "/readyz", "/v1/model", "/", "/v2")} == {
        "/metrics": 200,
        "/readyz": 200,
        "/v1/model": 404,
        "/": 404,
        "/v2": 404,
    }
    assert call(app, "/v1/predict", ASKED, port=9090).status == 404
    token = bearer((tmp_path / "token").read_text().strip())
    assert call(app, "/metrics", port=8080, authorization=token).status == 404
    assert call(app, "/readyz", port=8080).status == 200


def test_what_is_too_large_is_refused(folder: Path) -> None:
    app = server(folder, Limits(body=1000, rows=2, headers=300))
    assert call(app, "/v1/predict", {"rows": [dict(ROW)] * 3}).status == 413
    assert call(app, "/v1/predict", {"rows": []}).status == 400
    long = call(app, "/v1/predict", {"rows": [{**ROW, "remark": "x" * 2000}]})
    assert (long.status, "longer than 1,000 bytes" in long.json["detail"]) == (413, True)
    said = call(app, "/v1/predict", ASKED, content_length="5" * 30)
    assert said.status == 413
    assert call(app, "/v1/predict", ASKED, cookie="x" * 300).status == 431
    packed = call(app, "/v1/predict", ASKED, content_encoding="gzip")
    assert (packed.status, "'gzip'" in packed.json["detail"]) == (415, True)
    assert app._held.bytes == 0


def test_a_body_that_would_grow_in_memory_is_refused_unread(folder: Path) -> None:
    app = server(folder)
    for body in (b'{"rows":[' + b"{}," * 10**6 + b"{}]}", b"[" * 10**6):
        got = call(app, "/v1/predict", body)
        assert (got.status, "more objects" in got.json["detail"]) == (413, True)


def test_a_slow_sender_is_not_waited_for(folder: Path) -> None:
    got = call(server(folder, Limits(seconds=0.2)), "/v1/predict", ASKED, slow=5)
    assert (got.status, got.headers["connection"]) == (408, "close")
    assert "within 0.2 seconds" in got.json["detail"]


def test_more_at_once_than_allowed_are_told_when_to_come_again(folder: Path) -> None:
    app = server(folder, Limits(requests=2))

    async def crowd() -> list[Got]:
        await app.start()
        return await asyncio.gather(*(ask(app, "/v1/predict", ASKED, slow=0.2) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(got.status for got in answers) == [200, 200, 503, 503, 503]
    assert {got.headers.get("retry-after") for got in answers if got.status == 503} == {"1"}
    full = server(folder, Limits(held=100))
    assert (got := call(full, "/v1/predict", ASKED)).status == 503, got
    assert full._held.bytes == 0


def test_long_requests_do_not_stop_short_ones(folder: Path) -> None:
    app, order = server(folder), []

    async def both() -> None:
        await app.start()

        async def one(name: str, count: int) -> None:
            got = await ask(app, "/v1/predict", {"rows": [dict(ROW)] * count})
            assert (got.status, len(got.json["forecasts"])) == (200, count)
            order.append(name)

        await asyncio.gather(one("long", 5000), one("short", 1))

    asyncio.run(both())
    assert order == ["short", "long"]


class Moving:
    """A traffic whose model comes late and goes again; with work of its own."""

    def __init__(self, folder: Path) -> None:
        self.loaded = Loaded("late/3", GraphJudge(folder))
        self.there, self.threads = False, []  # type: ignore[var-annotated]

    def chosen(self, request: str, subject: str) -> Loaded:
        if not self.there:
            raise NoModel("no champion is appointed")
        return self.loaded

    def details(self) -> dict[str, Any]:
        return {"looked": 7.0}

    def start(self) -> None:
        self.threads.append(threading.current_thread() is threading.main_thread())

    def stop(self) -> None:
        self.threads.append("stopped")

    def measure(self, registry: Any) -> None:
        from prometheus_client import Counter

        Counter("moves", "Moves.", registry=registry).inc()


def test_ready_is_only_who_can_answer(folder: Path) -> None:
    traffic = Moving(folder)
    app = Server(traffic)
    assert (got := call(app, "/readyz")).status == 503
    assert (got.json["reason"], got.json["looked"]) == ("no model is loaded yet", 7.0)
    asked = call(app, "/v1/predict", ASKED)
    assert (asked.status, asked.headers["retry-after"], asked.json["detail"]) == (503, "5", "no champion is appointed")
    assert (call(app, "/healthz").status, call(app, "/ping").status) == (200, 503)
    traffic.there = True
    assert (call(app, "/readyz").status, call(app, "/ping").status) == (200, 200)
    app.drain()
    assert (call(app, "/readyz").status, call(app, "/healthz").status) == (503, 200)
    last = call(app, "/v1/predict", ASKED)
    assert (last.status, last.headers["connection"]) == (200, "close")
    asyncio.run(app.stop())
    assert traffic.threads == [False, "stopped"]
    assert b"moves_total 1.0" in call(app, "/metrics").body


def test_metrics_have_bounded_labels(folder: Path) -> None:
    app = server(folder)
    for number in range(30):
        call(app, f"/nowhere/{number}")
        call(app, f"/v2/models/m{number}/infer", ASKED)
        call(app, "/v1/predict", {"rows": [{**ROW, f"x{number}": 1, "carrier": f"Z{number}"}]})
        call(app, "/v1/predict", ASKED, method=f"M{number}")
    call(app, "/v1/predict", {"rows": [dict(ROW)] * 7})
    lines = call(app, "/metrics").body.decode().splitlines()
    assert 'sluice_requests_total{route="other",status="404",version=""} 30.0' in lines
    assert 'sluice_requests_total{route="/v2/models/{name}/infer",status="404",version=""} 30.0' in lines
    assert 'sluice_requests_total{route="/v1/predict",status="405",version=""} 30.0' in lines
    assert 'sluice_requests_total{route="/v1/predict",status="422",version="late/3"} 30.0' in lines
    assert 'sluice_invalid_values_total{kind="value",version="late/3"} 30.0' in lines
    assert 'sluice_rows_total{version="late/3"} 7.0' in lines
    assert any(line.startswith("sluice_model_info{digest=") and line.endswith(" 1.0") for line in lines)
    assert len([line for line in lines if not line.startswith("#")]) < 60


def test_metrics_of_a_server_that_saw_many_versions_stay_few() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.answered("/v1/predict", 200, f"late/{number}", 0.001)
        metrics.forecast(f"late/{number}", 1)
    text = metrics.text(()).decode()
    assert 'sluice_requests_total{route="/v1/predict",status="200",version="other"} 30.0' in text
    assert 'version="late/19"' in text
    assert 'version="late/20"' not in text


def test_a_defect_is_answered_with_500_and_told_in_the_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = server(folder)
    app._plain.write = lambda asked, answered: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    got = call(app, "/v1/predict", ASKED, x_request_id="r-1")
    assert (got.status, got.json["request"]) == (500, "r-1")
    assert "ZeroDivision" not in got.body.decode()
    said = capsys.readouterr()
    assert "request r-1 failed" in said.out
    assert "ZeroDivisionError" in said.err


@pytest.mark.parametrize("given", ["a b", "x" * 200, "é", "a\x00b", "<b>", "-a"])
def test_an_id_that_is_not_sane_is_replaced(folder: Path, given: str) -> None:
    got = call(server(folder), "/healthz", x_request_id=given, traceparent="00-zz")
    assert moment_of(got.headers["x-request-id"]), "one of ours, which tells when it was made"
    assert "traceparent" not in got.headers


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("{", "no JSON"),
        ("{}", "give either folder, a served model's, or model"),
        ('{"folder": "x"}', "settings: folder needs name"),
        ('{"folder": "x", "name": "a/1", "model": "a"}', "give either folder"),
        ('{"model": "a/1"}', "write MODEL or MODEL@alias; one version, MODEL/3, is served from its folder"),
        ('{"model": "a", "log": {"sampling": 0}}', "log.sampling: Input should be greater"),
        ('{"folder": "x", "name": "a/1", "colour": 1}', "colour: Extra inputs"),
        ('{"folder": "x", "name": "a/1", "host": "0.0.0.0"}', "give a token_file"),
        ('{"folder": "x", "name": "a/1", "limits": {"rows": 0}}', "limits.rows: Input should be greater"),
        ('{"folder": "x", "name": "a/1", "metrics_port": 8080}', "another than port"),
        ("/nowhere/settings.json", "is not there"),
    ],
)
def test_wrong_settings_are_told(given: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_settings(given)


def test_processors_follow_the_control_group(tmp_path: Path) -> None:
    for text, wanted in (("150000 100000", 1.5), ("max 100000", None), ("nonsense", None)):
        (tmp_path / "cpu.max").write_text(text)
        assert quota(tmp_path / "cpu.max", tmp_path / "v1") == wanted
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "v1" / "cpu.cfs_period_us").write_text("100000\n")
    assert quota(tmp_path / "none", tmp_path / "v1") is None
    (tmp_path / "v1" / "cpu.cfs_quota_us").write_text("50000\n")
    assert quota(tmp_path / "none", tmp_path / "v1") == 0.5
    assert 1 <= usable_processors() <= len(os.sched_getaffinity(0))
