"""What a protocol does: reads rows from a body, writes the forecasts, says an error; and the plain JSON of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from sluice.serving.exchange import Answer, Loaded
from sluice.serving.heads import Head
from sluice.serving.limits import Limits, check_nesting
from sluice.serving.refusals import Refusal

JSON = "application/json"
encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Asked:
    """Rows as a body holds them, not yet held to the contract.

    Attributes:
        count: Rows.
        rows: One mapping a row; none where columns are sent.
        columns: Raw values by column; None where rows are sent.
        more: What else the protocol's answer follows from.
    """

    count: int
    rows: Sequence[Mapping[str, Any]] = ()
    columns: Mapping[str, Sequence[Any]] | None = None
    more: Any = None


@dataclass(frozen=True)
class Answered:
    """What is said of rows, and by whom.

    Attributes:
        loaded: The version that answers.
        request: The request's id.
        answer: Its forecasts.
        passed_over: Names that the request has and the model does not take.
    """

    loaded: Loaded
    request: str
    answer: Answer
    passed_over: tuple[str, ...] = ()


class Wire(Protocol):
    """A protocol's way to read and write.

    Attributes:
        media_type: Of its answers.
        quick: Whether a short body is read in a fraction of a millisecond.
    """

    media_type: str
    quick: bool

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:
        """The rows of a body, as `loaded` takes them; raises `Refusal` where it is none of this protocol's."""
        ...

    def write(self, asked: Asked, answered: Answered) -> bytes:
        """The body of an answer."""
        ...

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:
        """An error as JSON; `loaded` is who would have answered, where that is known."""
        ...


class _PlainRequest(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]]


class Plain:
    """`POST /v1/predict`: rows in, a forecast for each of them out."""

    media_type, quick = JSON, True

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(_PlainRequest).decode

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:  # noqa: ARG002 - see Wire
        """See `Wire`."""
        check_nesting(body, limits)
        try:
            rows = self._decode(body).rows
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refusal(400, f'the body is not JSON of the form {{"rows": [{{…}}]}}: {error}') from None
        check_count(len(rows), limits)
        return Asked(len(rows), rows)

    def write(self, asked: Asked, answered: Answered) -> bytes:  # noqa: ARG002 - see Wire
        """See `Wire`."""
        loaded = answered.loaded
        body = {
            "model": loaded.name,
            "digest": loaded.digest,
            "request": answered.request,
            "forecasts": forecasts(answered.answer, loaded.judge.served.classes),
        }
        if answered.passed_over:
            body["passed_over"] = answered.passed_over
        return encode(body)

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:
        """See `Wire`."""
        body: dict[str, Any] = {"detail": refusal.detail, "request": request}
        if refusal.problems:
            body |= {"problems": refusal.problems, "count": sum(refusal.kinds.values())}
        return body | ({"model": loaded.name, "digest": loaded.digest} if loaded else {})


def forecasts(answer: Answer, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """An answer as JSON values, one a row."""
    if answer.called is None:
        return [{"prediction": value} for value in answer.values.tolist()]
    return [
        {"prediction": classes[called], "probabilities": dict(zip(classes, row, strict=True))}
        for row, called in zip(answer.values.tolist(), answer.called.tolist(), strict=True)
    ]


def check_count(count: int, limits: Limits) -> None:
    """Refuse a request without rows, or with too many."""
    if not count:
        raise Refusal(400, f"the request has no row; send from 1 to {limits.rows:,}")
    if count > limits.rows:
        raise Refusal(413, f"the request has {count:,} rows; send from 1 to {limits.rows:,}")


def read_json(body: bytes, limits: Limits, form: str) -> dict[str, Any]:
    """A body that is a JSON object.

    Args:
        body: It.
        limits: Of requests.
        form: What it should be, for the message.
    """
    check_nesting(body, limits)
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON of the form {form}: {error}") from None
    if not isinstance(found, dict):
        raise Refusal(400, f"the body is JSON, but not an object of the form {form}")
    return found
