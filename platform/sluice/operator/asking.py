"""Asking a cluster's operator: a Request, made as who the kubeconfig is of, and the answer in its status."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sluice.cluster.access import ABSENT, FORBIDDEN, TIMEOUT, UNKNOWN_USER, Kubernetes, Target
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator.parts import API_VERSION, GROUP, VERSION
from sluice.operator.specs import RequestSpec

Json = dict[str, Any]
PAUSE_SECONDS = 0.5
_WRONG = (400, 422)
_WANTED = {"train": "sluice-runner"}


@dataclass(frozen=True)
class Asked:
    """A Request that was made.

    Attributes:
        name: Its name.
        spec: What it asks.
        status: Its status when it was looked at last; without `accepted` nobody has answered.
    """

    name: str
    spec: Json
    status: Json

    @property
    def accepted(self) -> bool | None:
        """What the answer is; None for none yet."""
        return self.status.get("accepted")

    @property
    def words(self) -> str:
        """What the answer says."""
        return str(self.status.get("words", ""))


class ClusterAsker:
    """Makes Requests in one namespace."""

    def __init__(self, target: Target) -> None:
        """Read the kubeconfig; nothing is sent yet.

        Raises:
            BadInput: There is no kubeconfig, or it has no such context.
        """
        from kubernetes import client

        self._target, self._kubernetes = target, Kubernetes(target)
        self._custom = client.CustomObjectsApi(self._kubernetes.client)
        self._who = client.AuthenticationV1Api(self._kubernetes.client)

    def training_of(self, model: str) -> str | None:
        """The ContinuousTraining that keeps a model trained; None where there is none, or no operator.

        Raises:
            BadInput: Several do.
            EnvironmentFault: The cluster does not answer or denies access.
        """
        found = [each["metadata"]["name"] for each in self._trainings() or () if each["spec"].get("model") == model]
        if len(found) > 1:
            raise BadInput(f"{self._target}: {', '.join(found)} train {model}; name one with --target")
        return found[0] if found else None

    def only_training(self) -> str:
        """The only ContinuousTraining; raises as `training_of`, and BadInput where there is not exactly one."""
        listed = self._trainings()
        if listed is None:
            raise self.no_operator()
        found = [each["metadata"]["name"] for each in listed]
        if len(found) != 1:
            raise BadInput(
                f"{self._target} has {len(found)} ContinuousTrainings{': ' if found else ''}{', '.join(found)}; "
                + ("name one with --target" if found else "`sluice resources | kubectl apply -f -` makes one")
            )
        return str(found[0])

    def ask(self, spec: RequestSpec) -> Asked:
        """Make a Request; whoever the API server takes this kubeconfig's user for stands in it.

        Raises:
            BadInput: The cluster has no operator, or what is asked is refused at once.
            EnvironmentFault: The cluster does not answer, or this user may not ask for that.
        """
        who = self._user()
        document = spec.model_copy(update={"by": who}).document()
        body = {
            "apiVersion": API_VERSION,
            "kind": "Request",
            "metadata": {"generateName": f"{spec.action}-", "namespace": self._target.namespace},
            "spec": document,
        }
        role = _WANTED.get(spec.action, "sluice-approver")
        with self._told(f"a Request to {spec.action}", f"{who} needs the role {role}"):
            made = self._custom.create_namespaced_custom_object(
                GROUP, VERSION, self._target.namespace, "requests", body, _request_timeout=TIMEOUT
            )
        return Asked(made["metadata"]["name"], made["spec"], dict(made.get("status") or {}))

    def answered(self, asked: Asked, seconds: float) -> Asked:
        """The same as it is once it was answered, or after so many seconds.

        Raises:
            BadInput: Somebody has removed it.
            EnvironmentFault: The cluster does not answer or denies access.
        """
        end = time.monotonic() + seconds
        while asked.accepted is None and time.monotonic() < end:
            time.sleep(PAUSE_SECONDS)
            with self._told(f"Request {asked.name}", "the role sluice-viewer may read it"):
                found = self._custom.get_namespaced_custom_object(
                    GROUP, VERSION, self._target.namespace, "requests", asked.name, _request_timeout=TIMEOUT
                )
            asked = Asked(asked.name, asked.spec, dict(found.get("status") or {}))
        return asked

    def no_operator(self) -> BadInput:
        """Why nothing can be asked where the definitions are not there."""
        return BadInput(
            f"{self._target} has no operator: `helm upgrade sluice charts/sluice -n {self._target.namespace} "
            "--reuse-values --set operator.enabled=true` installs it (docs/operator.md)"
        )

    def _user(self) -> str:
        with self._told("who you are", "every user that the cluster knows may ask that"):
            found = self._who.create_self_subject_review({}, _request_timeout=TIMEOUT)
        return str(found.status.user_info.username)

    def _trainings(self) -> list[Json] | None:
        """All of the namespace; None where the cluster has no such definition."""
        from kubernetes.client.exceptions import ApiException

        with self._told("the ContinuousTrainings", "the role sluice-viewer may list them"):
            try:
                found = self._custom.list_namespaced_custom_object(
                    GROUP, VERSION, self._target.namespace, "continuoustrainings", _request_timeout=TIMEOUT
                )
            except ApiException as error:
                if error.status != ABSENT:
                    raise
                return None
        return list(found.get("items", ()))

    @contextmanager
    def _told(self, what: str, way_out: str) -> Iterator[None]:
        """The client's errors in one line each, with what the API server said."""
        from kubernetes.client.exceptions import ApiException

        with self._kubernetes.answers(what):
            try:
                yield
            except ApiException as error:
                said = _said(error)
                if error.status in (FORBIDDEN, UNKNOWN_USER):
                    raise EnvironmentFault(f"{self._target} denies {what}: {said}; {way_out}") from None
                if error.status in _WRONG:
                    raise BadInput(f"{self._target} refuses {what}: {said}") from None
                if error.status == ABSENT:
                    raise self.no_operator() from None
                raise


def _said(error: Any) -> str:  # noqa: ANN401 - the client's ApiException
    try:
        told = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        told = error.reason
    return " ".join(str(told).split())[:400]
