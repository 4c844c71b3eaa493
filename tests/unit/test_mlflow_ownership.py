"""What one pipeline run may write in MLflow, and that nothing leads into another's records: a real server.

The header that the gateway of runs' pods sets is set here by MLflow's own client.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
from mlflow.tracking.request_header.registry import _request_header_provider_registry as providers

from sluice.core.errors import TrackingFault
from sluice.mlflow_server.ownership import Guard, Refused
from sluice.registry.pipeline_runs import find_or_open, log_parameters
from sluice.registry.tracked_results import CANDIDATE_TAG, _log
from sluice.registry.tracking import child_run, fail_pipeline_run, finish_pipeline_run, tracked_run
from tests.unit.test_mlflow_server import ADMIN, REGISTER, STEPS, migrated_once, server, serving

__all__ = ["migrated_once", "server", "serving"]  # fixtures of that module
OURS, THEIRS = "run-ours", "run-theirs"
FILE = "MLmodel"


class Sender(RequestHeaderProvider):  # type: ignore[misc] # MLflow's classes are untyped
    """Says whose pod a request comes from, as the gateway does."""

    run = ""

    def in_context(self) -> bool:
        return bool(Sender.run)

    def request_headers(self) -> dict[str, str]:
        return {"X-Sluice-Run": Sender.run}


Client = Callable[..., Any]


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """MLflow's client as a run's pod, or as who is none (""); the last one that it gave is the one that works."""
    from mlflow import MlflowClient

    def given(run: str, account: tuple[str, str] = STEPS) -> Any:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", account[0])
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", account[1])
        Sender.run = run
        return MlflowClient(server)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    registry = list(providers._registry)
    providers.register(Sender)
    yield given
    Sender.run = ""
    providers._registry[:] = registry


class Theirs:
    """Records of another run, and an attacker's own."""

    def __init__(self, client: Client, folder: Path) -> None:
        import mlflow

        made = client("").get_experiment_by_name("shared")
        self.experiment = made.experiment_id if made else client("").create_experiment("shared")
        theirs = client(THEIRS)
        self.run = theirs.create_run(self.experiment).info.run_id
        theirs.log_metric(self.run, "loss", 1.0)
        theirs.log_text(self.run, "first", "note.txt")
        self.model = theirs.create_logged_model(self.experiment, name="m", source_run_id=self.run).model_id
        (folder / FILE).write_text("first")
        theirs.log_model_artifacts(self.model, str(folder))
        (folder / FILE).write_text("forged")
        self.folder = folder
        self.steps = client(OURS)
        self.own = self.steps.create_run(self.experiment).info.run_id
        self.own_model = self.steps.create_logged_model(self.experiment, source_run_id=self.own).model_id
        self._mlflow = mlflow

    def state(self, client: Client, server: str) -> tuple[Any, ...]:
        """All that an attack could change."""
        admin = client("", ADMIN)
        run, model = admin.get_run(self.run), admin.get_logged_model(self.model)
        files = [
            requests.get(
                f"{server}/api/2.0/mlflow-artifacts/artifacts/{self.experiment}/{place}", auth=ADMIN, timeout=9
            )
            for place in (f"{self.run}/artifacts/note.txt", f"models/{self.model}/artifacts/{FILE}")
        ]
        under = admin.search_runs([self.experiment], f"tags.`mlflow.parentRunId` = '{self.run}'")
        listed = [each.path for each in admin.list_artifacts(self.run)]
        told = (json.dumps(run.to_dictionary(), sort_keys=True), json.dumps(model.to_dictionary(), sort_keys=True))
        return (*told, *(file.text for file in files), listed, len(under))


@pytest.fixture
def theirs(client: Client, tmp_path: Path) -> Theirs:
    folder = tmp_path / "model"
    folder.mkdir()
    return Theirs(client, folder)


