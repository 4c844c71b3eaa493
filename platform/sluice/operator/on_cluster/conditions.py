"""Conditions of kinds whose status holds little else."""

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
NO_POD = "NoPodAnswers"
"""The reason of a ModelServer's `Ready` where servers were made and none answers: what speaks against a champion."""
_MOST_CHARACTERS = 1000


def ready(status: Json, reason: str, message: str, *, holds: bool) -> list[Json]:
    """The conditions of a status, with `Ready` as it is now; its time moves when it turns, or servers stop answering.

    Args:
        status: As it is.
        reason: In one word.
        message: In a sentence.
        holds: Whether it is ready.
    """
    return condition(status, "Ready", reason, message, holds=holds)


def condition(status: Json, kind: str, reason: str, message: str, *, holds: bool) -> list[Json]:
    """The conditions of a status, with one of them as it is now, `Ready` first; arguments as of `ready`."""
    told = {"type": kind, "status": str(holds), "reason": reason, "message": message[:_MOST_CHARACTERS]}
    others = [each for each in status.get("conditions", ()) if each["type"] != kind]
    before: Json = next((each for each in status.get("conditions", ()) if each["type"] == kind), {})
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    turned = before.get("status") != told["status"] or (reason == NO_POD != before.get("reason"))
    since = now if turned else before["lastTransitionTime"]
    whole = [{**told, "lastTransitionTime": since}, *others]
    return sorted(whole, key=lambda each: (each["type"] != "Ready", each["type"]))
