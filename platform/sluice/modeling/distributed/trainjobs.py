"""The Kubernetes API, as far as a TrainJob takes it. The one module of the steps that imports `kubernetes`.

Objects are plain dictionaries, as the API writes them. Every call has a timeout, which `_answered` gives it, and is
tried again where that helps; a watch and a log, which go on as long as there is something to tell, have their own.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.modeling.distributed.specs import GROUP, RUNTIMES, TRAINJOBS, VERSION

Object = dict[str, Any]
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT = (5, 30)  # seconds to connect, and to wait for an answer
_LOG_TIMEOUT = (5, 120)  # a worker may have nothing to say for long
_RETRY_SECONDS = 60.0
_BUSY = (429, 502, 503, 504)
_PASSING = (*_BUSY, 500)  # a webhook that is not up yet answers 500
_WATCH_SECONDS = 240


class TrainJobs:
    """TrainJobs, their pods and their events in one namespace."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        """Nothing is sent yet.

        Args:
            api: A client with credentials.
            namespace: Of the step's pod, and so of its TrainJob.
        """
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self._policy = client.PolicyV1Api(api)
        self._namespace = namespace

    def own_pod(self) -> Object:
        """The pod that this runs in."""
        name = settings().system.pod
        return self._pod_call(self._core.read_namespaced_pod, name, what=f"pod {name}")

    def runtime(self, name: str) -> Object:
        """A TrainingRuntime.

        Raises:
            BadInput: There is none of that name; the message lists those that are there.
            EnvironmentFault: The cluster has no Kubeflow Trainer, or the API fails.
        """
        try:
            found: Object = self._custom_call("get", RUNTIMES, name)
        except ApiException as error:
            if error.status != 404:
                raise _fault(f"TrainingRuntime {name}", error) from None
            raise self._no_runtime(name) from None
        return found

    def create(self, body: Object) -> bool:
        """Create a TrainJob; whether it was created: False where it was there already.

        Raises:
            BadInput: Its content is refused.
            EnvironmentFault: Trainer's webhook did not answer in a minute, or the API failed.
        """
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                self._custom_call("create", TRAINJOBS, body)
                return True
            except ApiException as error:
                if error.status == 409 and _reason(error) == "AlreadyExists":
                    return False
                if error.status not in _PASSING:
                    raise _fault("the TrainJob", error) from None
                if time.monotonic() > deadline:
                    raise EnvironmentFault(
                        f"the TrainJob was not taken within {_RETRY_SECONDS:.0f} s: {_message(error)}; check that the "
                        "controllers of Kubeflow Trainer and JobSet run"
                    ) from None
                progress(f"the TrainJob is not taken yet ({_message(error)}); trying again")
                time.sleep(2)

    def get(self, name: str) -> Object | None:
        """A TrainJob, or None where there is none of that name."""
        try:
            found: Object = self._custom_call("get", TRAINJOBS, name)
            return found
        except ApiException as error:
            if error.status == 404:
                return None
            raise _fault(f"TrainJob {name}", error) from None

    def delete(self, name: str, seconds: float = 30.0) -> None:
        """Delete a TrainJob, with all that belongs to it, and wait until it is gone."""
        deadline = time.monotonic() + seconds
        # first of all, for who is being cancelled may have no time for a second request
        while self._delete(name) and self.get(name) is not None:
            if time.monotonic() > deadline:
                raise EnvironmentFault(f"TrainJob {name} is still there {seconds:.0f} s after it was deleted")
            time.sleep(0.5)

    def _delete(self, name: str) -> bool:
        try:
            self._custom_call("delete", TRAINJOBS, name, propagation_policy="Background")
            return True
        except ApiException as error:
            if error.status == 404:
                return False
            raise _fault(f"TrainJob {name}", error) from None

    def budget(self, name: str) -> Object | None:
        """The PodDisruptionBudget of a Workflow's pods, which has the Workflow's name; None where there is none."""
        try:
            return self._pod_call(self._policy.read_namespaced_pod_disruption_budget, name, f"budget {name}")
        except SluiceError:
            return None

    def give_to(self, name: str, owners: list[Object]) -> None:
        """Let a TrainJob that has ended live as long as one of `owners` does; where that fails, it says so."""
        try:
            patch = {"metadata": {"ownerReferences": owners}}
            self._custom_call("patch", TRAINJOBS, name, patch)
        except (ApiException, EnvironmentFault) as error:
            said = _message(error) if isinstance(error, ApiException) else error
            progress(f"TrainJob {name} goes when the run ends: {said}")

    def pods(self, name: str) -> list[Object]:
        """The pods of a TrainJob."""
        return self._list(self._core.list_namespaced_pod, label_selector=_selector(name))

    def watch_pods(self, name: str, seconds: int = _WATCH_SECONDS) -> Iterator[tuple[str, Object]]:
        """What happens to the pods of a TrainJob: `ADDED`, `MODIFIED` or `DELETED`, and the pod as it then was.

        The iterator ends after `seconds`, or when the connection breaks; call it again then.
        """
        stream = watch.Watch().stream(
            self._core.list_namespaced_pod,
            self._namespace,
            label_selector=_selector(name),
            timeout_seconds=seconds,
            _request_timeout=(_TIMEOUT[0], seconds + _TIMEOUT[1]),
        )
        try:
            for event in stream:
                yield str(event["type"]), dict(event["raw_object"])
        except (ApiException, HTTPError):
            return

    def warnings(self, name: str) -> list[Object]:
        """The warnings about a TrainJob, its JobSet and their Job, oldest first."""
        found = self._list(self._core.list_namespaced_event, field_selector="type=Warning")
        mine = [event for event in found if event["involvedObject"].get("name", "").startswith(name)]
        return sorted(mine, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))

    def log(self, pod: str) -> Iterator[str]:
        """The lines of a pod's log with their timestamps, until it ends or the connection breaks."""
        try:
            response = self._core.read_namespaced_pod_log(
                pod,
                self._namespace,
                follow=True,
                timestamps=True,
                _preload_content=False,
                _request_timeout=_LOG_TIMEOUT,
            )
            yield from _lines(response.stream(4096, decode_content=False))
        except (ApiException, HTTPError):
            return

    def _custom_call(self, verb: str, plural: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of any kind
        call = getattr(self._custom, f"{verb}_namespaced_custom_object")
        return _answered(call, GROUP, VERSION, self._namespace, plural, *arguments, **options)

    def _pod_call(self, call: Callable[..., Any], name: str, what: str) -> Object:
        try:
            response = _answered(call, name, self._namespace, _preload_content=False)
        except ApiException as error:
            raise _fault(what, error) from None
        body: Object = json.loads(response.data)
        return body

    def _list(self, call: Callable[..., Any], **options: Any) -> list[Object]:  # noqa: ANN401 - of any kind
        try:
            response = _answered(call, self._namespace, _preload_content=False, **options)
        except ApiException as error:
            raise _fault(f"namespace {self._namespace}", error) from None
        items: list[Object] = json.loads(response.data)["items"]
        return items

    def _no_runtime(self, name: str) -> BadInput | EnvironmentFault:
        try:
            items = self._custom_call("list", RUNTIMES)["items"]
        except ApiException as error:
            if error.status == 404:
                return EnvironmentFault(
                    "this cluster has no Kubeflow Trainer (no TrainingRuntimes): install it, or set runtime to 'local'"
                )
            return _fault("TrainingRuntimes", error)
        known = ", ".join(sorted(item["metadata"]["name"] for item in items)) or "none"
        return BadInput(f"runtime {name!r} is not in namespace {self._namespace}, which has {known}; or use 'local'")


def connect() -> TrainJobs:
    """The API of the cluster that this runs in.

    Raises:
        EnvironmentFault: The pod has no token of a ServiceAccount.
    """
    try:
        config.load_incluster_config()
    except ConfigException as error:
        raise EnvironmentFault(f"the step's pod cannot reach the Kubernetes API: {error}; mount its token") from None
    return TrainJobs(client.ApiClient(), _NAMESPACE.read_text(encoding="utf-8").strip())


def _selector(name: str) -> str:
    return f"jobset.sigs.k8s.io/jobset-name={name}"


def _answered(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - of any kind
    """The call's answer, tried again for a minute where the connection or the API server fails or says nothing."""
    deadline = time.monotonic() + _RETRY_SECONDS
    while True:
        try:
            return call(*arguments, **options, _request_timeout=_TIMEOUT)
        except (HTTPError, ApiException) as error:
            if isinstance(error, ApiException) and error.status not in _BUSY:
                raise
            if time.monotonic() > deadline:
                said = _message(error) if isinstance(error, ApiException) else str(error)
                raise EnvironmentFault(f"the Kubernetes API failed for {_RETRY_SECONDS:.0f} s: {said}") from None
            time.sleep(2)


def _lines(blocks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _fault(what: str, error: ApiException) -> BadInput | EnvironmentFault:
    said = _message(error)
    if error.status == 403:
        return EnvironmentFault(f"{what}: the step's ServiceAccount may not do that ({said}); see templates/trainer")
    if error.status == 404:
        return EnvironmentFault(f"{what}: {said}; install Kubeflow Trainer, or set runtime to 'local'")
    kind = BadInput if error.status in (400, 422) else EnvironmentFault
    return kind(f"{what}: {said}")


def _reason(error: ApiException) -> str:
    return str(_body(error).get("reason", ""))


def _message(error: ApiException) -> str:
    return str(_body(error).get("message") or error.reason)[:400]


def _body(error: ApiException) -> Object:
    try:
        body = json.loads(error.body)
    except (ValueError, TypeError):
        return {}
    return body if isinstance(body, dict) else {}