def test_no_request_of_one_run_changes_what_is_another_s(theirs: Theirs, client: Client, server: str) -> None:
    from mlflow.entities import LoggedModelOutput, Metric, RunTag
    from mlflow.exceptions import MlflowException

    before = theirs.state(client, server)
    steps, run, own, model = client(OURS), theirs.run, theirs.own, theirs.model
    attacks: dict[str, Callable[[], Any]] = {
        "a metric": lambda: steps.log_metric(run, "loss", 0.0),
        "a parameter": lambda: steps.log_param(run, "x", "1"),
        "a tag": lambda: steps.set_tag(run, "sluice.winner", "forged"),
        "a tag away": lambda: steps.delete_tag(run, "sluice.run"),
        "many": lambda: steps.log_batch(run, metrics=[Metric("loss", 0.0, 1, 1)], tags=[RunTag("x", "1")]),
        "its end": lambda: steps.set_terminated(run, "FAILED"),
        "its name": lambda: steps.update_run(run, name="forged"),
        "itself away": lambda: steps.delete_run(run),
        "itself again": lambda: steps.restore_run(run),
        "an input": lambda: steps.log_inputs(run, datasets=[]),
        "an output": lambda: steps.log_outputs(run, [LoggedModelOutput(theirs.own_model, 0)]),
        "its model as ours": lambda: steps.log_outputs(own, [LoggedModelOutput(model, 0)]),
        "a metric of its model": lambda: steps.log_metric(own, "loss", 0.0, model_id=model),
        "metrics of its model": lambda: steps.log_batch(own, metrics=[Metric("l", 0.0, 1, 1, model_id=model)]),
        "a file": lambda: steps.log_text(run, "forged", "note.txt"),
        "a new file": lambda: steps.log_text(run, "forged", "forged.txt"),
        "a model's file": lambda: steps.log_model_artifacts(model, str(theirs.folder)),
        "a model's end": lambda: steps.finalize_logged_model(model, "READY"),
        "a model's tag": lambda: steps.set_logged_model_tags(model, {"x": "1"}),
        "a model's parameter": lambda: steps.log_model_params(model, {"x": "1"}),
        "a model in its name": lambda: steps.create_logged_model(theirs.experiment, source_run_id=run),
        "a run in its name": lambda: steps.create_run(theirs.experiment, tags={"sluice.run": THEIRS}),
        "a run in KFP's name": lambda: steps.create_run(theirs.experiment, tags={"kfp.pipeline_run_id": THEIRS}),
        "a run under it": lambda: steps.create_run(theirs.experiment, tags={"mlflow.parentRunId": run}),
        "our run as its": lambda: steps.set_tag(own, "sluice.run", THEIRS),
        "our run as its in many": lambda: steps.log_batch(own, tags=[RunTag("kfp.pipeline_run_id", THEIRS)]),
        "our run as nobody's": lambda: steps.delete_tag(own, "sluice.run"),
        "our run under it": lambda: steps.set_tag(own, "mlflow.parentRunId", run),
        "our model as its": lambda: steps.set_logged_model_tags(theirs.own_model, {"sluice.run": THEIRS}),
        "traces for it": lambda: steps.link_traces_to_run(["tr-1"], run),
    }
    for what, attack in attacks.items():
        with pytest.raises((MlflowException, requests.HTTPError, OSError), match=r"may not|403"):
            attack()
        Sender.run = OURS
        assert client(OURS) is not None, what
    assert theirs.state(client, server) == before


def raw(server: str, method: str, path: str, body: Any = None, run: str = OURS) -> int:
    """The status of a request whose path is sent as it stands."""
    session = requests.Session()
    request = requests.Request(method, server, headers={"X-Sluice-Run": run}, auth=STEPS).prepare()
    request.prepare_body(body if isinstance(body, bytes) else None, None, None if isinstance(body, bytes) else body)
    request.url = server + path
    return session.send(request, timeout=20).status_code


