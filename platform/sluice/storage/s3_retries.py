"""How often a request of MinIO's own client is tried again, and what the person who waits is told."""

import logging
import ssl
from typing import Any, Self

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from sluice.core.progress import progress
from sluice.storage.failures import TRANSIENT
from sluice.storage.tries import tries

TIMEOUT = Timeout(connect=5, read=10)  # seconds; with 4 tries a server that hangs is given up after 4 x 10 s and 6 s


def reason(error: Exception) -> str:
    """Why a request failed, in a few words, without the request's URL."""
    cause = error.reason if isinstance(error, MaxRetryError) else error
    return str(cause).rpartition(": ")[2].strip("\"')")


class Retries(Retry):
    """Bounded retries, each told in a line of its own."""

    def increment(self, *request: Any, **named: Any) -> Self:  # noqa: ANN401 - as Retry does
        """See `urllib3.Retry.increment`; a certificate that is not trusted will not be at the next try either."""
        error = named.get("error")
        if isinstance(error, SSLError) and isinstance(error.args[0], ssl.SSLCertVerificationError):
            raise MaxRetryError(named["_pool"], None, error)
        return super().increment(*request, **named)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Pause before the next try: 0, 2, 4, 8, … seconds, and up to half a second by chance."""
        last = self.history[-1]
        why = f"HTTP status {last.status}" if last.error is None else reason(last.error)
        progress(f"S3 did not take a {last.method} ({why}); trying again")
        super().sleep(response)


def retries(status: frozenset[int] = TRANSIENT) -> Retries:
    """The retries of one request, as many as SLUICE_STORE_TRIES says.

    Args:
        status: The HTTP statuses that another try may mend.

    Raises:
        BadInput: SLUICE_STORE_TRIES is wrong.
    """
    return Retries(
        total=tries() - 1,
        redirect=0,
        raise_on_redirect=False,
        allowed_methods=None,
        status_forcelist=status,
        raise_on_status=False,
        respect_retry_after_header=False,  # a server may ask for hours
        backoff_factor=1,
        backoff_jitter=0.5,
    )


def _not_ours(record: logging.LogRecord) -> bool:
    return not any(isinstance(value, Retries) for value in record.args or ())


# urllib3 warns of every retry too, in the words of Python objects.
logging.getLogger("urllib3.connectionpool").addFilter(_not_ours)


class Pool(PoolManager):
    """Connections to one endpoint. Once it was given up, a request gets one try until one succeeds again.

    So what the SDK does to clean up after a failure, such as aborting an upload, does not wait all over again.
    """

    given_up = False

    def urlopen(self, method: str, url: str, redirect: bool = True, **options: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: ANN401 - as PoolManager does
        """See `urllib3.PoolManager.urlopen`."""
        if self.given_up:
            options["retries"] = retries().new(total=0)
        try:
            response = super().urlopen(method, url, redirect, **options)
        except HTTPError:
            self.given_up = True
            raise
        self.given_up = response.status in TRANSIENT
        return response
