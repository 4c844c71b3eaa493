"""A server's traffic that follows: the aliases in the registry, and the weight in the record of canaries.

    followed = Followed("late", open_registry(), open_registered, default_store(), slices=("carrier",))
    Server(followed, (log, *followed.observers), …)

It is started and stopped with the server, tells `/readyz` and the metrics what it knows, and puts what it counts into
the store every few seconds, `traffic/<model>/servers/<process>.json`, for `sluice traffic` and for who decides.
"""

import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sluice.core.digests import canonical_json
from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.serving.aliases import PAUSE, AliasFollower
from sluice.serving.canary_counts import Counts
from sluice.serving.exchange import Loaded, Observer
from sluice.serving.registered import Registry
from sluice.serving.served_versions import Opener
from sluice.serving.shadow import Shadow
from sluice.serving.traffic import Split
from sluice.serving.traffic_records import TrafficRecords, weight_by
from sluice.storage.stores import Store

TELLING, RARELY = 2.0, 15.0
"""Seconds between two times that a server puts into the store what it counts: while a canary runs, and else."""
_SLOW = 0.25


class Followed:
    """A `Traffic`, `Versions`, `Started` and `Measured`, with the observers that belong to it.

    Args:
        model: The registered model's name.
        registry: Where the aliases are.
        opener: Loads a version.
        store: Where canaries are recorded and counted.
        roles: The alias of each role; by default champion and challenger, each by its own.
        slices: Columns whose groups the shadow tells apart.
        shadow: The share of requests that the other version judges, too; 0 for none.
        shadowed: Observers of what the other version says, such as a log.
        pause: Seconds between two looks.
    """

    def __init__(
        self,
        model: str,
        registry: Registry,
        opener: Opener,
        store: Store,
        *,
        roles: Mapping[str, str] | None = None,
        slices: Sequence[str] = (),
        shadow: float = 1.0,
        shadowed: Sequence[Observer] = (),
        pause: float = PAUSE,
    ) -> None:
        self.counts = Counts(lambda: self.split.stand)
        self.split = Split(self.counts.failed)
        self.follower = AliasFollower(model, registry, opener, self.split, roles, pause)
        self.shadow = Shadow(lambda: self.split.stand, slices, shadowed, shadow) if shadow > 0 else None
        self.observers: tuple[Observer, ...] = (self.counts, *((self.shadow,) if self.shadow else ()))
        self._records, self._store, self._model, self._pause = TrafficRecords(store, model), store, model, pause
        self._process = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        self._place, self._told, self._problem = "", 0.0, ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def chosen(self, request: str, subject: str) -> Loaded:
        """See `Traffic.chosen`."""
        return self.split.chosen(request, subject)

    def versions(self) -> tuple[Loaded, ...]:
        """See `Versions.versions`."""
        return self.split.versions()

    def start(self) -> None:
        """Load the champion, then follow; harmless when it is called again.

        Raises:
            BadInput: There is no champion, or its version must not be served.
        """
        if self._thread:
            return
        self.follower.start()
        if self.shadow:
            self.shadow.start()
        self._thread = threading.Thread(target=self._follow, name="sluice-canary", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and put into the store what was counted last."""
        self._ended.set()
        self.follower.stop()
        if self.shadow:
            self.shadow.stop()
        if self._thread:
            self._thread.join(5)
            self._tell(time.time())

    def details(self) -> dict[str, Any]:
        """What `/readyz` tells of it."""
        told = self.follower.following.details(time.time()) | {"challenger_weight": self.split.stand.weight}
        return told | ({"store": self._problem} if self._problem else {})

    def numbers(self) -> dict[str, float]:
        """What the metrics tell, by name; names that end with `_total` only grow."""
        compared = self.shadow.comparison if self.shadow else None
        return {
            **self.follower.following.numbers(time.time()),
            "sluice_challenger_weight": self.split.stand.weight,
            "sluice_traffic_store_up": float(not self._problem),
            **(compared.numbers() if compared else {}),
        }

    def measure(self, registry: Any) -> None:  # noqa: ANN401 - prometheus_client.CollectorRegistry
        """See `Measured.measure`."""
        registry.register(self)

    def collect(self) -> Iterator[Any]:
        """What prometheus_client asks for: each number as a metric without labels."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        for name, value in self.numbers().items():
            counts = name.endswith("_total")
            family = CounterMetricFamily if counts else GaugeMetricFamily
            yield family(name.removesuffix("_total"), name.removeprefix("sluice_").replace("_", " "), value=value)

    def look(self) -> None:
        """Read the record of canaries, and let weight and counts follow; no error leaves this method."""
        try:
            record = self._records.refresh()
            self._problem = ""
        except SluiceError as error:
            if not self._problem:
                progress(f"{error}; the challenger's weight stays")
            self._problem = str(error)
            return
        if record is not None and record.place != self._place and record.running:
            self.counts.begin(record.challenger.digest, float(record.plan.get("slow_seconds", _SLOW)))
            self._place = record.place
        before = self.split.stand.weight
        self.split.weigh(lambda champion, challenger: weight_by(record, champion, challenger))
        if record is not None and self.split.stand.weight != before:
            told = f"{record.event} (record {record.number})"
            progress(f"{record.model}: {told}: the challenger's weight is {record.weight:g}")

    def _follow(self) -> None:
        while not self._ended.is_set():
            self.look()
            now = time.time()
            if now - self._told >= (TELLING if self._counting else RARELY):
                self._tell(now)
            self._ended.wait(self._pause * random.uniform(0.75, 1.25))

    @property
    def _counting(self) -> bool:
        record = self._records.last
        return record is not None and record.running and record.place == self._place

    def _tell(self, now: float) -> None:
        self._told = now
        compared = self.shadow.comparison if self.shadow else None
        body = {
            "moment": now,
            "details": self.details(),
            "numbers": self.numbers(),
            "shadow": compared.to_json() if compared else None,
        }
        try:
            self._put(f"servers/{self._process}.json", body)
            if self._counting:
                self._put(f"counts/{self._place}/{self._process}.json", self.counts.cells())
        except SluiceError as error:
            self._problem = str(error)

    def _put(self, key: str, body: Mapping[str, Any]) -> None:
        self._store.put_bytes(f"traffic/{self._model}/{key}", canonical_json(_without_nan(body)))


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and value - value != 0 else value