def test_no_spelling_leads_past_the_owner(theirs: Theirs, client: Client, server: str) -> None:
    before = theirs.state(client, server)
    run, own, api = theirs.run, theirs.own, "/api/2.0/mlflow"
    tag = {"key": "sluice.forged", "value": "1"}
    documents = {
        "another name of the field": ("runs/set-tag", {"run_uuid": run, **tag}),
        "JSON's name of the field": ("runs/set-tag", {"runId": run, **tag}),
        "two names": ("runs/set-tag", {"run_id": own, "run_uuid": run, **tag}),
        "two spellings": ("runs/set-tag", {"run_id": own, "runId": run, **tag}),
        "half a message": ("runs/set-tag", {"run_id": run, "value": {}, "key": "x"}),
        "a list": ("runs/set-tag", [{"run_id": run, **tag}]),
        "no run": ("runs/set-tag", tag),
        "JSON in JSON": ("runs/set-tag", json.dumps({"run_id": run, **tag})),
        "another case": ("Runs/Set-Tag", {"run_id": run, **tag}),
        "two slashes": ("runs//set-tag", {"run_id": run, **tag}),
        "percent signs": ("runs/set%2Dtag", {"run_id": run, **tag}),
        "MLflow's pages": ("../../../ajax-api/2.0/mlflow/runs/set-tag", {"run_id": run, **tag}),
        "an address to upload to": ("artifacts/presigned-upload-url", {"run_id": run, "path": "note.txt"}),
        "GraphQL": ("../../../graphql", {"query": "{}"}),
        "a model in JSON's name": ("logged-models", {"experiment_id": theirs.experiment, "sourceRunId": run}),
        "a body that names another": (f"logged-models/{theirs.own_model}", {"model_id": theirs.model, "status": 2}),
    }
    for what, (place, body) in documents.items():
        method = "PATCH" if "body that names" in what else "POST"
        assert raw(server, method, f"{api}/{place}", body) in (400, 403, 404, 405), what
    twice = f'{{"run_id": "{own}", "run_id": "{run}", "key": "x", "value": "1"}}'.encode()
    assert raw(server, "POST", f"{api}/runs/set-tag", twice) == 403
    assert raw(server, "POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=note.txt", b"forged") == 403
    assert raw(server, "POST", "/v1/traces", b"forged") in (403, 404)
    files, theirs_, ours = "/api/2.0/mlflow-artifacts", f"{theirs.experiment}/{run}", f"{theirs.experiment}/{own}"
    paths = {
        f"{theirs_}/artifacts/note.txt",
        f"{theirs.experiment}//{run}/artifacts/note.txt",
        f"{ours}/artifacts/../../{run}/artifacts/note.txt",
        f"{ours}/artifacts/..%2f..%2f{run}/artifacts/note.txt",
        f"{ours}/artifacts/%252e%252e/%252e%252e/{run}/artifacts/note.txt",
        f"{theirs.experiment}/%25{ord(run[0]):x}{run[1:]}/artifacts/note.txt",
        f"{theirs.experiment}%252f{run}%252fartifacts%252fx/{own}/artifacts/note.txt",
        f"{theirs_}%2fartifacts%2fnote.txt",
        f"{theirs_}/artifacts/a%0a/{own}/artifacts/note.txt",
        f"{theirs_}/artifacts/{own}/artifacts/note.txt",
        f"{theirs.experiment}/models/{theirs.model}/artifacts/{FILE}",
        "note.txt",
        f"file:{theirs_}/artifacts/note.txt",
    }
    for path in paths:
        assert raw(server, "PUT", f"{files}/artifacts/{path}", b"forged") in (400, 403, 404), path
        for step in ("create", "complete", "abort"):
            assert raw(server, "POST", f"{files}/mpu/{step}/{path}", {"path": "note.txt"}) in (400, 403, 404), path
    assert theirs.state(client, server) == before


def test_a_run_writes_its_own(theirs: Theirs, client: Client, server: str, tmp_path: Path) -> None:
    from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag

    steps, own, model = client(OURS), theirs.own, theirs.own_model
    steps.log_metric(own, "loss", 1.0, model_id=model)
    steps.log_param(own, "x", "1")
    steps.set_tag(own, "sluice.run", OURS)  # as our steps say it again
    steps.set_tag(own, "x", "1")
    steps.delete_tag(own, "x")
    steps.log_batch(own, [Metric("l", 0.5, 1, 1)], [Param("y", "2")], [RunTag("sluice.winner", "a")])
    steps.log_text(own, "kept", "notes/ä 100%.txt")
    steps.log_text(own, "kept", "note.txt")
    steps.log_outputs(own, [LoggedModelOutput(model, 0)])
    steps.log_inputs(own, datasets=[])
    steps.log_model_artifacts(model, str(theirs.folder))
    steps.set_logged_model_tags(model, {"x": "1"})
    steps.log_model_params(model, {"x": "1"})
    steps.finalize_logged_model(model, "READY")
    child = steps.create_run(theirs.experiment, tags={"mlflow.parentRunId": own}).info.run_id
    steps.set_terminated(child, "FINISHED")
    steps.delete_run(child)
    steps.restore_run(child)
    assert client("", ADMIN).get_run(child).data.tags["sluice.run"] == OURS
    assert client("", ADMIN).get_logged_model(model).tags["sluice.run"] == OURS
    steps = client(OURS)
    assert [each.path for each in steps.list_artifacts(own, "notes")] == ["notes/ä 100%.txt"]
    assert steps.search_runs([theirs.experiment], f"attributes.run_id = '{theirs.run}'")
    assert Path(steps.download_artifacts(theirs.run, "note.txt", str(tmp_path))).read_text() == "first"
    place = f"/api/2.0/mlflow-artifacts/mpu/create/{theirs.experiment}/{own}/artifacts"
    assert raw(server, "POST", place, {"path": "weights", "num_parts": 1}) not in (401, 403)


