"""Of two operators one works: the one that holds a Lease of the Kubernetes API.

Clocks of two machines are never compared: a holder is gone when its Lease has not changed for as long as it holds, by
the clock of who looks. Source: client-go's leaderelection.
"""

import secrets
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.operator.on_cluster.kubernetes_api import KubernetesApi
from sluice.operator.on_cluster.process_settings import LeaseSettings
from sluice.operator.worlds import Conflict

Json = dict[str, Any]
_API = "coordination.k8s.io/v1"


class Lease:
    """A Lease, asked for and renewed in a thread of its own."""

    def __init__(self, api: KubernetesApi, namespace: str, settings: LeaseSettings) -> None:
        """Nothing is sent yet."""
        self._api, self._seconds = api, settings.seconds
        self._folder = f"/apis/{_API}/namespaces/{namespace}/leases"
        self._head = {"apiVersion": _API, "kind": "Lease", "metadata": {"name": settings.name, "namespace": namespace}}
        self._path = f"{self._folder}/{settings.name}"
        self.identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._until = 0.0
        self._seen: tuple[str, float] = ("", 0.0)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours for now; a fifth of its time before its end it is ours no more."""
        return time.monotonic() < self._until

    def run(self, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        """Ask and renew until `stop`, in a thread.

        Args:
            gained: Called once, when it became ours.
            lost: Called once, when it was ours and is not any more.
        """
        self._thread = threading.Thread(target=self._follow, args=(gained, lost), name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give it back, so that the next one need not wait."""
        self._ended.set()
        if self._thread:
            self._thread.join(10)
        if self.held:
            self._until = 0.0
            try:
                self._write(self._api.get(self._path), holder="")
            except SluiceError as error:
                progress(f"the Lease was not given back, and ends by itself: {error}")

    def _follow(self, gained: Callable[[], None], lost: Callable[[], None]) -> None:
        ours = False
        while not self._ended.is_set():
            try:
                if self._take():
                    self._until = time.monotonic() + 0.8 * self._seconds
            except Conflict:
                pass  # the other one was quicker
            except SluiceError as error:
                progress(f"the Lease cannot be renewed: {error}")
            if self.held and not ours:
                ours = True
                gained()
            elif ours and not self.held:
                lost()
                return
            self._ended.wait(self._seconds / 5)

    def _take(self) -> bool:
        found = self._api.get(self._path)
        if found is None:
            self._api.create(self._folder, self._document({}, self.identity))
            return True
        spec = found.get("spec", {})
        mark = f"{found['metadata']['resourceVersion']}"
        if mark != self._seen[0]:
            self._seen = (mark, time.monotonic())
        holder = spec.get("holderIdentity") or ""
        over = time.monotonic() - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._seconds)
        if holder not in ("", self.identity) and not over:
            return False
        self._write(found, self.identity)
        return True

    def _write(self, found: Json | None, holder: str) -> None:
        if found:
            written = self._api.replace(self._path, self._document(found, holder))
            self._seen = (written["metadata"]["resourceVersion"], time.monotonic())

    def _document(self, found: Json, holder: str) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = found.get("spec", {})
        same = before.get("holderIdentity") == holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": self._seconds,
            "acquireTime": before.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not same and bool(holder)),
        }
        return {**self._head, "metadata": found.get("metadata", self._head["metadata"]), "spec": spec}
