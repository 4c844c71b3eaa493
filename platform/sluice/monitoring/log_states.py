"""What a watch of a prediction log keeps in the store from run to run, and where it and its pages stand.

monitoring/MODEL/VERSION/SPAN/state.json      what the next run has to know
monitoring/MODEL/VERSION/SPAN/WINDOW.html     the page of each run, by its latest window
monitoring/MODEL/latest.html, latest.prom     the newest page, and the same as Prometheus' text
"""

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from sluice.core.errors import BadInput
from sluice.monitoring.records import WatchSettings, WatchState
from sluice.storage.stores import Store

FOLDER = "monitoring"
LATEST, METRICS = "latest.html", "latest.prom"


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SeenWindow(_Form):
    """A window that was judged.

    Attributes:
        name: As its record says it.
        begin: Its first moment, in UTC.
        end: The moment after its last one.
        rows: How many rows the log had of it.
        labelled: How many of them had a label when it was judged last.
        weighed: Whether its labels have counted as evidence: they do once.
        datasets: Ids of the records that were published of it, the latest last.
    """

    name: str
    begin: datetime
    end: datetime
    rows: int
    labelled: int = 0
    weighed: bool = False
    datasets: tuple[str, ...] = ()


class LogState(_Form):
    """What the next run of a watch has to know.

    Attributes:
        schema_version: Of this form.
        digest: SHA-256 of the version's files.
        settings: How it is watched.
        reference: Ids of the published folders that hold what windows are held to.
        until: The moment up to which windows were judged, in UTC.
        looked: When the labels were last looked at, in UTC.
        watch: The detectors' sums and the known alarms.
        windows: The latest ones.
        unsent: Names of windows whose new alarms are still to be sent.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    digest: str
    settings: WatchSettings
    reference: tuple[str, ...]
    until: datetime
    looked: datetime
    watch: WatchState
    windows: tuple[SeenWindow, ...] = ()
    unsent: tuple[str, ...] = ()


def model_key(model: str, name: str) -> str:
    """The place of what is told of a model as a whole."""
    return f"{FOLDER}/{quote(model, safe='')}/{name}"


def version_key(model: str, version: str, span: str, name: str) -> str:
    """The place of what is told of a version."""
    return model_key(model, f"{quote(version, safe='')}/{span}/{name}")


def read_state(store: Store, model: str, version: str, span: str) -> LogState | None:
    """The state after the last run; None before the first.

    Raises:
        BadInput: What stands there is none, or of another Sluice.
        EnvironmentFault: The store failed.
    """
    key = version_key(model, version, span, "state.json")
    if not store.exists(key):
        return None
    try:
        return LogState.model_validate_json(store.get_bytes(key))
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{store.uri}/{key} is no state of a watch ({reason}); remove it to begin anew") from None


def write_state(store: Store, model: str, version: str, state: LogState) -> None:
    """Keep the state for the next run."""
    key = version_key(model, version, state.settings.span, "state.json")
    store.put_bytes(key, (state.model_dump_json(by_alias=True, indent=1) + "\n").encode())


__all__ = ["FOLDER", "LogState", "SeenWindow", "model_key", "read_state", "version_key", "write_state"]
