"""Identities: of an intent, of what was trained on, of an event."""

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256

from pydantic import JsonValue

from sluice.core.digests import sha256_json
from sluice.operator.evidence import EventSeen, Evidence
from sluice.operator.state import EVENT_MARK
from sluice.operator.worlds import Subject


def intent_key(
    subject: Subject, code: str, parameters: dict[str, JsonValue], trigger: str, identity: str, attempt: int = 0
) -> str:
    """The key of a run, 64 characters: who asks for what code with which parameters, and on what evidence.

    Args:
        subject: The resource: by namespace, name and uid.
        code: The digest of the project's code.
        parameters: Of the run.
        trigger: The trigger's name; `request` for a person.
        identity: Of the evidence: a dataset id, a slot's time, a request's uid, an event's source and id, a window's
            id, an upstream version's digest.
        attempt: 0, then 1, 2, … for what is begun again after a failure.
    """
    whom = [subject.namespace, subject.name, subject.uid]
    return sha256_json([*whom, code, parameters, trigger, identity, attempt])


def fingerprint(code: str, pipeline: str | None, parameters: dict[str, JsonValue], evidence: Evidence) -> str:
    """What data, code and parameters together are; empty where a lake's dataset is not known."""
    if not evidence.lakes or not evidence.asked("lakes"):
        return ""
    datasets = sorted((lake.name, lake.dataset) for lake in evidence.lakes)
    upstream = sorted((each.model, each.alias, each.digest) for each in evidence.upstream)
    return sha256_json([code, pipeline or "", parameters, datasets, upstream])


def event_identity(event: EventSeen) -> str:
    """An event's identity: CloudEvents 1.0 says that source and id together are unique."""
    return f"{event.source} {event.id}"


def event_mark(event: EventSeen) -> str:
    """The EVENT_MARK characters by which an event is remembered."""
    return urlsafe_b64encode(sha256(event_identity(event).encode()).digest())[:EVENT_MARK].decode()


def marks_of(events: str) -> Iterable[str]:
    """The marks in `State.events`."""
    return (events[start : start + EVENT_MARK] for start in range(0, len(events), EVENT_MARK))
