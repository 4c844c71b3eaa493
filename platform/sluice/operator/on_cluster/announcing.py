"""Kubernetes Events about what was decided: what `kubectl describe` shows below a resource.

Events are for people, and kept for an hour or so: one that cannot be written is passed over. Source: events.k8s.io/v1.
"""

import secrets
from datetime import UTC, datetime

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.operator.actions import AskApproval
from sluice.operator.on_cluster.kubernetes_api import MANAGER, KubernetesApi
from sluice.operator.parts import API_VERSION
from sluice.operator.state import Decision
from sluice.operator.worlds import Subject

_QUIET = {"nothing", "wait"}  # the status has these
_WARNINGS = {"failed", "refuse", "roll back", "cancel"}
_MOST_CHARACTERS = 1000


class Announcer:
    """Writes Events."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def decided(self, subject: Subject, decision: Decision) -> None:
        """Tell of a decision, unless it was to do nothing."""
        if decision.outcome in _QUIET:
            return
        reason = "".join(word.capitalize() for word in decision.outcome.split())
        kind = "Warning" if decision.outcome in _WARNINGS else "Normal"
        self.tell("ContinuousTraining", subject, kind, reason, f"{decision.words} (rule: {decision.rule})")

    def waits(self, subject: Subject, order: AskApproval) -> None:
        """Tell that a version waits for a person."""
        words = (
            f"Version {order.version} waits for an approval until {order.deadline:%Y-%m-%d %H:%M} UTC: {order.reason}"
        )
        self.tell("ContinuousTraining", subject, "Normal", "AwaitingApproval", words)

    def tell(self, kind: str, subject: Subject, weight: str, reason: str, words: str) -> None:
        """Write an Event about a resource."""
        regarding = {"apiVersion": API_VERSION, "kind": kind, "name": subject.name, "namespace": self._namespace}
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{subject.name}.{secrets.token_hex(8)}", "namespace": self._namespace},
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": MANAGER,
            "reportingInstance": MANAGER,
            "action": reason,
            "reason": reason,
            "type": weight,
            "note": words[:_MOST_CHARACTERS],
            "regarding": {**regarding, "uid": subject.uid},
        }
        try:
            self._api.create(f"/apis/events.k8s.io/v1/namespaces/{self._namespace}/events", body)
        except SluiceError as error:
            progress(f"an Event about {kind} {subject.name} was not written: {error}")
