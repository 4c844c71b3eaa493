"""Where people and Prometheus find what a watch of a prediction log says: beside its state, in the store."""

from collections.abc import Sequence

from sluice.monitoring.exposition import exposition
from sluice.monitoring.log_states import model_key, version_key
from sluice.reporting.monitoring_page import monitoring_page
from sluice.running.log_watching import WatchedVersion
from sluice.storage.stores import Store

LATEST, METRICS = "latest.html", "latest.prom"


def page_of(found: Sequence[WatchedVersion]) -> str:
    """The page of a run: the champion, window by window."""
    first = found[0]
    return monitoring_page(first.version, first.reference, first.windows, first.settings)


def metrics_of(found: Sequence[WatchedVersion]) -> str:
    """The latest windows in Prometheus' text form, each with its version."""
    return exposition([(each.version, each.windows[-1], each.settings.metric) for each in found if each.windows])


def keep_pages(store: Store, found: Sequence[WatchedVersion]) -> str:
    """Write the page and the numbers into the store.

    Returns:
        The address of the page that is always the newest one.

    Raises:
        EnvironmentFault: The store failed.
    """
    first = found[0]
    model, _, version = first.version.rpartition("/")
    page = page_of(found).encode()
    store.put_bytes(version_key(model, version, first.settings.span, f"{first.windows[-1].name}.html"), page)
    store.put_bytes(model_key(model, METRICS), metrics_of(found).encode())
    store.put_bytes(model_key(model, LATEST), page)
    return f"{store.uri}/{model_key(model, LATEST)}"
