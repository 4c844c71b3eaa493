"""Who may come in: by a token, by the server's own name, by which port."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.serving.heads import Head
from sluice.serving.refusals import Refusal
from sluice.serving.routes import Route
from sluice.serving.tokens import Tokens

_WEB = "http://"


@dataclass(frozen=True)
class Doors:
    """Who may come in, and by which port.

    Attributes:
        tokens: Those that are asked for; None asks for none.
        hosts: Names of this server that a request may be for, with their port; None allows any. Without tokens it is
            what keeps the pages of other sites out, whose names may be made to lead here (DNS rebinding).
        metrics_port: Where health and metrics are, and nothing else; None has them beside everything.
    """

    tokens: Tokens | None = None
    hosts: frozenset[str] | None = None
    metrics_port: int | None = None

    def check(self, scope: Mapping[str, Any], head: Head, route: Route) -> None:
        """See that a request may come in.

        Raises:
            Refusal: It may not; to who has no token, the answer does not say what there is.
        """
        inside = False
        if self.metrics_port is not None:
            inside = (scope.get("server") or ("", None))[1] == self.metrics_port
            if route.inside not in (("health", "metrics") if inside else ("health", "")):
                raise Refusal(404, f"there is no {head.path[:80]} at this port")
        if self.hosts is not None:
            _check_origin(head, self.hosts)
        if self.tokens and not (route.open or inside) and not self.tokens.accept(head.header(b"authorization")):
            raise Refusal(
                401,
                "this server wants a token: send the header `Authorization: Bearer TOKEN`",
                headers=((b"www-authenticate", b'Bearer realm="sluice"'),),
            )


def _check_origin(head: Head, hosts: frozenset[str]) -> None:
    """Refuse what a page of another site lets its reader's browser send here."""
    if head.header(b"host").lower() not in hosts:
        raise Refusal(421, "this server is asked by another name than its own; use the address that it told")
    origin = head.header(b"origin").lower()
    if origin and origin.removeprefix(_WEB) not in hosts:
        raise Refusal(403, "a page of another site asks; a server without tokens answers its own page alone")
