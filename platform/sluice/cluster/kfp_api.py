"""What Sluice asks of KFP's API, version v2beta1, with errors in one line.

Source: kubeflow/pipelines, backend/api/v2beta1, read at 2.14.3 and 2.17.0. The message of a workflow's node, and with
it the reason why a step failed, is told by v1beta1 alone, in `pipeline_runtime.workflow_manifest`; both serve it.
"""

import base64
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.cluster.spec import ClusterSpec
from sluice.core.addresses import without_login
from sluice.core.errors import BadInput, EnvironmentFault

TIMEOUT = (5, 30)  # seconds to connect, seconds to answer
CHOICES_SINCE = (2, 16)
PAGE = 100
ENDED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})


@dataclass(frozen=True)
class Run:
    """A run as KFP tells it.

    Attributes:
        id: Its id.
        name: Its display name.
        state: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELED`, ... or empty before the first.
        error: KFP's own words about a failure, or empty.
        manifest: Argo's Workflow with the status of every node; empty before it was first reported.
    """

    id: str
    name: str
    state: str
    error: str
    manifest: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ENDED


@dataclass(frozen=True)
class Listed:
    """A run in a list.

    Attributes:
        id: Its id.
        name: Its display name.
        state: As `Run.state`.
        created: UTC, ISO 8601.
        seconds: From start to end; None until its end.
        description: As it was begun with.
    """

    id: str
    name: str
    state: str
    created: str
    seconds: float | None
    description: str = ""


