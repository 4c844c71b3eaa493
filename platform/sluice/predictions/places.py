"""Where the log and the labels of a model stand in the store. A file's name tells what a reader must know to skip it.

    predictions/MODEL/date=2026-11-26/hour=14/FIRST-LAST-WRITER-START-AFTER-ROWS.parquet
    predictions/MODEL/writers/WRITER.json, WRITER-ENDED-OBSERVED-HOW.json
    logged-models/MODEL
    labels/MODEL/date=2026-11-26/hour=14/FIRST-LAST-DIGEST-ROWS.parquet

FIRST and LAST are moments in milliseconds since 1970. A writer numbers its rows from 0, one after another; a file
covers the numbers from START to before AFTER, and has fewer ROWS where some were lost. Hours are in UTC.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from sluice.storage.stores import Store

PREDICTIONS, LABELS = "predictions", "labels"
_MODELS = "logged-models/"  # one key a model: the log itself has too many to look through
_HOUR = timedelta(hours=1)
_FILE = re.compile(
    r"date=\d{4}-\d\d-\d\d/hour=\d\d/(?P<first>\d{13})-(?P<last>\d{13})-(?P<writer>[0-9a-f]{24})-(?P<start>\d{12})-"
    r"(?P<after>\d{12})-(?P<rows>\d{1,12})\.parquet"
)
_WRITER = re.compile(
    r"(?P<writer>[0-9a-f]{24})(?:-(?P<ended>\d{13})-(?P<observed>\d{1,15})-(?P<how>stopped|killed))?\.json"
)
_LABELS = re.compile(
    r"date=\d{4}-\d\d-\d\d/hour=\d\d/(?P<first>\d{13})-(?P<last>\d{13})-(?P<digest>[0-9a-f]{64})-(?P<rows>\d{1,12})"
    r"\.parquet"
)


@dataclass(frozen=True)
class LogFile:
    """A file of the log, by its name.

    Attributes:
        key: Its place in the store.
        writer: Who wrote it.
        first: The earliest moment of a row, to the millisecond.
        last: The latest, rounded up.
        start: The first number of the writer's that it covers.
        after: The number after the last one.
        rows: How many of them it has.
    """

    key: str
    writer: str
    first: datetime
    last: datetime
    start: int
    after: int
    rows: int


@dataclass(frozen=True)
class LabelsFile:
    """A file of labels, by its name; the moments are those when its labels arrived."""

    key: str
    first: datetime
    last: datetime
    rows: int


def model_folder(kind: str, model: str) -> str:
    """`predictions/MODEL` or `labels/MODEL`; what a key cannot hold is written as in a URL."""
    return f"{kind}/{quote(model, safe='')}"


def log_key(model: str, writer: str, moments: tuple[float, float], numbers: tuple[int, int], rows: int) -> str:
    """The place of a file of the log.

    Args:
        model: The registered model.
        writer: 24 hexadecimal digits.
        moments: The earliest and latest of a row, in seconds since 1970.
        numbers: The first number that it covers, and the one after the last.
        rows: How many rows it has.
    """
    times = f"{_floor(moments[0]):013d}-{_ceiling(moments[1]):013d}"
    folder = f"{model_folder(PREDICTIONS, model)}/{hour_folder(moments[0])}"
    return f"{folder}/{times}-{writer}-{numbers[0]:012d}-{numbers[1]:012d}-{rows}.parquet"


def labels_key(model: str, moments: tuple[float, float], digest: str, rows: int) -> str:
    """The place of a file of labels that arrived between two moments, in seconds since 1970."""
    times = f"{_floor(moments[0]):013d}-{_ceiling(moments[1]):013d}"
    return f"{model_folder(LABELS, model)}/{hour_folder(moments[0])}/{times}-{digest}-{rows}.parquet"


@dataclass(frozen=True)
class Writer:
    """What a writer says of itself, by the name of its record.

    Attributes:
        name: 24 hexadecimal digits.
        key: Where its record stands in the store.
        begun: When it began, to the millisecond.
        ended: When it is known to have ended; None while it may be writing.
        observed: How many rows it numbered; None while it may be writing.
        how: `stopped` or `killed`; None while it may be writing.
    """

    name: str
    key: str
    begun: datetime
    ended: datetime | None = None
    observed: int | None = None
    how: str | None = None


def writer_key(model: str, writer: str) -> str:
    """The place of the record of a writer that may be writing."""
    return f"{model_folder(PREDICTIONS, model)}/writers/{writer}.json"


def ended_writer_key(model: str, writer: str, ended: float, observed: int, how: str) -> str:
    """The place of the record of a writer that ended, in seconds since 1970."""
    return f"{model_folder(PREDICTIONS, model)}/writers/{writer}-{_floor(ended):013d}-{observed}-{how}.json"


def writers(store: Store, model: str) -> list[Writer]:
    """The writers of a model's log, by their begin."""
    prefix, found = f"{model_folder(PREDICTIONS, model)}/writers/", dict[str, Writer]()
    for key in store.keys(prefix):  # sorted: of a writer that ended, `-` comes before `.`
        if match := _WRITER.fullmatch(key.removeprefix(prefix)):
            name, begun = match["writer"], _moment(str(int(match["writer"][:12], 16)))
            if match["ended"]:
                found[name] = Writer(name, key, begun, _moment(match["ended"]), int(match["observed"]), match["how"])
            else:
                found.setdefault(name, Writer(name, key, begun))
    return sorted(found.values(), key=lambda writer: writer.name)


