"""An OpenID Connect provider that logs in whoever comes, at once: for tests of what stands behind a login.

It is mockoidc, which holds clients to the protocol: their secret, scopes, the code that counts once, the challenge.
"""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from typing import Any

from tests.charts.rendering import program
from tests.conftest import free_port

INSIDE = "somebody@example.org"
CLIENT, SECRET = "sluice", "secret"
START_SECONDS = 30.0


def words(address: str, issuer: str) -> list[str]:
    """What the program is told: where it listens, and how clients know it."""
    told = {"address": address, "issuer": issuer, "client-id": CLIENT, "client-secret": SECRET, "email": INSIDE}
    return [f"--{name}={value}" for name, value in told.items()]


class Provider:
    """The provider in a process of its own.

    Attributes:
        url: Its issuer.
        email: Who comes next.
    """

    def __init__(self) -> None:
        address, self.email = f"127.0.0.1:{free_port()}", INSIDE
        self._place = f"http://{address}"
        self.url = f"{self._place}/oidc"
        self._process = subprocess.Popen([program("mock-oidc"), *words(address, self._place)])
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "the provider ended at once"
            assert time.monotonic() < deadline, "the provider does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return bool(self._asked("/oidc/.well-known/openid-configuration"))
        except OSError:
            return False

    def _asked(self, path: str, body: bytes | None = None) -> str:
        with urllib.request.urlopen(self._place + path, body, timeout=10) as answer:
            return str(answer.read().decode())

    def become(self, email: str) -> None:
        """Who comes next."""
        self._asked(f"/become?{urllib.parse.urlencode({'email': email})}")
        self.email = email

    def token(self, **other: Any) -> str:
        """An id token of its user, signed with its key; claims may be others."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "1", "aud": CLIENT, "iat": now, "exp": now + 600, "email": self.email}
        return self._asked("/sign", json.dumps(claims | {"email_verified": True} | other).encode())

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=30)
