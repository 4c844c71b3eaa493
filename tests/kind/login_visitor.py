"""Who visits the release from outside: a browser behind an ingress controller that ends TLS, and a program of its own.

It runs in a pod, with the standard library alone: `python login_visitor.py WHERE`, WHERE as JSON. It prints, as JSON,
the status and the first words of each answer.
"""

import base64
import http.client
import json
import socket
import sys
import urllib.parse
from typing import Any

SECONDS = 20


def call(place: str, path: str, headers: dict[str, str]) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, body and headers of one answer; nothing is followed."""
    connection = http.client.HTTPConnection(place, timeout=SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace"), answer.getheaders()
    finally:
        connection.close()


class Browser:
    """Follows redirects and keeps cookies, for one host that the ingress controller serves by https."""

    def __init__(self, proxy: str, host: str) -> None:
        self.proxy, self.host, self.cookies = proxy, host, dict[str, str]()

    def get(self, path: str, **more: str) -> tuple[int, str]:
        """What a person sees in the end."""
        place, headers = self.proxy, self.own(more)
        for _ in range(10):
            status, body, told = call(place, path, headers)
            if place == self.proxy:
                self.keep(told)
            target = next((value for name, value in told if name.lower() == "location"), "")
            if status not in (301, 302, 303, 307) or not target:
                return status, body[:200]
            url = urllib.parse.urlsplit(target)
            path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
            ours = url.netloc in ("", self.host)
            place, headers = (self.proxy, self.own(more)) if ours else (url.netloc, {})
        return 0, "too many redirects"

    def own(self, more: dict[str, str]) -> dict[str, str]:
        """The headers that an ingress controller sets, and the cookies."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {
            "Host": self.host,
            "X-Forwarded-Host": self.host,
            "X-Forwarded-Proto": "https",
            "Cookie": cookies,
        } | more

    def keep(self, headers: list[tuple[str, str]]) -> None:
        """Take cookies; an empty one is taken away."""
        for name, value in headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]


def fate(place: str) -> str:
    """What comes of a connection to it: a NetworkPolicy lets packets vanish."""
    host, _, port = place.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        return "closed" if isinstance(error, TimeoutError) else repr(error)
    return "open"


def visit(where: dict[str, str]) -> dict[str, Any]:
    """Everything that is to be seen, in order."""
    kfp, host = where["kfp"], where["host"]
    account = {"Authorization": "Basic " + base64.b64encode(where["account"].encode()).decode()}
    seen: dict[str, Any] = {}
    anonymous = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}
    claimed = anonymous | {"X-Forwarded-Email": "somebody@example.org"}
    seen["api without a login"] = call(kfp, "/apis/v2beta1/pipelines", anonymous)[0]
    seen["api with a claim"] = call(kfp, "/apis/v2beta1/pipelines", claimed)[0]
    seen["pages without a login"] = call(kfp, "/", anonymous)[0]
    mlflow = {"Host": where["mlflow host"], "X-Forwarded-Proto": "https"}
    seen["mlflow without a login"] = call(where["mlflow"], "/", mlflow)[0]
    seen["mlflow's api without a login"] = call(
        where["mlflow"], "/api/2.0/mlflow/experiments/get?experiment_id=0", mlflow
    )[0]
    call(where["provider"], "/become?email=somebody@elsewhere.org", {})
    stranger = Browser(kfp, host)
    seen["a stranger"] = stranger.get("/")[0]
    seen["a stranger's call"] = call(kfp, "/apis/v2beta1/pipelines", stranger.own({}))[0]
    call(where["provider"], "/become?email=somebody@example.org", {})
    person = Browser(kfp, host)
    seen["pages"] = person.get("/")
    seen["api"] = person.get("/apis/v2beta1/pipelines")
    seen["mlflow's pages"] = Browser(where["mlflow"], where["mlflow host"]).get("/", **account)
    seen["past the proxy"] = {place: fate(place) for place in where["direct"].split()}
    return seen


if __name__ == "__main__":
    print("SEEN", json.dumps(visit(json.loads(sys.argv[1]))))
