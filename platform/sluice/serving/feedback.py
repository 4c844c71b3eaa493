"""`POST /v1/feedback`: labels that come back for what was answered."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import msgspec

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.progress import progress
from sluice.predictions.forms import LogForm
from sluice.predictions.labels import keep_labels, moment_in
from sluice.serving.exchange import Loaded
from sluice.serving.prediction_log import form_of
from sluice.serving.refusals import Refusal
from sluice.storage.stores import Store

MOST_LABELS = 100_000
MOST_AT_ONCE = 8
"""Requests that wait for the store: were there more of them, one that is away would leave no room for rows."""
_THREADS = 2


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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadInput(f"the body is no JSON of the form {{'labels': [{{…}}]}}: {error}") from None
    if len(given.labels) > MOST_LABELS:
        raise BadInput(f"{len(given.labels):,} labels; send at most {MOST_LABELS:,} at once")
    taken = keep_labels(store, form, given.labels, "the request", moment_in(given.arrived))
    return {"model": taken.model, "labels": taken.labels, "without": taken.without, "by": list(taken.by)}


class _ServersStore:
    """A store whose faults are the server's, whatever they are: a wrong address is none of the caller's doing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of any method
        found = getattr(self._store, name)
        return partial(self._called, found) if callable(found) else found

    def _called(self, method: Callable[..., Any], *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as above
        try:
            return method(*given, **named)
        except BadInput as error:
            raise EnvironmentFault(str(error)) from None


class FeedbackDesk:
    """Takes labels for a server, in threads of its own, so that no answer waits for the store.

    Args:
        store: Where the log is.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._taking = cast(Store, _ServersStore(store)), 0
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="labels")

    async def take(self, body: bytes, loaded: Loaded) -> dict[str, Any]:
        """Keep the labels of a request; see `take_feedback`.

        Args:
            body: JSON.
            loaded: Who answers now.

        Raises:
            Refusal: What was sent is wrong (422), the store does not take it now, or too many wait (503).
        """
        if self._taking >= MOST_AT_ONCE:
            raise Refusal(503, "as many labels are being kept as may be at once; try again in a second", wait=1)
        self._taking += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, take_feedback, body, form_of(loaded), self._store)
        except BadInput as error:
            raise Refusal(422, str(error)) from None
        except EnvironmentFault as fault:
            progress(f"labels were not kept: {fault}")
            raise Refusal(503, "the labels were not kept, for the store fails; send them again", wait=5) from None
        finally:
            self._taking -= 1

    def start(self) -> None:
        """See `Started.start`."""

    def stop(self) -> None:
        """End the threads, once what they took is kept."""
        self._threads.shutdown(wait=True)
