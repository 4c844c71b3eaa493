"""A notice of new alarms to an address that takes JSON: a chat's webhook, or a service of one's own."""

import json
from urllib.parse import urlsplit

import urllib3

from sluice.core.addresses import redacted
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.monitoring.records import WindowRecord

_SECONDS = 10.0
_TRIES = 3


def send_alarms(address: str, model: str, window: WindowRecord) -> int:
    """Send each new alarm of a window, one request each; rows are left out, for they do not belong in a chat.

    Args:
        address: Of http or https.
        model: `MODEL/version`, or empty.
        window: The window.

    Returns:
        How many were sent.

    Raises:
        BadInput: The address is none, or refuses the notice.
        EnvironmentFault: It cannot be reached, after three tries.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"--webhook {redacted(address)!r} is no address; write https://HOST/PATH")
    new = [alarm for alarm in window.alarms if alarm.new]
    retry = urllib3.Retry(
        total=_TRIES - 1, backoff_factor=0.2, status_forcelist=(502, 503, 504), allowed_methods=None, redirect=0
    )
    with urllib3.PoolManager(retries=retry, timeout=_SECONDS) as pool:
        for alarm in new:
            body = alarm.model_dump(mode="json", exclude={"rows", "new"}) | {"model": model, "window": window.name}
            body["text"] = f"{alarm.severity}: {alarm.title} ({model or 'model'}, {window.name}): {alarm.cause}"
            try:
                answer = pool.request(
                    "POST", address, body=json.dumps(body), headers={"Content-Type": "application/json"}
                )
            except urllib3.exceptions.HTTPError as error:
                reason = f"{type(error).__name__} after {_TRIES} tries"
                raise EnvironmentFault(f"webhook {redacted(address)} cannot be reached ({reason})") from None
            if answer.status >= 300:
                raise BadInput(f"webhook {redacted(address)} answered {answer.status}; check the address and its token")
    return len(new)
