"""What stands above a request's body: its path, its headers, and the id by which it can be found again."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sluice.predictions.request_ids import new_request_id

REQUEST_ID, SUBJECT, TRACE = b"x-request-id", b"x-request-subject", b"traceparent"
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_TRACE = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,200})?"
)
_LONGEST_SUBJECT = 200


@dataclass(frozen=True)
class Head:
    """A request without its body.

    Attributes:
        method: In capitals.
        path: Decoded.
        headers: By name in small letters; the last one where it is given several times.
        request: Its id: what the caller gave as `x-request-id`, else one of ours, which tells when it was made.
        named: Whether the id is the caller's.
        subject: `x-request-subject`, or empty.
        trace: A `traceparent` of W3C's form, or empty.
        size: Bytes of address and headers.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    request: str
    named: bool
    subject: str
    trace: str
    size: int

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Self:
        """The head of ASGI's scope."""
        pairs = scope["headers"]
        headers = dict(pairs)
        size = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
        for name, value in pairs:
            size += len(name) + len(value) + 4
        given, trace = headers.get(REQUEST_ID, b""), headers.get(TRACE, b"")
        named = bool(given and _ID.fullmatch(given))
        return cls(
            method=scope["method"],
            path=scope["path"],
            headers=headers,
            request=given.decode() if named else new_request_id(),
            named=named,
            subject=_subject(headers[SUBJECT]) if SUBJECT in headers else "",
            trace=trace.decode() if trace and _TRACE.fullmatch(trace) else "",
            size=size,
        )

    def header(self, name: bytes) -> str:
        """A header's text, or an empty one."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def media_type(self) -> str:
        """The body's type without its parameters, in small letters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()


def _subject(given: bytes) -> str:
    """Who the request is about; a text that is no UTF-8, or too long, counts as none, for it may be a mistake."""
    try:
        text = given.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _LONGEST_SUBJECT and text.isprintable() else ""
