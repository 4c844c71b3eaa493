"""The Kubernetes API as the operator uses it: a few verbs on plain documents, errors in one line, any thread.

The official client would take 40 MiB for its models, which nothing here needs. Source: Kubernetes' API conventions,
`Server-Side Apply`, and `Status` documents.
"""

import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.operator.on_cluster.process_settings import KubernetesPlace
from sluice.operator.parts import API_VERSION
from sluice.operator.worlds import Conflict

Json = dict[str, Any]
MANAGER = "sluice-operator"
PLURALS = {
    "Project": "projects",
    "ContinuousTraining": "continuoustrainings",
    "ModelServer": "modelservers",
    "Backfill": "backfills",
    "Request": "requests",
}
_TOKEN_SECONDS = 60.0
_ABSENT, _CONFLICT, _INVALID = 404, 409, (400, 413, 422)


class KubernetesApi:
    """One API server, as one account."""

    def __init__(self, place: KubernetesPlace, connections: int = 8, seconds: float = 20.0) -> None:
        """Nothing is sent yet.

        Args:
            place: Where, as whom.
            connections: That may be open at once.
            seconds: That an answer may take.
        """
        self.place = place
        timeout = urllib3.Timeout(connect=min(5.0, seconds), read=seconds)
        self._pool = urllib3.PoolManager(
            maxsize=connections, block=True, ca_certs=place.ca_file or None, retries=False, timeout=timeout
        )
        self._lock, self._token, self._read = threading.Lock(), "", 0.0
        self.requests = 0

    def token(self) -> str:
        """The account's token, as the kubelet has written it last."""
        with self._lock:
            if time.monotonic() - self._read > _TOKEN_SECONDS or not self._token:
                try:
                    self._token = Path(self.place.token_file).read_text(encoding="utf-8").strip()
                except OSError as error:
                    raise EnvironmentFault(f"{self.place.token_file}: {error.strerror}") from None
                self._read = time.monotonic()
            return self._token

    def get(self, path: str) -> Json | None:
        """A document; None where there is none."""
        return self._ask("GET", path)

    def items(self, path: str, **query: str) -> list[Json]:
        """All documents of a list."""
        found: list[Json] = []
        token = ""
        while True:
            page = self._ask("GET", f"{path}?{urlencode({'limit': '500', **query, 'continue': token})}") or {}
            found += page.get("items", [])
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return found

    def create(self, path: str, body: Json) -> Json:
        """Make a document.

        Raises:
            Conflict: One of that name is there.
        """
        return self._ask("POST", path, body) or {}

    def replace(self, path: str, body: Json) -> Json:
        """Write a document whole; `metadata.resourceVersion` is held to what is there.

        Raises:
            Conflict: It was changed in between.
        """
        return self._ask("PUT", path, body) or {}

    def apply(self, path: str, body: Json, manager: str = MANAGER) -> Json:
        """Server-side apply; what an earlier apply of this manager's had and this one has not is removed.

        Raises:
            Conflict: The body names a resourceVersion that is not the present one.
        """
        query = urlencode({"fieldManager": manager, "force": "true"})
        return self._ask("PATCH", f"{path}?{query}", body, "application/apply-patch+yaml") or {}

    def merge(self, path: str, body: Json) -> Json | None:
        """A JSON merge patch; None where there is nothing to patch."""
        return self._ask("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str) -> None:
        """Remove a document and what belongs to it, if it is there."""
        self._ask("DELETE", f"{path}?propagationPolicy=Background")

    def _ask(self, verb: str, path: str, body: Json | None = None, form: str = "application/json") -> Json | None:
        headers = {"Authorization": f"Bearer {self.token()}", "Accept": "application/json", "Content-Type": form}
        self.requests += 1
        data = json.dumps(body, separators=(",", ":")).encode() if body is not None else None
        try:
            answer = self._pool.request(verb, f"{self.place.server}{path}", body=data, headers=headers)
            # A group that is not installed is answered in plain text.
            told = {} if answer.status == _ABSENT and verb == "GET" else json.loads(answer.data or b"{}")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EnvironmentFault(f"the Kubernetes API does not answer: {_last(error)}") from None
        except ValueError:
            if answer.status == _ABSENT:  # a group that is not served has no document, either
                return _checked(_ABSENT, {}, verb, path)
            raise EnvironmentFault(f"the Kubernetes API answered {answer.status} without a document") from None
        return _checked(answer.status, told, verb, path)


def _checked(status: int, told: Any, verb: str, path: str) -> Json | None:  # noqa: ANN401 - JSON
    if status < 300 and isinstance(told, dict):
        return told
    said = str(told.get("message", "") if isinstance(told, dict) else told)[:500]
    if status == _ABSENT:
        if verb in ("GET", "DELETE", "PATCH"):
            return None
        raise EnvironmentFault(f"{path.partition('?')[0]} is not served: {said}")
    if status == _CONFLICT:
        raise Conflict(said)
    if status in _INVALID:
        raise BadInput(said)
    raise EnvironmentFault(f"the Kubernetes API: {verb} {path.partition('?')[0]}: status {status}: {said}")


def _last(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return str(reason if isinstance(reason, BaseException) else error)[-200:]


def resource(kind: str, namespace: str, name: str = "", part: str = "") -> str:
    """The path of a resource of ours, of its status, or of all of a kind."""
    whole = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURALS[kind]}"
    return "/".join(filter(None, (whole, name, part)))
