"""What a pipeline run may write in MLflow: into its own MLflow runs, models and traces, and nowhere else.

All steps share an account, so MLflow's permissions cannot tell one run from another. The gateway of runs' pods can, by
the address of the pod, and says it in a header that it takes from everybody else (`sluice.run_gateway`). A request with
that header is read here as MLflow reads it, by MLflow's own messages; what cannot be read, or is none of the writes
below, goes nowhere. What is handed on is written anew, so that nobody reads it in another way.

A run's owner is its tag `sluice.run`, which is set as the run is made, whoever makes it, and stays as it is. The runs
that KFP's plugin opens from KFP's API server have KFP's own tag instead.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from sluice.registry.pipeline_runs import KFP_TAG, PARENT_TAG, RUN_TAG

SOURCE_RUN = "mlflow.sourceRun"  # of a trace's metadata: the MLflow run that it was made in
ARTIFACTS = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu/(?:create|complete|abort))/(.+)")
_API = re.compile(r"/(?:ajax-)?api/([23]\.0)/mlflow/(.+)")
# Whose place it is says the first such part: an experiment may lie anywhere, also below another's.
_PLACE = re.compile(
    r"(?:[^/]+/)*?(?:([0-9a-f]{32})|models/(m-[0-9a-f]{32})|traces/(tr-[0-9a-f]+))/artifacts(?:/.+)?", re.DOTALL
)
_REGISTRY = ("registered-models/", "model-versions/")  # `limits` says who may what there
# What changes no run, though it is no GET.
_PASSING = re.compile(
    r"(experiments|runs|logged-models|traces)/search|experiments/(search-datasets|create|update|restore"
    r"|set-experiment-tag)|traces/(batchGetInfos|metrics|calculate-filter-correlation)"
    r"|artifacts/presigned-download-url|metrics/get-history-bulk"
)
_INTO_A_RUN = {
    "runs/update": "UpdateRun",
    "runs/delete": "DeleteRun",
    "runs/restore": "RestoreRun",
    "runs/log-metric": "LogMetric",
    "runs/log-parameter": "LogParam",
    "runs/set-tag": "SetTag",
    "runs/delete-tag": "DeleteTag",
    "runs/log-batch": "LogBatch",
    "runs/log-model": "LogModel",
    "runs/log-inputs": "LogInputs",
    "runs/outputs": "LogOutputs",
    "traces/link-to-run": "LinkTracesToRun",
}
_INTO_A_MODEL = {
    ("PATCH", ""): "FinalizeLoggedModel",
    ("PATCH", "/tags"): "SetLoggedModelTags",
    ("POST", "/params"): "LogLoggedModelParamsRequest",
}
_MODEL = re.compile(r"logged-models/([^/]+)(/tags|/params|)")
_TRACE_TAGS = re.compile(r"traces/([^/]+)/tags")


class Refused(Exception):
    """Why a request is not handed on, in a few words."""


class Records(Protocol):
    """What MLflow keeps; each answer is the run of KFP's that a thing belongs to, empty where it is nobody's."""

    def run(self, run: str) -> str:
        """Of an MLflow run."""
        ...

    def model(self, model: str) -> str:
        """Of a logged model."""
        ...

    def trace(self, trace: str) -> str | None:
        """Of a trace; None where there is none of that id."""
        ...


@dataclass(frozen=True)
class Guard:
    """The writes of one run.

    Attributes:
        owner: KFP's id of it.
        records: What MLflow keeps.
    """

    owner: str
    records: Records

    def artifact(self, path: str) -> None:
        """Let a file be written.

        Args:
            path: Below MLflow's artifacts, decoded once, as it came.

        Raises:
            Refused: It lies in no run, model or trace of the owner's.
        """
        plain = path
        while (again := unquote(plain)) != plain:  # MLflow decodes it again
            plain = again
        for text in {path, plain}:
            found = _PLACE.fullmatch(text)
            if not found or {"", ".", ".."} & set(text.split("/")) or ":" in text.split("/")[0] or "\\" in text:
                raise Refused(f"may write files of runs, logged models and traces alone, not {path!r}")
            run, model, trace = found.groups()
            self._own_run(run) if run else self._own_model(model) if model else self._own_trace(trace, new=False)

    def document(self, method: str, path: str, body: bytes) -> bytes:
        """Let anything else be written.

        Args:
            method: HTTP's, in capitals.
            path: Decoded once, as it came.
            body: JSON.

        Returns:
            What to hand on.

        Raises:
            Refused: It changes what is not the owner's, or is nothing that a run needs.
        """
        found = _API.fullmatch(path)
        version, place = found.groups() if found else ("", "")
        if place.startswith(_REGISTRY) or (method == "POST" and _PASSING.fullmatch(place)):
            return body
        said = _read(body)
        if method == "POST" and place in _INTO_A_RUN:
            self._into_a_run(_message(_INTO_A_RUN[place], said))
        elif (method, place) == ("POST", "runs/create"):
            self._tags(_pairs(_message("CreateRun", said).tags))
            _add_tag(said, self.owner)
        elif (method, place) == ("POST", "logged-models"):
            self._new_model(said)
        elif (model := _MODEL.fullmatch(place)) and (method, model[2]) in _INTO_A_MODEL:
            self._into_a_model(model[1], _message(_INTO_A_MODEL[method, model[2]], said))
        elif (method, version, place) == ("POST", "3.0", "traces"):
            said = self._new_trace(said)
        elif method == "PATCH" and (trace := _TRACE_TAGS.fullmatch(place)):
            self._own_trace(trace[1], new=False)
            message = _message("SetTraceTagV3", said)
            self._tags([(message.key, message.value)])
        else:
            raise Refused(f"may not {method} {path!r}: it is nothing that a run needs")
        return json.dumps(said).encode()

    def _into_a_run(self, message: Any) -> None:  # noqa: ANN401 - one of MLflow's messages
        named = {getattr(message, field, "") for field in ("run_id", "run_uuid")} - {""}
        for run in named:
            self._own_run(run)
        if not named:
            raise Refused("names no run")
        kind = type(message).__name__
        self._tags(_pairs(getattr(message, "tags", ())))
        if kind in ("SetTag", "DeleteTag"):
            self._tags([(message.key, message.value if kind == "SetTag" else None)])
        # A metric can be a model's, too; and what a run read (LogInputs) may be anybody's.
        with_model = [message, *getattr(message, "metrics", ()), *(message.models if kind == "LogOutputs" else ())]
        for model in {getattr(entry, "model_id", "") for entry in with_model} - {""}:
            self._own_model(model)
        for trace in getattr(message, "trace_ids", ()):
            self._own_trace(trace, new=False)

    def _new_model(self, said: dict[str, Any]) -> None:
        message = _message("CreateLoggedModel", said)
        if message.source_run_id:
            self._own_run(message.source_run_id)
        self._tags(_pairs(message.tags))
        _add_tag(said, self.owner)

    def _into_a_model(self, named: str, message: Any) -> None:  # noqa: ANN401 - one of MLflow's messages
        for model in {named, message.model_id} - {""}:  # of the two MLflow takes the one here, the other there
            self._own_model(model)
        self._tags(_pairs(getattr(message, "tags", ())))

    def _new_trace(self, said: dict[str, Any]) -> dict[str, Any]:
        from google.protobuf.json_format import MessageToDict

        message = _message("StartTraceV3", said)
        info = message.trace.trace_info
        self._own_trace(info.trace_id, new=True)
        if source := info.trace_metadata.get(SOURCE_RUN, ""):
            self._own_run(source)
        self._tags(info.tags.items())
        info.tags[RUN_TAG] = self.owner
        written: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
        return written

    def _tags(self, tags: Iterable[tuple[str, str | None]]) -> None:
        """Let tags be set, or be taken away (None)."""
        for key, value in tags:
            if key in (RUN_TAG, KFP_TAG) and value != self.owner:
                raise Refused(f"may not change the tag {key}, which says whose a run is")
            if key == PARENT_TAG and value:
                self._own_run(value)

    def _own_run(self, run: str) -> None:
        self._own(f"run {run}", self.records.run(run))

    def _own_model(self, model: str) -> None:
        self._own(f"logged model {model}", self.records.model(model))

    def _own_trace(self, trace: str, *, new: bool) -> None:
        owner = self.records.trace(trace)
        if owner is not None or not new:
            self._own(f"trace {trace}", owner or "")

    def _own(self, what: str, owner: str) -> None:
        if owner != self.owner:
            whose = f"belongs to run {owner}" if owner else "belongs to no pipeline run"
            raise Refused(f"may not write into MLflow's {what}, which {whose}; this is pipeline run {self.owner}")


class Kept:
    """MLflow's own store, asked; what was found of a run holds for a minute, since its owner does not change."""

    SECONDS, MOST = 60.0, 4096

    def __init__(self, store: Callable[[], Any], clock: Callable[[], float]) -> None:
        """Nothing is asked yet.

        Args:
            store: Gives MLflow's tracking store.
            clock: Seconds.
        """
        self._store, self._clock = store, clock
        self._known: dict[str, tuple[float, str]] = {}

    def run(self, run: str) -> str:
        """See `Records.run`."""
        until, owner = self._known.get(run, (0.0, ""))
        if until > self._clock():
            return owner
        found = self._asked(lambda store: store.get_run(run))
        owner = _owner(found.data.tags) if found else ""
        if owner:
            if len(self._known) >= self.MOST:
                self._known.clear()
            self._known[run] = (self._clock() + self.SECONDS, owner)
        return owner

    def model(self, model: str) -> str:
        """See `Records.model`."""
        found = self._asked(lambda store: store.get_logged_model(model))
        if not found:
            return ""
        return _owner(found.tags) or (self.run(found.source_run_id) if found.source_run_id else "")

    def trace(self, trace: str) -> str | None:
        """See `Records.trace`."""
        found = self._asked(lambda store: store.get_trace_info(trace))
        if not found:
            return None
        source = found.trace_metadata.get(SOURCE_RUN, "")
        return _owner(found.tags) or (self.run(source) if source else "")

    def _asked(self, ask: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - one of MLflow's entities
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            return ask(self._store())
        except MlflowException as error:
            if error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)):
                return None
            raise


