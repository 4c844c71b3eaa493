"""What the monitor of a model found last, among the server's own numbers: a CronJob has ended when Prometheus asks.

Every server of a model tells the same; the rules in `manifests/monitoring` take the largest of each.
"""

import random
import threading
from collections.abc import Iterator
from typing import Any

from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.monitoring.log_states import METRICS, model_key
from sluice.storage.stores import Store

PAUSE = 60.0


class WatchedNumbers:
    """A part of the server (`Started`, `Measured`) that reads the monitor's file in the store.

    Args:
        store: Where it is.
        model: The registered model's name.
        pause: Seconds between two looks.
    """

    def __init__(self, store: Store, model: str, pause: float = PAUSE) -> None:
        self._store, self._key, self._pause = store, model_key(model, METRICS), pause
        self._found: tuple[Any, ...] = ()
        self._problem = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="sluice-watched", daemon=True)

    def start(self) -> None:
        """See `Started.start`."""
        self._thread.start()

    def stop(self) -> None:
        """See `Started.stop`."""
        self._ended.set()

    def measure(self, registry: Any) -> None:  # noqa: ANN401 - prometheus_client.CollectorRegistry
        """See `Measured.measure`."""
        registry.register(self)

    def collect(self) -> Iterator[Any]:
        """What prometheus_client asks for."""
        yield from self._found

    def look(self) -> None:
        """Read the file, where there is one; what was read before stays while the store is down."""
        from prometheus_client.parser import text_string_to_metric_families

        try:
            text = self._store.get_bytes(self._key).decode() if self._store.exists(self._key) else ""
            self._found, self._problem = tuple(text_string_to_metric_families(text)), ""
        except (SluiceError, ValueError) as error:  # a file that is no such text raises ValueError
            if not self._problem:
                progress(f"what the monitor found cannot be read ({error}); the numbers of before stay")
            self._problem = str(error)

    def _follow(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(self._pause * random.uniform(0.75, 1.25))