def test_a_step_of_your_own_needs_to_know_nothing_of_it(client: Client) -> None:
    """Plain MLflow: the server itself says whose its run is."""
    import mlflow

    client(OURS)
    mlflow.set_experiment("of-your-own")
    with mlflow.start_run(run_name="plain") as run:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_params({"a": 1})
        mlflow.log_text("kept", "note.txt")
        with mlflow.start_run(nested=True):
            mlflow.set_tag("x", "1")
    with mlflow.start_run(run_id=run.info.run_id):  # of a step that runs after it
        mlflow.log_metric("loss", 0.4, step=1)
    found = client("", ADMIN).get_run(run.info.run_id)
    assert (found.data.tags["sluice.run"], found.info.status) == (OURS, "FINISHED")


def test_the_register_step_makes_versions_and_writes_into_no_other_run(theirs: Theirs, client: Client) -> None:
    from mlflow.exceptions import MlflowException

    register = client(OURS, REGISTER)
    register.log_metric(theirs.own, "loss", 0.5)
    register.create_registered_model("owned")
    source = register.get_run(theirs.own).info.artifact_uri
    version = register.create_model_version("owned", source, theirs.own).version
    register.set_registered_model_alias("owned", "champion", version)
    with pytest.raises(MlflowException, match=f"may not write into MLflow's run {theirs.run}"):
        register.log_metric(theirs.run, "loss", 0.0)