def _owner(tags: Mapping[str, str]) -> str:
    return tags.get(RUN_TAG) or tags.get(KFP_TAG) or ""


def _read(body: bytes) -> dict[str, Any]:
    """A body as MLflow reads it: JSON, or JSON in a string, as its old clients send."""
    try:
        said = json.loads(body or b"{}")
        said = json.loads(said) if isinstance(said, str) else said
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Refused("sent no JSON object")
    return said


def _message(name: str, said: dict[str, Any]) -> Any:  # noqa: ANN401 - one of MLflow's messages
    """The message that MLflow's handler will read the same from."""
    from google.protobuf.json_format import ParseError
    from mlflow.exceptions import MlflowException
    from mlflow.protos import service_pb2
    from mlflow.server.handlers import _reject_conflicting_field_aliases
    from mlflow.utils.proto_json_utils import parse_dict

    message = getattr(service_pb2, name)()
    try:
        _reject_conflicting_field_aliases(said, message.DESCRIPTOR)
        parse_dict(said, message)
    except (ParseError, MlflowException, RecursionError):
        raise Refused(f"sent no message {name} that MLflow can read whole") from None
    return message


def _pairs(tags: Iterable[Any]) -> list[tuple[str, str | None]]:
    return [(tag.key, tag.value) for tag in tags]


def _add_tag(said: dict[str, Any], owner: str) -> None:
    """Say in a new thing whose it is, once."""
    others = [tag for tag in said.get("tags") or [] if tag.get("key") != RUN_TAG]
    said["tags"] = [*others, {"key": RUN_TAG, "value": owner}]
