"""The condition `Ready` of kinds whose status holds little else."""

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
_MOST_CHARACTERS = 1000


def ready(status: Json, reason: str, message: str, *, holds: bool) -> list[Json]:
    """The conditions of a status, with this one; its time moves only when it turns.

    Args:
        status: As it is.
        reason: In one word.
        message: In a sentence.
        holds: Whether it is ready.
    """
    told = {"type": "Ready", "status": str(holds), "reason": reason, "message": message[:_MOST_CHARACTERS]}
    before: Json = next((each for each in status.get("conditions", ()) if each["type"] == "Ready"), {})
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    since = before["lastTransitionTime"] if before.get("status") == told["status"] else now
    rest = [each for each in status.get("conditions", ()) if each["type"] != "Ready"]
    return [{**told, "lastTransitionTime": since}, *rest]
