"""What a real Kubernetes API server takes of the operator's resources, and what it refuses, held to the models."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sluice.operator.parts import API_VERSION
from sluice.operator.specs import SPECS
from sluice.operator.state import State
from tests.charts.api_server import NAMESPACE, ApiServer

pytestmark = pytest.mark.xdist_group("api_server")
Json = dict[str, Any]
NUMBERS = itertools.count()
TRAINING: Json = {"project": "flights", "model": "late", "triggers": [{"name": "new", "data": {"rows": 100}}]}
VALID: list[tuple[str, Json]] = [
    ("Project", {"code": "a" * 64, "pipelines": [{"name": "supervised", "parameters": {"shares": [0.7, 0.15, 0.15]}}],
                 "lakes": [{"name": "flights", "address": "s3://lake/flights"}]}),
    ("ContinuousTraining", TRAINING),
    ("ContinuousTraining", TRAINING | {"policy": "cost", "cost": {"perRun": 4, "perUnitLoss": 0.02}}),
    ("ContinuousTraining", TRAINING | {"triggers": [
        {"name": "night", "schedule": {"cron": "0 3 * * *", "timeZone": "Europe/Berlin", "missed": "all"}},
        {"name": "worse", "performance": {"metric": "roc_auc", "worse": 0.03}, "evidenceOnly": True},
        {"name": "up", "model": {"name": "other"}}, {"name": "moved", "drift": {}}, {"name": "told", "event": {}}]}),
    ("ContinuousTraining", TRAINING | {"promotion": {"by": "approval"}, "parameters": {"x": [1, {"deep": 2}]}}),
    ("ModelServer", {"model": "late@champion"}),
    ("Backfill", {"project": "flights", "parameter": "month", "first": "2013-01", "last": "2013-06"}),
    ("Request", {"action": "train", "target": "late", "parameters": {"rounds": 5}}),
    ("Request", {"action": "approve", "target": "late", "version": "3"}),
]  # fmt: skip
INVALID: list[tuple[str, Json, str]] = [
    ("ContinuousTraining", TRAINING | {"triggers": [{"name": "a", "data": {}, "event": {}}]}, "exactly one of"),
    ("ContinuousTraining", TRAINING | {"triggers": [{"name": "a"}]}, "exactly one of"),
    ("ContinuousTraining", TRAINING | {"triggers": [{"name": "a", "data": {}}, {"name": "a", "drift": {}}]}, "name"),
    ("ContinuousTraining", TRAINING | {"triggers": [{"name": "a", "data": {"age": "soon"}}]}, "age"),
    ("ContinuousTraining", TRAINING | {"policy": "cost"}, "cost.perRun"),
    ("ContinuousTraining", TRAINING | {"budget": {"perMonth": 3}}, "cost.perRun"),
    ("ContinuousTraining", TRAINING | {"budget": {"runsPerDay": -1}}, "runsPerDay"),
    ("ContinuousTraining", TRAINING | {"cooldown": "1 hour"}, "cooldown"),
    ("ContinuousTraining", {"model": "late"}, "project"),
    ("Project", {"code": "latest", "pipelines": [{"name": "supervised"}]}, "code"),
    ("Project", {"code": "a" * 64, "pipelines": []}, "pipelines"),
    ("Backfill", {"project": "flights", "parameter": "month"}, "partitions"),
    ("Backfill", {"project": "flights", "parameter": "month", "first": "2013-06", "last": "2013-01"}, "range"),
    ("Request", {"action": "approve", "target": "late"}, "version"),
    ("Request", {"action": "promote", "target": "late", "version": "3"}, "reason"),
    ("Request", {"action": "erase", "target": "late"}, "action"),
    ("ModelServer", {"model": "late", "autoscaling": {"by": "keda"}}, "prometheus"),
    ("ModelServer", {"model": "late", "autoscaling": {"min": 5, "max": 2}}, "max"),
    ("ModelServer", {"model": "late", "replicas": 0}, "replicas"),
]


@pytest.fixture(scope="module")
def api(operator_api: ApiServer) -> ApiServer:
    return operator_api


def resource(kind: str, spec: Json, name: str = "") -> Json:
    metadata = {"name": name or f"it-{next(NUMBERS)}", "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def test_the_server_takes_what_the_models_take(api: ApiServer) -> None:
    api.apply([resource(kind, spec) for kind, spec in VALID])
    for kind, spec in VALID:
        SPECS[kind].model_validate(spec)


def test_the_server_refuses_what_the_models_refuse(api: ApiServer) -> None:
    """Each one is refused by itself, in words that name what is wrong."""
    given = [resource(kind, spec, f"wrong-{number}-x") for number, (kind, spec, _) in enumerate(INVALID)]
    done = api.kubectl("create", "--filename=-", given=given)
    assert not done.stdout, done.stdout
    for number, (kind, spec, told) in enumerate(INVALID):
        said = done.stderr.partition(f'"wrong-{number}-x"')[2].partition("The ")[0]
        assert told in said, (kind, spec, done.stderr)
        with pytest.raises(ValidationError):
            SPECS[kind].model_validate(spec)


def test_defaults_of_the_server_are_those_of_the_models(api: ApiServer) -> None:
    given = [resource(kind, spec) for kind, spec in VALID]
    done = api.kubectl("create", "--filename=-", "--output=json", given=given)
    assert done.returncode == 0, done.stderr
    kept, text = [], done.stdout
    while text.strip():
        found, end = json.JSONDecoder().raw_decode(text.lstrip())
        kept += found.get("items", [found])
        text = text.lstrip()[end:]
    for (kind, spec), back in zip(VALID, kept, strict=True):
        assert SPECS[kind].model_validate(back["spec"]) == SPECS[kind].model_validate(spec), kind


def test_a_request_and_a_model_cannot_be_changed(api: ApiServer) -> None:
    api.apply([resource("Request", {"action": "train", "target": "late"}, "asked"), resource(*VALID[1], "late")])
    for kind, name, change in (("request", "asked", {"reason": "else"}), ("ct", "late", {"model": "other"})):
        patch = json.dumps({"spec": change})
        done = api.kubectl("patch", kind, name, f"--namespace={NAMESPACE}", "--type=merge", f"--patch={patch}")
        assert "cannot be changed" in done.stderr


def test_a_status_comes_back_as_it_was_and_later_names_are_kept(api: ApiServer, tmp_path: Path) -> None:
    from tests.unit.operator_worlds import lived_state

    state = lived_state()
    api.apply([resource(*VALID[1], "lived")])
    status = state.document() | {"ofALaterVersion": {"x": 1}}
    patch = tmp_path / "status.json"
    patch.write_text(json.dumps({"status": status}))
    words = ("patch", "ct", "lived", f"--namespace={NAMESPACE}")
    done = api.kubectl(*words, "--subresource=status", "--type=merge", f"--patch-file={patch}")
    assert done.returncode == 0, done.stderr
    kept = json.loads(api.kubectl("get", *words[1:], "--output=json").stdout)["status"]
    assert kept["ofALaterVersion"] == {"x": 1}
    assert State.of_status(kept) == state
    shown = api.kubectl("get", *words[1:]).stdout
    assert state.phase in shown