def hour_folder(moment: float) -> str:
    """`date=…/hour=…` of a moment in seconds since 1970, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("date=%Y-%m-%d/hour=%H")


def log_files(store: Store, model: str, since: datetime, until: datetime) -> list[LogFile]:
    """The files that may hold rows from `since` to before `until`, by time; both moments with a zone."""
    found = []
    for key, name in _within(store, model_folder(PREDICTIONS, model), since, until):
        if match := _FILE.fullmatch(name):
            first, last = _moment(match["first"]), _moment(match["last"])
            if first < until and last >= since:
                start, after, rows = int(match["start"]), int(match["after"]), int(match["rows"])
                found.append(LogFile(key, match["writer"], first, last, start, after, rows))
    return sorted(found, key=lambda file: (file.first, file.writer, file.start))


def labels_files(store: Store, model: str, until: datetime) -> list[LabelsFile]:
    """The files of labels of which some arrived by `until`, by time of arrival."""
    folder = model_folder(LABELS, model)
    found = []
    for key in store.keys(f"{folder}/date="):
        match = _LABELS.fullmatch(key.removeprefix(f"{folder}/"))
        if match and _moment(match["first"]) <= until:
            found.append(LabelsFile(key, _moment(match["first"]), _moment(match["last"]), int(match["rows"])))
    return sorted(found, key=lambda file: (file.first, file.key))


def mark_model(store: Store, model: str) -> None:
    """Have `logged_models` name a model."""
    store.put_if_absent(f"{_MODELS}{quote(model, safe='')}", b"")


def logged_models(store: Store) -> list[str]:
    """The models of which the store has predictions."""
    return sorted(unquote(key.removeprefix(_MODELS)) for key in store.keys(_MODELS))


def _within(store: Store, folder: str, since: datetime, until: datetime) -> Iterator[tuple[str, str]]:
    """Keys of the hours of an interval, with their names below the folder: by hour where few, by day where many."""
    step, form = (_HOUR, "date=%Y-%m-%d/hour=%H/") if until - since <= 24 * _HOUR else (24 * _HOUR, "date=%Y-%m-%d/")
    if until - since > 400 * 24 * _HOUR:  # so many listings cost more than one of all
        prefixes = ["date="]
    else:
        begin = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        begin = begin if step == _HOUR else begin.replace(hour=0)
        count = (until - begin) // step + 1
        prefixes = [(begin + step * number).strftime(form) for number in range(count)]
    for prefix in prefixes:
        for key in store.keys(f"{folder}/{prefix}"):
            yield key, key.removeprefix(f"{folder}/")


def _floor(seconds: float) -> int:
    return int(seconds * 1000)


def _ceiling(seconds: float) -> int:
    return int(seconds * 1000) + 1


def _moment(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(milliseconds))
