"""Where people and Prometheus find what a watch of a prediction log says: beside its state, in the store."""

from collections.abc import Sequence

from sluice.monitoring.exposition import exposition
from sluice.monitoring.log_states import LATEST, METRICS, model_key, version_key
from sluice.reporting.monitoring_page import monitoring_page
from sluice.reporting.versions_section import ShownVersion, versions_section
from sluice.running.logged_windows import Usage
from sluice.running.version_watch import WatchedVersion
from sluice.storage.stores import Store


def page_of(found: Sequence[WatchedVersion]) -> str:
    """The page of a run: the champion window by window, and beside it whoever else answered."""
    first = found[0]
    versions = versions_section([_shown(each) for each in found])
    return monitoring_page(first.version, first.reference, first.windows, first.settings, [versions])


def _shown(each: WatchedVersion) -> ShownVersion:
    last = each.windows[-1]
    usage = each.usage.get(last.name, Usage())
    hours = {hour: rows for known in each.usage.values() for hour, rows in known.hours.items()}
    return ShownVersion(each.version, last, each.settings.metric, usage.by_role, usage.seconds, hours)


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
