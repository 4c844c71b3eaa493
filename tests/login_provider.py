"""An OpenID Connect provider that logs in whoever comes, at once: for tests of what stands behind a login.

`python login_provider.py PORT ISSUER` serves one by itself; GET /become?email=... says who comes next.

Source: OpenID Connect Core 1.0, the code flow; RFC 7515 and 7517 for the token and its key.
"""

import base64
import json
import sys
import time
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

INSIDE = "somebody@example.org"


class Quiet(BaseHTTPRequestHandler):
    """Answers with JSON and keeps no log."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send JSON."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


class Provider:
    """The provider; `email` is who comes next."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, url: str = "") -> None:
        self.email, self.key = INSIDE, rsa.generate_private_key(65537, 2048)
        self.nonce = ""
        provider = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                asked = dict(urllib.parse.parse_qsl(url.query))
                if url.path == "/authorize":
                    provider.nonce = asked.get("nonce", "")
                    back = urllib.parse.urlencode({"code": "once", "state": asked["state"]})
                    self.answer({}, 302, {"Location": f"{asked['redirect_uri']}?{back}"})
                elif url.path == "/become":
                    provider.email = asked["email"]
                    self.answer({})
                else:
                    self.answer(provider.jwks() if url.path == "/keys" else provider.discovery())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                token = provider.token()
                told = {"access_token": "a", "token_type": "Bearer", "id_token": token}
                self.answer(told, headers={"Content-Type": "application/json"})

        self.server = ThreadingHTTPServer((host, port), Handler)
        self.url = url or f"http://127.0.0.1:{self.server.server_port}"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def discovery(self) -> dict[str, Any]:
        """Where its parts are."""
        places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        found = {name: f"{self.url}/{path}" for name, path in places.items()}
        return {"issuer": self.url, "id_token_signing_alg_values_supported": ["RS256"], **found}

    def jwks(self) -> dict[str, Any]:
        """Its public key."""
        numbers = self.key.public_key().public_numbers()
        n, e = (number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": plain(n), "e": plain(e)}]}

    def token(self, **other: Any) -> str:
        """An id token of its user."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "1", "aud": "sluice", "iat": now, "exp": now + 600, "email": self.email}
        claims |= {"email_verified": True, "nonce": self.nonce} | other
        head = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        body = ".".join(plain(json.dumps(part).encode()) for part in (head, claims))
        return f"{body}.{plain(self.key.sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def plain(data: bytes) -> str:
    """Base64 for addresses, without its padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    Provider("0.0.0.0", int(sys.argv[1]), sys.argv[2]).thread.join()