def test_a_run_that_a_command_or_kfp_opened_for_it_is_its_own(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sluice submit` names it before the first step, KFP's plugin tags it; they do not come through the gateway."""
    from mlflow.exceptions import MlflowException

    experiment = client("").create_experiment("opened")
    for tag in ("sluice.run", "kfp.pipeline_run_id"):
        opened = client("").create_run(experiment, tags={tag: OURS}).info.run_id
        client(OURS).log_metric(opened, "loss", 0.5)
        child = client(OURS).create_run(experiment, tags={"mlflow.parentRunId": opened}).info.run_id
        with pytest.raises(MlflowException, match="belongs to run run-ours; this is pipeline run run-theirs"):
            client(THEIRS).log_metric(opened, "loss", 0.0)
        client("").set_terminated(child, "KILLED")  # as `sluice cancel` ends what nobody else can
    alone = client("").create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", alone)
    client(OURS)
    with pytest.raises(TrackingFault, match=r"MLflow at \S+ refuses: .*belongs to no pipeline run"), tracked_run("x"):
        pass
    monkeypatch.delenv("MLFLOW_RUN_ID")
    with pytest.raises(MlflowException, match="belongs to no pipeline run"):
        client(OURS).log_metric(alone, "loss", 0.0)


def test_our_own_steps_track_what_a_command_announced(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    own = "run-announced"  # no other test's: a run that is there already is gone on with
    for name, value in {"SLUICE_RUN": own, "SLUICE_PIPELINE": "flights"}.items():
        monkeypatch.setenv(name, value)
    client("")
    opened = find_or_open(mlflow, "named by a person")
    client(own)
    with tracked_run("train") as run:
        with child_run("a", {CANDIDATE_TAG: "a"}) as child:
            mlflow.log_metric("loss", 0.5)
        log_parameters(mlflow.MlflowClient(), run, {"train.x": 1})
    assert run == opened
    _log(mlflow.MlflowClient(), child, {"test_loss": 0.5}, {"sluice.winner": "true"})
    mlflow.MlflowClient().log_text(run, "kept", "report.html")
    finish_pipeline_run()
    found = client("", ADMIN).get_run(run)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "named by a person")
    assert client("", ADMIN).get_run(child).info.status == "FINISHED"
    client(own)
    fail_pipeline_run("evaluate", ValueError("broken"))
    assert client("", ADMIN).get_run(run).info.status == "FAILED"


def test_traces_belong_to_the_run_that_made_them(theirs: Theirs, client: Client, server: str) -> None:
    def trace(name: str, run: str, source: str = "") -> int:
        info: dict[str, Any] = {"trace_id": name, "state": "OK", "request_time": "2026-11-26T00:00:00Z"}
        info["trace_location"] = {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": theirs.experiment},
        }
        info["trace_metadata"] = {"mlflow.sourceRun": source} if source else {}
        return raw(server, "POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}}, run)

    client(OURS)
    ours, others = "tr-" + "a" * 32, "tr-" + "b" * 32
    assert trace(others, THEIRS, theirs.run) == 200
    assert trace(ours, OURS) == 200
    assert trace(ours, OURS) in (200, 400)
    for attempt in (
        partial(trace, others, OURS),
        partial(trace, "tr-" + "c" * 32, OURS, theirs.run),
        partial(raw, server, "PATCH", f"/api/3.0/mlflow/traces/{others}/tags", {"key": "x", "value": "1"}),
        partial(raw, server, "POST", f"/api/3.0/mlflow/traces/{others}/assessments", {}),
        partial(raw, server, "PUT", artifact(theirs.experiment, others), b"forged"),
        partial(raw, server, "PATCH", f"/api/3.0/mlflow/traces/{ours}/tags", {"key": "sluice.run", "value": THEIRS}),
    ):
        assert attempt() == 403
    assert raw(server, "PATCH", f"/api/3.0/mlflow/traces/{ours}/tags", {"key": "x", "value": "1"}) == 200
    assert raw(server, "PUT", artifact(theirs.experiment, ours), b"{}") == 200


def artifact(experiment: str, trace: str) -> str:
    return quote(f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/traces/{trace}/artifacts/traces.json")


def test_two_words_of_the_gateway_and_an_endless_document_go_nowhere(client: Client, server: str) -> None:
    import http.client

    client(OURS)
    host = server.partition("://")[2]
    for headers in ((OURS, THEIRS), ("",)):
        way = http.client.HTTPConnection(host, timeout=20)
        way.putrequest("POST", "/api/2.0/mlflow/runs/create")
        way.putheader("Authorization", requests.auth._basic_auth_str(*STEPS))
        for header in headers:
            way.putheader("X-Sluice-Run", header)
        way.putheader("Content-Length", "2")
        way.endheaders(b"{}")
        assert way.getresponse().status == 403
    assert raw(server, "POST", "/api/2.0/mlflow/runs/create", b" " * (65 << 20)) == 413


class Nothing:
    """Records of nobody."""

    def run(self, run: str) -> str:
        return ""

    def model(self, model: str) -> str:
        return ""

    def trace(self, trace: str) -> str | None:
        return None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_mlflow_learns_to_do_is_refused_until_it_is_known(method: str) -> None:
    """Each writing address of this MLflow is let through by name, or refused."""
    from mlflow.server.handlers import get_endpoints

    passing = set()
    for path, _, methods in get_endpoints():
        if method in methods and path.startswith("/api/") and "<" not in path:
            try:
                Guard(OURS, Nothing()).document(method, path, b"{}")
                passing.add(path.partition("/mlflow/")[2])
            except Refused:
                pass
    changing = {name for name in passing if not name.startswith(("registered-models/", "model-versions/"))}
    assert changing <= {
        "runs/create",
        "runs/search",
        "logged-models",
        "logged-models/search",
        "experiments/create",
        "experiments/update",
        "experiments/restore",
        "experiments/search",
        "experiments/set-experiment-tag",
        "artifacts/presigned-download-url",
        "traces",
        "traces/search",
        "traces/batchGetInfos",
        "traces/metrics",
        "traces/calculate-filter-correlation",
    }
