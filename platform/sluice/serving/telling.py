"""What a server says when it is ready: which model, where it listens, and a line that asks it."""

import json
import shlex

from sluice.core.progress import progress
from sluice.serving.app import Server
from sluice.serving.exchange import Loaded
from sluice.serving.openapi import example_row
from sluice.serving.settings import Settings

_LONGEST = 4_000


def tell(settings: Settings, server: Server, port: int) -> None:
    """Say it on standard output."""
    address = f"http://{_host(settings)}:{port}"
    for loaded in server.versions():
        progress(f"{loaded.name}: {evidence(loaded)}")
    token = f"; the token is in {settings.token_file}" if settings.token_file else ""
    progress(f"ready at {address} (a page to try it, /openapi.json, /metrics){token}")
    asked = curl(settings, server, address)
    if asked:
        print(asked, flush=True)  # noqa: T201 - without anything before it, so that it can be pasted


def evidence(loaded: Loaded) -> str:
    """The digest, and why the served form may stand for the model that was judged."""
    served = loaded.judge.served
    return (
        f"digest {served.digest[:12]}, forecasts of {served.parity.rows:,} test rows within "
        f"{served.parity.largest_difference:.1e} of the judged model's"
    )


def curl(settings: Settings, server: Server, address: str) -> str:
    """A line for a shell that asks the server about a made row; empty where that would be too long for a line."""
    loaded = server.versions()[0]
    row = json.dumps({"rows": [example_row(loaded.judge.served)]})
    token = ""
    if settings.token_file:
        token = f'-H "Authorization: Bearer $(grep -m1 -v -e "^#" -e "^$" {shlex.quote(str(settings.token_file))})" '
    line = f"curl -s {address}/v1/predict {token}-d {shlex.quote(row)}"
    return line if len(line) <= _LONGEST else ""


def _host(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - as others are told
    return f"[{host}]" if ":" in host else host
