"""Requests that are answered with an error, before each protocol says it in its own words."""

from collections.abc import Mapping
from typing import Any

from sluice.serving.row_schema import InvalidRows


class Refusal(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP's.
        detail: One line.
        problems: What is wrong with the rows, one entry a value; none for other errors.
        kinds: How many there are of each kind.
        wait: Seconds after which it may be sent again; None where that cannot help.
        rest: Whether some of the body may still come.
        close: Whether the connection ends with the answer, for what else comes on it cannot be read.
        headers: More headers of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        problems: tuple[Mapping[str, Any], ...] = (),
        kinds: Mapping[str, int] | None = None,
        wait: int | None = None,
        rest: bool = False,
        close: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.problems, self.kinds = status, detail, problems, dict(kinds or {})
        self.wait, self.rest, self.close, self.headers = wait, rest, close, headers


class Gone(Exception):
    """Who asked has closed the connection: there is nobody to answer."""


def refused_rows(invalid: InvalidRows) -> Refusal:
    """422 for rows that break the contract, naming row and field."""
    problems = tuple(
        {"row": problem.row, "field": problem.field, "kind": problem.kind, "message": problem.message}
        for problem in invalid.problems
    )
    more = f" (and {invalid.count - 1:,} more)" if invalid.count > 1 else ""
    first = invalid.problems[0]
    place = f"row {first.row}: " if first.row is not None else ""
    return Refusal(422, f"{place}{first.message}{more}", problems=problems, kinds=invalid.kinds)
