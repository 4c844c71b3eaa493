"""What the refusals that MinIO's own client meets mean to the person at the terminal: one line each, with the way out.

Codes: Amazon S3 API reference, "Error responses".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minio.error import MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from sluice.core.authorities import CA_FILE
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.storage.s3 import ENDPOINTS, KEYS, REGIONS
from sluice.storage.s3_retries import reason
from sluice.storage.tries import tries

WRONG_KEYS = frozenset(
    {"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "InvalidTokenId", "SignatureDoesNotMatch"}
)
DENIED = frozenset({"AccessDenied", "AccountProblem", "AllAccessDisabled"})
GATEWAY = "run gateway: "  # what a release's own gateway writes says itself which run may write what
OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect", "TemporaryRedirect"})


@dataclass(frozen=True)
class RequestPlace:
    """What a request was about.

    Attributes:
        endpoint: `https://host` or `http://host:port`.
        bucket: The bucket's name.
        name: The object's name, or the prefix that was listed.
    """

    endpoint: str
    bucket: str
    name: str

    def __str__(self) -> str:
        return f"{self.endpoint}, s3://{self.bucket}/{self.name}"


@contextmanager
def refusals(place: RequestPlace) -> Iterator[None]:
    """Turn what the SDK and the network raise into Sluice's errors.

    Raises:
        BadInput: The object or the bucket is not there, or the region is another.
        EnvironmentFault: The endpoint is down, denies access, or failed in another way.
    """
    try:
        yield
    except S3Error as error:
        raise _refused(error, place) from None
    except ServerError as error:
        raise EnvironmentFault(f"{place}: HTTP status {error.status_code} without a word why; see its log") from None
    except MinioException as error:
        shown = str(error).partition(", Body:")[0]
        raise EnvironmentFault(f"{place}: no S3 answers there ({shown}); check {ENDPOINTS[1]}") from None
    except HTTPError as error:
        raise _unreachable(error, place) from None


def no_bucket(place: RequestPlace) -> BadInput:
    """The error for a bucket that is not there."""
    return BadInput(f"{place.endpoint} has no bucket {place.bucket!r}; create it, or check the store's address")


def _refused(error: S3Error, place: RequestPlace) -> SluiceError:
    code = error.code or ""
    if code == "NoSuchKey":
        return BadInput(f"s3://{place.bucket}/{place.name} is not there; check the address")
    if code == "NoSuchBucket":
        return no_bucket(place)
    if code in WRONG_KEYS:
        return EnvironmentFault(f"{place}: {code}; check {KEYS[0]}, {KEYS[1]} and AWS_SESSION_TOKEN")
    if code in DENIED and (error.message or "").startswith(GATEWAY):
        return EnvironmentFault(f"{place}: access denied by the {error.message}")
    if code in DENIED:
        return EnvironmentFault(
            f"{place}: access denied; check {KEYS[0]} and {KEYS[1]}, "
            "and that they may list the bucket and get, put and delete its objects"
        )
    if code == "RequestTimeTooSkewed":
        return EnvironmentFault(f"{place}: this machine's clock differs too much from the server's; set it right")
    if code in OTHER_REGION:
        return BadInput(f"{place}: the bucket is in another region ({error.message}); set {REGIONS[0]}")
    return EnvironmentFault(f"{place}: {code}: {error.message}; see the server's log")


def _unreachable(error: HTTPError, place: RequestPlace) -> EnvironmentFault:
    cause = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(cause, SSLError):
        return EnvironmentFault(
            f"{place}: TLS failed ({reason(error)}); if its authority is your own, name its file in {CA_FILE}"
        )
    return EnvironmentFault(
        f"{place}: no answer in {tries()} tries ({reason(error)}); check that it runs, and {ENDPOINTS[1]}"
    )
