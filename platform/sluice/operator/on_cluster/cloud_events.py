"""Events that come over HTTP: CloudEvents 1.0 in all three modes, and what S3 buckets tell.

Source: CloudEvents 1.0.2, HTTP protocol binding (binary, structured and batched content mode); AWS' and MinIO's
notification records, version 2. The tests hold this to the messages of CloudEvents' own SDK.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from pydantic import ValidationError

from sluice.core.errors import BadInput
from sluice.operator.evidence import EventSeen

MOST_BYTES = 256 * 1024
MOST_EVENTS = 1000
_MOST_CHARACTERS = 2000
_PREFIX = "ce-"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_SPECIFICATION = "1."


def read_events(headers: Mapping[str, str], body: bytes) -> list[EventSeen]:
    """The events of a request.

    Args:
        headers: By their names in small letters.
        body: At most MOST_BYTES.

    Raises:
        BadInput: It holds no event that has an id and a source.
    """
    form = headers.get("content-type", "").partition(";")[0].strip().lower()
    if form == BATCH:
        found = _json(body)
        if not isinstance(found, list):
            raise BadInput("a batch of events is a list")
        if len(found) > MOST_EVENTS:
            raise BadInput(f"a batch holds at most {MOST_EVENTS} events, this one {len(found)}")
        return [_event(each) for each in found]
    if form == STRUCTURED:
        return [_event(_json(body))]
    if f"{_PREFIX}id" in headers or f"{_PREFIX}specversion" in headers:
        return [_event({name.removeprefix(_PREFIX): unquote(text.strip('"')) for name, text in headers.items()
                        if name.startswith(_PREFIX)})]  # fmt: skip
    return _records(_json(body))


def _records(document: Any) -> list[EventSeen]:  # noqa: ANN401 - JSON
    """What a bucket tells: each record is an event by the object's place and its sequence number or version."""
    records = document.get("Records") if isinstance(document, dict) else None
    if not isinstance(records, list) or not records:
        raise BadInput(f"no event: send a CloudEvent (headers ce-id, ce-source, ce-type; or {STRUCTURED}), or a "
                       "bucket's notification")  # fmt: skip
    if len(records) > MOST_EVENTS:
        raise BadInput(f"a notification holds at most {MOST_EVENTS} records, this one {len(records)}")
    return [_record(each) for each in records]


def _record(record: Any) -> EventSeen:  # noqa: ANN401 - JSON
    try:
        what = record["s3"]["object"]
        bucket, key = str(record["s3"]["bucket"]["name"]), unquote_plus(str(what["key"]))
        mark = what.get("sequencer") or what.get("versionId") or what.get("eTag") or record.get("eventTime")
        name = str(record.get("eventName", "")).removeprefix("s3:")
        given = {"id": f"{key}#{mark}", "source": f"s3://{bucket}", "type": f"s3:{name}", "subject": key,
                 "time": record.get("eventTime")}  # fmt: skip
    except (KeyError, TypeError, AttributeError):
        raise BadInput("a bucket's notification without s3.bucket.name and s3.object.key") from None
    return _event({"specversion": "1.0", **given})


def _event(given: Any) -> EventSeen:  # noqa: ANN401 - JSON
    if not isinstance(given, dict):
        raise BadInput("an event is a JSON object")
    if not str(given.get("specversion", "")).startswith(_SPECIFICATION):
        raise BadInput("an event without specversion 1.0")
    for name in ("id", "source", "type"):
        if not isinstance(given.get(name), str) or not 0 < len(given[name]) <= _MOST_CHARACTERS:
            raise BadInput(f"an event's {name} is a text of 1 to {_MOST_CHARACTERS} characters")
    try:
        return EventSeen(
            id=given["id"],
            source=given["source"],
            type=given["type"],
            time=_moment(given.get("time")),
            subject=str(given.get("subject") or "")[:_MOST_CHARACTERS],
        )
    except ValidationError as error:
        raise BadInput(f"event {given['id'][:60]!r}: {error.errors()[0]['msg']}") from None


def _moment(text: Any) -> datetime | None:  # noqa: ANN401 - JSON
    if not text:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise BadInput(f"an event's time is as RFC 3339 has it, not {str(text)[:40]!r}") from None
    if found.tzinfo is None:
        raise BadInput(f"an event's time needs a time zone: {str(text)[:40]!r}")
    return found


def _json(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadInput("the body is no JSON") from None