class KfpApi:
    """The API of one KFP server."""

    def __init__(self, url: str) -> None:
        """Nothing is sent yet.

        Args:
            url: E.g. `http://127.0.0.1:8888`. A login in it goes into a header, where no message quotes it.
        """
        import kfp_server_api as api

        self.url, login = without_login(url)
        configuration = api.Configuration(host=self.url)
        configuration.retries = _retries()
        self._client = api.ApiClient(configuration)
        if login:
            basic = base64.b64encode(":".join(login).encode()).decode()
            self._client.set_default_header("Authorization", f"Basic {basic}")
        self._runs = api.RunServiceApi(self._client)
        self._pipelines = api.PipelineServiceApi(self._client)
        self._uploads = api.PipelineUploadServiceApi(self._client)
        self._experiments = api.ExperimentServiceApi(self._client)

    def version(self) -> str:
        """The server's version, or a word such as `unknown` where it was built without one."""
        return str(self._get("/apis/v2beta1/healthz").get("tag_name") or "unknown")

    def takes_choices(self) -> bool:
        """Whether the server knows `literals`: one before 2.16 refuses a spec that has a field it does not know."""
        numbers = re.match(r"v?(\d+)\.(\d+)", self.version())
        return numbers is not None and tuple(map(int, numbers.groups())) >= CHOICES_SINCE

    def pipeline(self, name: str) -> str | None:
        """The id of the pipeline of a name, or None."""
        with self._answers():
            found = self._pipelines.pipeline_service_list_pipelines(filter=_named(name), _request_timeout=TIMEOUT)
        return next((str(entry.pipeline_id) for entry in found.pipelines or []), None)

    def versions(self, pipeline: str) -> dict[str, str]:
        """The ids of a pipeline's versions by their names."""
        found: dict[str, str] = {}
        token = ""
        while True:
            with self._answers():
                page = self._pipelines.pipeline_service_list_pipeline_versions(
                    pipeline, page_size=PAGE, page_token=token, _request_timeout=TIMEOUT
                )
            found |= {str(entry.display_name): str(entry.pipeline_version_id) for entry in page.pipeline_versions or []}
            token = page.next_page_token or ""
            if not token:
                return found

    def create_pipeline(self, spec: ClusterSpec) -> str:
        """Make an empty pipeline; its id."""
        import kfp_server_api as api

        body = api.V2beta1Pipeline(name=spec.name, display_name=spec.name, description=spec.description)
        with self._answers():
            made = self._pipelines.pipeline_service_create_pipeline(body, _request_timeout=TIMEOUT)
        return str(made.pipeline_id)

    def upload_version(self, pipeline: str, spec: ClusterSpec) -> str:
        """Add a version to a pipeline; its id."""
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(spec.to_yaml(), encoding="utf-8")
            with self._answers():
                made = self._uploads.upload_pipeline_version(
                    str(path),
                    name=spec.version,
                    pipelineid=pipeline,
                    description=spec.description,
                    _request_timeout=TIMEOUT,
                )
        return str(made.pipeline_version_id)

    def experiment(self, name: str) -> str:
        """The id of the experiment of a name, made where it is not there."""
        import kfp_server_api as api

        with self._answers():
            found = self._experiments.experiment_service_list_experiments(filter=_named(name), _request_timeout=TIMEOUT)
            if found.experiments:
                return str(found.experiments[0].experiment_id)
            body = api.V2beta1Experiment(display_name=name)
            made = self._experiments.experiment_service_create_experiment(body, _request_timeout=TIMEOUT)
        return str(made.experiment_id)

    def newest_version(self, pipeline: str) -> str | None:
        """The id of a pipeline's newest version, or None where it has none."""
        with self._answers():
            page = self._pipelines.pipeline_service_list_pipeline_versions(
                pipeline, page_size=1, sort_by="created_at desc", _request_timeout=TIMEOUT
            )
        return next((str(entry.pipeline_version_id) for entry in page.pipeline_versions or []), None)

    def spec(self, pipeline: str, version: str) -> dict[str, Any]:
        """The spec of a pipeline's version, without the platform's.

        Raises:
            BadInput: There is none of these ids.
        """
        with self._answers():
            told = self._pipelines.pipeline_service_get_pipeline_version(pipeline, version, _request_timeout=TIMEOUT)
        whole = dict(told.pipeline_spec or {})
        return dict(whole.get("pipeline_spec", whole))

    def create_run(
        self,
        name: str,
        experiment: str,
        what: dict[str, Any] | tuple[str, str],
        parameters: Mapping[str, Any],
        description: str = "",
    ) -> str:
        """Start a run.

        Args:
            name: What people see.
            experiment: The experiment's id.
            what: Both specs, as `ClusterSpec.documents` gives them, or the ids of a pipeline and of its version.
            parameters: Values by name; defaults stand for the rest.
            description: Why, for people.

        Returns:
            The run's id.
        """
        import kfp_server_api as api

        body = api.V2beta1Run(display_name=name, experiment_id=experiment, description=description or None)
        body.runtime_config = api.V2beta1RuntimeConfig(parameters=dict(parameters))
        if isinstance(what, tuple):
            pipeline, version = what
            body.pipeline_version_reference = api.V2beta1PipelineVersionReference(
                pipeline_id=pipeline, pipeline_version_id=version
            )
        else:
            body.pipeline_spec = what
        with self._answers():
            return str(self._runs.run_service_create_run(body, _request_timeout=TIMEOUT).run_id)

    def run(self, run: str) -> Run:
        """A run as it stands.

        Raises:
            BadInput: There is none of this id.
        """
        with self._answers():
            told = self._runs.run_service_get_run(run, _request_timeout=TIMEOUT)
        error = str(told.error.message) if told.error and told.error.message else ""
        return Run(run, str(told.display_name), str(told.state or ""), error, self._manifest(run))

    def runs(self, most: int) -> list[Listed]:
        """The newest runs, of whichever pipeline, newest first."""
        found: list[Listed] = []
        token = ""
        while len(found) < most:
            with self._answers():
                page = self._runs.run_service_list_runs(
                    page_size=min(PAGE, most - len(found)),
                    page_token=token,
                    sort_by="created_at desc",
                    _request_timeout=TIMEOUT,
                )
            found += [_listed(entry) for entry in page.runs or []]
            token = page.next_page_token or ""
            if not token:
                break
        return found

    def runs_named(self, name: str) -> list[Listed]:
        """The runs of a name, oldest first; names are no keys for KFP, so there may be several."""
        with self._answers():
            page = self._runs.run_service_list_runs(
                page_size=PAGE, sort_by="created_at asc", filter=_named(name), _request_timeout=TIMEOUT
            )
        return [_listed(entry) for entry in page.runs or []]

    def listed(self, run: str) -> Listed:
        """A run as lists have it.

        Raises:
            BadInput: There is none of this id.
        """
        with self._answers():
            return _listed(self._runs.run_service_get_run(run, _request_timeout=TIMEOUT))

    def asked(self, run: str) -> tuple[str, dict[str, Any]]:
        """The name of the pipeline that a run runs, as its spec has it, and the parameters that it was given.

        Raises:
            BadInput: There is none of this id.
        """
        with self._answers():
            told = self._runs.run_service_get_run(run, _request_timeout=TIMEOUT)
        spec = told.pipeline_spec or {}
        info = dict(spec.get("pipeline_spec", spec)).get("pipelineInfo", {})
        given = told.runtime_config.parameters if told.runtime_config else None
        return str(info.get("name", "") or self._version_name(told)), dict(given or {})

    def _version_name(self, told: Any) -> str:  # noqa: ANN401 - the client's V2beta1Run
        """The name of the pipeline that a run refers to."""
        reference = told.pipeline_version_reference
        if not reference:
            return ""
        with self._answers():
            found = self._pipelines.pipeline_service_get_pipeline(reference.pipeline_id, _request_timeout=TIMEOUT)
        return str(found.display_name or found.name)

    def cancel(self, run: str) -> None:
        """End a run; its pods are ended too.

        Raises:
            BadInput: There is none of this id.
        """
        with self._answers():
            self._runs.run_service_terminate_run(run, _request_timeout=TIMEOUT)

    def _manifest(self, run: str) -> dict[str, Any]:
        text = self._get(f"/apis/v1beta1/runs/{run}").get("pipeline_runtime", {}).get("workflow_manifest")
        return dict(json.loads(text)) if text else {}

    def _get(self, path: str) -> dict[str, Any]:
        """What the generated client has no method for."""
        with self._answers():
            told, _, _ = self._client.call_api(path, "GET", response_type="object", _request_timeout=TIMEOUT)
        return dict(told or {})

    @contextmanager
    def _answers(self) -> Iterator[None]:
        from kfp_server_api.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ApiException as error:
            said = _words(error)
            if error.status in (400, 404, 409):
                raise BadInput(f"KFP at {self.url} refuses: {said}") from None
            raise EnvironmentFault(f"KFP at {self.url}: HTTP status {error.status}: {said}; see its log") from None
        except HTTPError as error:
            reason = str(getattr(error, "reason", error)).rpartition(": ")[2].strip("'\")")
            raise EnvironmentFault(f"KFP at {self.url} does not answer ({reason}); check that it runs") from None


