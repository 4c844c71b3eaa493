"""Events as CloudEvents' own SDK, MinIO and AWS send them; what is none is refused in one line."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.errors import BadInput
from sluice.operator.on_cluster.cloud_events import MOST_EVENTS, read_events

HEAD = {"specversion": "1.0", "id": "1", "source": "/lake", "type": "com.example.arrived"}


def sdk_messages() -> list[tuple[str, dict[str, str], bytes]]:
    from cloudevents.v1.conversion import to_binary, to_json, to_structured
    from cloudevents.v1.http import CloudEvent

    event = CloudEvent({**HEAD, "time": "2026-01-02T03:04:05Z", "subject": "größe x"}, {"rows": 3})
    batch = b"[" + b",".join([to_json(event), to_json(event)]) + b"]"
    return [
        ("binary", *to_binary(event)),
        ("structured", *to_structured(event)),
        ("batch", {"content-type": "application/cloudevents-batch+json"}, batch),
    ]


@pytest.mark.parametrize("how", ["binary", "structured", "batch"])
def test_the_sdk_s_messages_are_read(how: str) -> None:
    _, headers, body = next(each for each in sdk_messages() if each[0] == how)
    found = read_events({name.lower(): text for name, text in headers.items()}, body)
    assert len(found) == (2 if how == "batch" else 1)
    assert (found[0].id, found[0].source, found[0].type) == ("1", "/lake", "com.example.arrived")
    assert found[0].time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record(**changes: Any) -> dict[str, Any]:
    what = {"key": "flights%2Fnew+month.csv", "sequencer": "17F1", "eTag": "e"} | changes
    return {
        "eventVersion": "2.0",
        "eventName": "s3:ObjectCreated:Put",
        "eventTime": "2026-01-02T03:04:05.000Z",
        "s3": {"bucket": {"name": "lakes"}, "object": what},
    }


def test_a_bucket_s_notification_is_an_event() -> None:
    body = json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": "x", "Records": [record(), record(sequencer="2")]})
    first, second = read_events({"content-type": "application/json"}, body.encode())
    assert (first.source, first.subject) == ("s3://lakes", "flights/new month.csv")
    assert first.type == "s3:ObjectCreated:Put"
    assert first.id != second.id
    assert read_events({}, body.encode()) == [first, second]  # sent again it has the same identity


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({}, b"", "no JSON"),
        ({}, b"{}", "no event"),
        ({}, b'{"Records": [1]}', "s3.bucket.name"),
        ({"content-type": "application/cloudevents+json"}, b"[]", "a JSON object"),
        ({"content-type": "application/cloudevents+json"}, b'{"id": "1"}', "specversion"),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", "a list"),
        (
            {"content-type": "application/cloudevents-batch+json"},
            json.dumps([HEAD] * (MOST_EVENTS + 1)).encode(),
            "most",
        ),
        ({"content-type": "application/cloudevents+json"}, json.dumps({**HEAD, "id": ""}).encode(), "id"),
        ({"content-type": "application/cloudevents+json"}, json.dumps({**HEAD, "time": "now"}).encode(), "RFC 3339"),
        ({"content-type": "application/cloudevents+json"}, json.dumps({**HEAD, "time": "2026-01-02"}).encode(), "zone"),
        ({"content-type": "application/cloudevents+json"}, b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_event_is_refused(headers: dict[str, str], body: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        read_events(headers, body)
    assert "\n" not in str(caught.value)


@given(
    st.dictionaries(st.sampled_from(["content-type", "ce-id", "ce-source", "ce-type", "ce-time", "ce-specversion"]),
                    st.text(max_size=20)),
    st.binary(max_size=60) | st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)
                                          | st.dictionaries(st.text(), inner)).map(lambda v: json.dumps(v).encode()),
)  # fmt: skip
def test_nothing_breaks_it(headers: dict[str, str], body: bytes) -> None:
    with contextlib.suppress(BadInput):
        assert isinstance(read_events(headers, body), list)
