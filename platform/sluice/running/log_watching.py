"""Watching a registered model on the prediction log in the store, run after run: what a CronJob calls.

Each run judges the whole windows that are over since the last one, version by version, each held to the rows that it
was judged by when it was registered. Labels come late: a window that was judged is judged again when more of its labels
have come, and both records stay. Its labels count as evidence once, when most of them are there.
"""

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.monitoring.records import WatchSettings
from sluice.monitoring.row_tables import connection, literal
from sluice.predictions.reader import read_predictions
from sluice.registry.predicting import OpenModel, opened_model
from sluice.running.logged_windows import recent, versions_in
from sluice.running.version_watch import FIRST_WINDOWS, Deliver, VersionWatch, WatchedVersion
from sluice.storage.stores import Store


@dataclass(frozen=True)
class LogOrder:
    """What is to be watched.

    Attributes:
        model: The registered model; an alias or a version watches that version alone.
        settings: How; an empty metric is chosen by the problem. The span is not `none`.
        since: Where the first run begins; None for the log's own beginning, 31 windows ago at most.
        until: The present moment; windows that are over then are judged.
        label_delay: So long after a window's end its labels count as evidence, however few of them have come; None to
            wait until four in five have.
    """

    model: str
    settings: WatchSettings
    until: datetime
    since: datetime | None = None
    label_delay: timedelta | None = None


def watch_log(order: LogOrder, store: Store, deliver: Deliver | None = None) -> list[WatchedVersion]:
    """Watch every version that answered or was shadowed in the windows since the last run, the champion first.

    Args:
        order: What is to be watched.
        store: With the log, the labels, and the states of earlier runs.
        deliver: Sends new alarms; those that it fails to send are tried again by the next run.

    Raises:
        BadInput: The model has no log, or a version's reference cannot be found.
        EnvironmentFault: The registry or the store failed.
    """
    with opened_model(order.model) as champion:
        name, version = champion.version.model, champion.version.version
        found = [_watched(order, store, champion, deliver)]
    if order.model != name:  # one version was named
        return found
    for other in _others(order, store, name, version):
        try:
            with opened_model(f"{name}/{other}") as opened:
                found.append(_watched(order, store, opened, deliver))
        except BadInput as error:  # a version that was removed must not keep the champion's watch from its end
            progress(f"{name}/{other} is left out: {error}")
    return found


def _others(order: LogOrder, store: Store, model: str, champion: str) -> list[str]:
    """Versions that wrote in the latest windows."""
    begin = order.since or recent(order.until, order.settings.span, FIRST_WINDOWS)
    if begin >= order.until:
        return []
    logged = read_predictions(store, model, begin, order.until)
    return [version for version in versions_in(logged) if version != champion]


def _watched(order: LogOrder, store: Store, model: OpenModel, deliver: Deliver | None) -> WatchedVersion:
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder, connection() as opened:
        opened.execute(f"SET temp_directory = {literal(folder)}")
        watch = VersionWatch(store, model, order.settings, (Path(folder), opened), order.label_delay)
        return watch.look(order.until, order.since, deliver)
