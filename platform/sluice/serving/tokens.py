"""Who may ask: bearer tokens from a file, which may change while the server runs.

Source: RFC 6750. A token is compared by its SHA-256 with each that is known, in constant time, so that neither its
letters nor their number follow from how long the answer takes.
"""

import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.files import faults
from sluice.core.progress import progress

SHORTEST = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_LOOK_SECONDS = 1.0
_MOST_BYTES = 2**20


class Tokens:
    """The tokens of a file: one a line; empty lines and those that begin with `#` are passed over.

    The file is looked at once a second. A file without tokens lets nobody in. One that cannot be read, or holds what is
    no token, changes nothing until it can: a rotation that failed halfway must not shut everybody out.

    Args:
        path: The file.
        clock: Seconds that only grow.

    Raises:
        BadInput: It is missing, or a line is no token; the message does not show it.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._stamp, self._known = _stamp(path), _read(path)
        if not self._known:
            raise BadInput(f"{path} holds no token; write one a line, such as `openssl rand -hex 32` gives")
        self._looked = clock()

    def accept(self, authorization: str) -> bool:
        """Whether a header `authorization` carries a token that is known."""
        self._look()
        scheme, _, token = authorization.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        found = False
        for known in self._known:
            found |= hmac.compare_digest(known, given)
        return found and scheme.lower() == "bearer"

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            known = _read(self._path)
        except (BadInput, EnvironmentFault) as error:
            progress(f"the tokens stay as they were: {error}")
            self._stamp = None
            return
        self._stamp, self._known = stamp, known
        progress(f"{self._path} has changed: {len(known)} token{'' if len(known) == 1 else 's'}")


def own_token_file(folder: Path) -> Path:
    """A file with a token of this machine's own, for its user alone; made where it is not there yet.

    Raises:
        EnvironmentFault: It cannot be written.
    """
    path = folder / "token"
    with faults(str(path)):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_urlsafe(32) + "\n")
    return path


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; a Secret in a pod is a link that is moved, which this follows."""
    with faults(str(path)):
        found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> tuple[bytes, ...]:
    with faults(str(path)), path.open("rb") as stream:
        data = stream.read(_MOST_BYTES)
    found = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < SHORTEST or not _TOKEN.fullmatch(token):
            raise BadInput(
                f"{path}, line {number}: this is no token; write {SHORTEST} or more letters, digits and -._~+/"
            )
        found.append(hashlib.sha256(token.encode()).digest())
    return tuple(found)
