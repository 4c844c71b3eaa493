"""What a request may be, and how much of them the server holds at a time: what is beyond is refused, never kept."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sluice.serving.refusals import Gone, Refusal

Receive = Callable[[], Awaitable[dict[str, Any]]]
_NESTED_BODY = 64 * 2**10
_DISCARD_SECONDS = 2.0
_SPARE = 1_000  # brackets beside those that the rows need


class Limits(BaseModel):
    """What a request may be, and how many there are at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    body: Annotated[int, Field(ge=1, description="Bytes of a request's body.")] = 4 * 2**20
    rows: Annotated[int, Field(ge=1, description="Rows of a request.")] = 10_000
    headers: Annotated[int, Field(ge=256, description="Bytes of a request's address and headers.")] = 16 * 2**10
    requests: Annotated[int, Field(ge=1, description="Requests that are answered at the same time.")] = 256
    held: Annotated[int, Field(ge=1, description="Bytes of bodies that are held at the same time.")] = 64 * 2**20
    connections: Annotated[int, Field(ge=1, description="Open connections.")] = 1_000
    seconds: Annotated[float, Field(gt=0, description="Seconds that the headers, and then a body, may take.")] = 10.0


class Held:
    """The bodies that are in memory.

    Args:
        limits: What they may be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.bytes = 0

    async def body(self, receive: Receive, stated: str) -> bytes:
        """A request's body; `release` must be called with its length once it is not needed any more.

        Args:
            receive: ASGI's.
            stated: The header `content-length`, or an empty text.

        Raises:
            Refusal: It is too long, too slow, or there are too many at once.
            Gone: The sender has closed the connection.
        """
        if stated.isascii() and stated.isdecimal() and (len(stated) > 15 or int(stated) > self._limits.body):
            raise self._too_long(rest=True)
        chunks: list[bytes] = []
        size = 0
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        try:
            while True:
                message = await self._next(receive, deadline)
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                self.bytes += len(chunk)
                more = bool(message.get("more_body"))
                if size > self._limits.body:
                    raise self._too_long(rest=more)
                if self.bytes > self._limits.held:
                    words = "the server holds as many requests as it may; try again in a second"
                    raise Refusal(503, words, wait=1, rest=more)
                chunks.append(chunk)
                if not more:
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except BaseException:
            self.release(size)
            raise

    async def discarded(self, receive: Receive) -> bool:
        """Read what is left of a body and keep none of it, so that its sender comes to read the answer.

        Returns:
            Whether it came to its end, within twice what a body may have and two seconds.

        Raises:
            Gone: The sender has closed the connection.
        """
        left = 2 * self._limits.body
        try:
            async with asyncio.timeout(min(_DISCARD_SECONDS, self._limits.seconds)):
                while left >= 0:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Gone
                    if not message.get("more_body"):
                        return True
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        return False

    def release(self, size: int) -> None:
        """A body is out of memory."""
        self.bytes -= size

    async def _next(self, receive: Receive, deadline: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError:
            seconds = self._limits.seconds
            raise Refusal(
                408, f"the body did not come within {seconds:g} seconds; send it faster", close=True
            ) from None

    def _too_long(self, *, rest: bool) -> Refusal:
        return Refusal(413, f"the body is longer than {self._limits.body:,} bytes; send fewer rows at once", rest=rest)


def check_nesting(body: bytes, limits: Limits) -> None:
    """Refuse a long body with so many objects that it would grow many times over in memory.

    A body of `[[],[],[],…` takes twenty times its length once it is read. Rows need two brackets at most each.

    Raises:
        Refusal: There are more than any rows need.
    """
    if len(body) > _NESTED_BODY and body.count(b"{") + body.count(b"[") > 2 * limits.rows + _SPARE:
        raise Refusal(413, f"the body has more objects than {limits.rows:,} rows need; send fewer rows at once")
