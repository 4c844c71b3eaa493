"""The plugin of Argo that runs KFP's drivers: its protocol, and what becomes of a driver's outputs and faults."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from sluice.cluster import driver_plugin
from sluice.cluster.driver_plugin import METHOD, Drivers, Refused, Server, environment, failure, run_driver
from tests.conftest import free_port

# Writes each of its arguments "FILE=TEXT" to its file, as KFP's driver writes its outputs.
WRITES = """#!/bin/sh
for each in "$@"; do
    case $each in
        fail=*) echo "$2" >&2; exit "${each#fail=}" ;;
        wait=*) while [ ! -e "${each#wait=}" ]; do sleep 0.05; done ;;
        env=*) printenv "${each#env=}" > value ;;
        count=*) echo x >> "${each#count=}" ;;
        until=*) [ "$(wc -l < "${each#until=}")" -ge 3 ] || { echo "$1" >&2; exit 1; } ;;
        /*) echo "text of $(basename "$each")" > "$each" ;;
    esac
done
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "driver"
    path.write_text(WRITES, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def template(*words: str, env: list[dict[str, Any]] | None = None, **defaults: str | None) -> dict[str, Any]:
    """A driver's template: its words, and its outputs with their defaults."""
    outputs = [
        {"name": name.replace("_", "-"), "valueFrom": {"path": "/x"} | ({} if value is None else {"default": value})}
        for name, value in defaults.items()
    ]
    return {
        "name": "system-container-driver",
        "plugin": {"kfp-driver": {"args": list(words), "env": env or []}},
        "outputs": {"parameters": outputs},
    }


def test_outputs_are_the_files_that_the_driver_writes_or_their_defaults(program: str) -> None:
    made = run_driver(program, template("--condition_path", "@output:condition", condition=None, cached_decision="no"))
    assert made == [
        {"name": "condition", "value": "text of condition"},
        {"name": "cached-decision", "value": "no"},
    ]


def test_an_output_of_no_file_and_no_default_is_named(program: str) -> None:
    with pytest.raises(Refused, match="wrote no execution-id, which has no default"):
        run_driver(program, template(execution_id=None))


def test_an_output_cannot_leave_its_folder(program: str, tmp_path: Path) -> None:
    run_driver(program, template(f"@output:../../..{tmp_path}/outside"))
    assert not (tmp_path / "outside").exists()


def test_a_driver_that_fails_says_why_in_one_line(program: str) -> None:
    said = "F1121 22:45:01.123456       1 main.go:79] KFP driver: no such task"
    with pytest.raises(Refused, match=r"^KFP's driver failed: KFP driver: no such task$"):
        run_driver(program, template("--task", said, "fail=1"))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("F1121 22:45:01.1 1 main.go:7] the reason\ngoroutine 1 [running]:\nmain.main()\n", "the reason"),
        ("panic: a nil map\n\n", "panic: a nil map"),
        ("", "exit code 2"),
        ("x" * 900, "x" * 500),
    ],
)
def test_the_reason_is_the_fatal_line_else_the_last_words(said: str, line: str) -> None:
    assert failure(said, 2) == f"KFP's driver failed: {line}"


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(Refused, match="KFP_DRIVER names /nowhere/driver, which is not in this image"):
        run_driver("/nowhere/driver", template())


def test_a_container_s_variables_reach_the_driver(program: str) -> None:
    made = run_driver(program, template("env=LEVEL", env=[{"name": "LEVEL", "value": "3"}], value=None))
    assert made == [{"name": "value", "value": "3"}]


def test_a_variable_from_elsewhere_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    with pytest.raises(Refused, match="wants PASSWORD from secretKeyRef, which the plugin kfp-driver does not have"):
        environment(wanted)
    monkeypatch.setenv("PASSWORD", "1")
    assert environment(wanted)["PASSWORD"] == "1"


def test_a_variable_that_may_be_missing_may_be_missing() -> None:
    given = [{"name": "NOT_THERE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}}]
    assert environment(given) == dict(os.environ)


def test_a_slow_driver_is_asked_for_again_and_runs_once(program: str, tmp_path: Path) -> None:
    go, count = tmp_path / "go", tmp_path / "count"
    task = template(f"count={count}", f"wait={go}", condition="true")
    drivers = Drivers(program)
    assert drivers.answer(task, seconds=0.05) == {"node": {"phase": "Running"}, "requeue": "1s"}
    assert drivers.answer(task, seconds=0.05)["node"] == {"phase": "Running"}
    go.touch()
    node = drivers.answer(task, seconds=30)["node"]
    assert (node["phase"], node["outputs"]) == (
        "Succeeded",
        {"parameters": [{"name": "condition", "value": "true"}]},
    )
    assert count.read_text(encoding="utf-8") == "x\n"
    assert drivers.answer(task, seconds=30)["node"]["phase"] == "Succeeded"  # a retry runs it anew
    assert count.read_text(encoding="utf-8") == "x\nx\n"


def test_only_some_drivers_run_at_once(program: str, tmp_path: Path) -> None:
    go, count = tmp_path / "go", tmp_path / "count"
    drivers = Drivers(program, at_once=1)
    tasks = [template(f"count={count}", f"wait={go}", str(number)) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda task: drivers.answer(task, seconds=0.5), tasks))
        assert [answer["node"]["phase"] for answer in answers] == ["Running"] * 3
        assert count.read_text(encoding="utf-8") == "x\n"
        go.touch()
        answers = list(pool.map(lambda task: drivers.answer(task, seconds=30), tasks))
    assert [answer["node"]["phase"] for answer in answers] == ["Succeeded"] * 3


FATAL = "F1121 22:45:01.123456       1 main.go:79] "
AWAY = "KFP driver: driver.Container(x) failed: failed to list tasks: rpc error: code = Internal desc = bad connection"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_plugin, "PAUSES_SECONDS", (0.01,))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "why",
    [
        AWAY,
        "KFP driver: rpc error: code = Unavailable desc = connection error",
        "KFP driver: rpc error: code = Aborted desc = the database at mysql:3306 is away",
        "KFP driver: dial tcp 10.96.0.7:8887: connect: connection refused",
        "KFP driver: " + "x" * 600 + " rpc error: code = Unavailable desc = the reason stands far behind",
    ],
)
def test_a_driver_whose_service_is_away_runs_again_until_it_is_back(program: str, tmp_path: Path, why: str) -> None:
    count = tmp_path / "count"
    node = Drivers(program).answer(template(FATAL + why, f"count={count}", f"until={count}", value="x"), 30)["node"]
    assert node["phase"] == "Succeeded", node
    assert count.read_text(encoding="utf-8") == "x\n" * 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "said",
    [
        FATAL + "KFP driver: parameter year: a number is wanted",
        FATAL + "KFP driver: rpc error: code = InvalidArgument desc = no such type",
        f"I1121 1 container.go:9] Created execution: id:7\n{FATAL}{AWAY}",  # a second one would stand beside it in MLMD
        f"W1121 1 client.go:9] rpc error: code = Unavailable\n{FATAL}KFP driver: no such task",  # it got over that
    ],
)
def test_a_driver_that_failed_for_good_or_has_recorded_runs_once(program: str, tmp_path: Path, said: str) -> None:
    count = tmp_path / "count"
    node = Drivers(program).answer(template(said, f"count={count}", f"until={count}"), 30)["node"]
    assert node["phase"] == "Failed"
    assert count.read_text(encoding="utf-8") == "x\n"


def test_a_service_that_stays_away_ends_the_node_with_how_long_it_was_tried(program: str) -> None:
    node = Drivers(program, retry_seconds=0.5).answer(template("--task", FATAL + AWAY, "fail=1"), 30)["node"]
    assert node == {"phase": "Failed", "message": f"KFP's driver failed: {AWAY} (tries: 1, within 0 s)"}


def test_another_plugin_s_template_is_left_to_it(program: str) -> None:
    assert Drivers(program).answer({"name": "x", "plugin": {"slack": {}}}) == {}


@pytest.fixture
def address(program: str) -> Iterator[str]:
    server = Server(0, "secret", Drivers(program))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def post(url: str, body: bytes, token: str = "secret") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_the_agent_s_call_is_answered_with_the_node(address: str) -> None:
    body = json.dumps({"workflow": {}, "template": template("@output:condition", condition=None)}).encode()
    code, answer = post(address + METHOD, body)
    assert code == 200
    assert answer["node"]["outputs"]["parameters"] == [{"name": "condition", "value": "text of condition"}]


def test_a_driver_s_fault_ends_the_node_with_its_message(address: str) -> None:
    body = json.dumps({"template": template("--task", "no such task", "fail=1")}).encode()
    assert post(address + METHOD, body)[1] == {
        "node": {"phase": "Failed", "message": "KFP's driver failed: no such task"}
    }


@pytest.mark.parametrize(
    ("method", "body", "token", "code"),
    [
        ("/api/v1/other", b"{}", "secret", 404),
        (METHOD, b"{}", "guess", 403),
        (METHOD, b"no JSON", "secret", 400),
        (METHOD, b"[]", "secret", 400),
    ],
)
def test_what_is_no_call_of_the_agent_is_refused(address: str, method: str, body: bytes, token: str, code: int) -> None:
    assert post(address + method, body, token)[0] == code


def test_a_pod_that_is_deleted_serves_on_for_the_agent_beside_it(tmp_path: Path) -> None:
    """Argo's agent does not end at SIGTERM: refused by its plugin, it fails the tasks that it has."""
    port, token = free_port(), tmp_path / "token"
    token.write_text("secret")
    code = (
        "import sys\nfrom pathlib import Path\nfrom sluice.cluster import driver_plugin as plugin\n"
        "plugin.PORT, plugin.TOKEN, plugin.DRAIN_SECONDS = int(sys.argv[1]), Path(sys.argv[2]), 3.0\nplugin.main()"
    )
    command = [sys.executable, "-c", code, str(port), str(token)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        assert "ready" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(HTTPError, match="40"):  # an answer, though it is a refusal
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/template.execute", data=b"{}", timeout=10)
        assert process.wait(60) == 0
