"""`POST /v1/feedback`: labels that come back for what was answered."""

from typing import Any

import msgspec

from sluice.core.errors import BadInput
from sluice.predictions.forms import LogForm
from sluice.predictions.labels import keep_labels, moment_in
from sluice.storage.stores import Store

MOST_LABELS = 100_000


class Feedback(msgspec.Struct, forbid_unknown_fields=True):
    """The body: labels, each with what names its row.

    Attributes:
        labels: Such as `{"request": "0198…", "row": 0, "late": "yes"}`, or with the key's columns for the request.
        arrived: When they became known, such as `2026-03-01T14:00:00Z`; left out for now.
    """

    labels: list[dict[str, Any]]
    arrived: str | None = None


_decode = msgspec.json.Decoder(Feedback).decode


def take_feedback(body: bytes, form: LogForm, store: Store) -> dict[str, Any]:
    """Keep the labels of a request; the answer says how many.

    It waits for the store, so a server calls it in a thread. What it returns was kept: whoever got no answer sends the
    same again.

    Args:
        body: JSON.
        form: What the model's log says of it; `prediction_log.form_of` makes it of who answers.
        store: Where the log is.

    Raises:
        BadInput: What was sent is wrong (a status of 422).
        EnvironmentFault: The store failed (503).
    """
    try:
        given = _decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"the body is no JSON of the form {{'labels': [{{…}}]}}: {error}") from None
    if len(given.labels) > MOST_LABELS:
        raise BadInput(f"{len(given.labels):,} labels; send at most {MOST_LABELS:,} at once")
    taken = keep_labels(store, form, given.labels, "the request", moment_in(given.arrived))
    return {"model": taken.model, "labels": taken.labels, "without": taken.without, "by": list(taken.by)}
