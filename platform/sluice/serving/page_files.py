"""The page to try a model: three files, the same for every model; the form is made from what the server says of it."""

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
SECURITY = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
            b"form-action 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of the page: it may load its own two files, ask its own server, and nothing else."""


@dataclass(frozen=True)
class Page:
    """A file of the page.

    Attributes:
        body: Its bytes.
        media_type: Its type.
    """

    body: bytes
    media_type: str


def _page(name: str) -> Page:
    path = _FOLDER / name
    return Page(path.read_bytes(), f"{_TYPES[path.suffix]}; charset=utf-8")


PAGES = {"/": _page("page.html"), "/page.js": _page("page.js"), "/page.css": _page("page.css")}
"""The files by path."""