def _retries() -> Any:  # noqa: ANN401 - urllib3's Retry, imported late
    """What only asks is asked again where the server failed: KFP does, once or twice, after its database was away."""
    from urllib3 import Retry

    return Retry(
        3,
        connect=0,
        read=0,
        other=0,
        allowed_methods=("GET",),
        status_forcelist=(500, 502, 503, 504),
        backoff_factor=0.25,
        raise_on_status=False,  # the last answer says more than how often it was asked for
    )


def _listed(entry: Any) -> Listed:  # noqa: ANN401 - the client's V2beta1Run
    ended = entry.finished_at if entry.finished_at and entry.finished_at.year > 1970 else None
    seconds = (ended - entry.created_at).total_seconds() if ended and entry.created_at else None
    created = entry.created_at.isoformat(timespec="seconds") if entry.created_at else ""
    words = str(entry.description or "")
    return Listed(str(entry.run_id), str(entry.display_name), str(entry.state or ""), created, seconds, words)


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})


def _words(error: Any) -> str:  # noqa: ANN401 - an ApiException
    """The server's own message in one line, without the trail of the functions that it went through."""
    try:
        text = str(json.loads(error.body)["error_message" if "error_message" in error.body else "message"])
    except (ValueError, KeyError, TypeError):
        text = str(error.body or error.reason)
    return " ".join(text.split())[:400]
