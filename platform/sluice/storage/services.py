"""What the services that keep objects have in common: how connections are made, and what is told of a refusal.

Timeouts, TLS and proxies are the same for all of them. A proxy comes from the variables that other programs read
(HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY); this machine and a cloud's metadata service are never asked through one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError

from sluice.core.authorities import CA_FILE, authority
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.settings import settings
from sluice.storage.failures import CONDITION_FAILED, NOT_FOUND, Failure
from sluice.storage.tries import tries

if TYPE_CHECKING:
    from obstore.store import AzureStore, ClientConfig, GCSStore, RetryConfig, S3Store

    Client = S3Store | GCSStore | AzureStore

CONNECT_SECONDS = 5.0
QUICK_SECONDS = 10.0  # without a byte; with 4 tries a server that hangs is given up after 4 x 10 s and 6 s
# The same for a large body: the answer comes only when it is sent, over a slow line too (two parts at 2.5 Mbit/s).
PATIENT_SECONDS = 60.0
PART_TRIES = 2  # of one part of a large body, within one try of the whole

_WRONG_KEYS = frozenset(
    {"AuthenticationFailed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "InvalidTokenId"}
    | {"InvalidAuthenticationInfo", "InvalidSecurity", "SignatureDoesNotMatch", "TokenRefreshRequired"}
)
_DENIED = frozenset({"AccessDenied", "AccountProblem", "AllAccessDisabled", "UserProjectAccountProblem"})
_DENIED |= frozenset({"AuthorizationFailure", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions"})
_GATEWAY = "run gateway: "  # what a release's own gateway writes says itself which run may write what
_OTHER_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "Redirect", "TemporaryRedirect"})
_NO_OBJECT = frozenset({"BlobNotFound", "NoSuchKey"})
_NO_BUCKET = frozenset({"ContainerNotFound", "NoSuchBucket"})
_BARE_REDIRECT = "redirect without LOCATION"

_METADATA_HOSTS = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23,metadata.google.internal"
_THIS_MACHINE = "localhost,127.0.0.0/8,::1"


@dataclass(frozen=True)
class Advice:
    """What a person checks when a service refuses.

    Attributes:
        keys: Where the service is told who asks, after the word `check`.
        rights: The same where the asker is known but may not do it.
        identity: Who is asked for credentials that pass, and what to check there; empty with keys.
        region: The variable of the region; empty where there is none.
        address: The variable of the service's address.
        bucket: What the service calls what holds objects.
    """

    keys: str
    rights: str
    identity: str
    region: str
    address: str
    bucket: str = "bucket"


@dataclass(frozen=True)
class ObjectService:
    """A service that keeps objects, and the way to one of its buckets.

    Attributes:
        name: For people, such as `S3`.
        endpoint: `https://host` or `http://host:port`.
        scheme: Of the bucket's address, such as `s3`.
        bucket: The bucket's name.
        advice: What to check when it refuses.
        sorts: Whether its listings come in the order of the keys' UTF-8 bytes.
        client: Makes obstore's client; it is given what all services have in common.
    """

    name: str
    endpoint: str
    scheme: str
    bucket: str
    advice: Advice
    sorts: bool
    client: "Callable[[ClientConfig, RetryConfig], Client]"

    def connect(self, seconds: float, part_tries: int = 1) -> "Client":
        """A client of obstore's; nothing is sent yet.

        Args:
            seconds: The longest to wait for an answer, or for the next bytes of one.
            part_tries: How often obstore itself tries a request, untold.

        Raises:
            BadInput: obstore refuses a setting.
        """
        backoff = {"init_backoff": timedelta(seconds=1), "max_backoff": timedelta(seconds=4), "base": 2}
        retry: RetryConfig = {
            "max_retries": part_tries - 1,
            "retry_timeout": timedelta(seconds=part_tries * (seconds + 4)),
            "backoff": backoff,  # type: ignore[typeddict-item]
        }
        try:
            return self.client(client_options(self.endpoint, seconds), retry)
        except (BaseError, ValueError, OSError) as error:
            said = str(error).partition("\n")[0]
            raise BadInput(f"{self.endpoint}: {said}; check {self.advice.address}") from None

    def refusal(self, failure: Failure, name: str) -> SluiceError:
        """A failure as the person at the terminal is told of it: one line, with the way out.

        Args:
            failure: What went wrong.
            name: The object's whole name in the bucket, or the prefix that was listed.
        """
        address = f"{self.scheme}://{self.bucket}/{name}"
        place = f"{self.endpoint}, {address}"
        if failure.for_credentials or (failure.host and _bare(failure.host) != _bare(urlsplit(self.endpoint).netloc)):
            return self._unknown_asker(failure, place)
        if failure.network:
            return self._unreachable(failure, place)
        if _BARE_REDIRECT in failure.message or failure.code in _OTHER_REGION:
            told = failure.message if failure.code else "it redirects"
            return BadInput(
                f"{place}: the {self.advice.bucket} is in another region ({told}); set {self.advice.region}"
            )
        if failure.code in _NO_OBJECT:
            return BadInput(f"{address} is not there; check the address")
        if failure.code in _NO_BUCKET:
            return self.no_bucket()
        return self._refused(failure, place)

    def no_bucket(self) -> BadInput:
        """The error for a bucket that is not there."""
        bucket = self.advice.bucket
        return BadInput(f"{self.endpoint} has no {bucket} {self.bucket!r}; create it, or check the store's address")

    def _refused(self, failure: Failure, place: str) -> EnvironmentFault:
        code, advice = failure.code, self.advice
        if code == "RequestTimeTooSkewed":
            return EnvironmentFault(f"{place}: this machine's clock differs too much from the server's; set it right")
        if code in _WRONG_KEYS or failure.status == 401:
            return EnvironmentFault(f"{place}: {code or 'the request is not authenticated'}; check {advice.keys}")
        if code in _DENIED and failure.message.startswith(_GATEWAY):
            return EnvironmentFault(f"{place}: access denied by the {failure.message}")
        if code in _DENIED or (failure.status == 403 and not code):
            bucket = advice.bucket
            may = f"may list the {bucket} and get, put and delete its objects"
            return EnvironmentFault(f"{place}: access denied; check {advice.rights}, and that they {may}")
        if code:
            return EnvironmentFault(f"{place}: {code}: {failure.message}; see the server's log")
        if failure.status and failure.status != NOT_FOUND and failure.method == "HEAD":
            return EnvironmentFault(f"{place}: HTTP status {failure.status} without a word why; see its log")
        if not (failure.status or failure.method):
            return EnvironmentFault(f"{place}: {failure.message}; check {advice.keys}")
        told = f"HTTP status {failure.status}" if failure.status else failure.message
        return EnvironmentFault(f"{place}: no {self.name} answers there ({told}); check {advice.address}")

    def _unreachable(self, failure: Failure, place: str) -> EnvironmentFault:
        if failure.untrusted or failure.network.startswith("no TLS"):
            return EnvironmentFault(
                f"{place}: TLS failed ({failure.network}); if its authority is your own, name its file in {CA_FILE}"
            )
        return EnvironmentFault(
            f"{place}: no answer in {tries()} tries ({failure.network}); check that it runs, and {self.advice.address}"
        )

    def _unknown_asker(self, failure: Failure, place: str) -> EnvironmentFault:
        """Somebody else was asked: whoever gives out credentials that pass."""
        told = f"{failure.code}: {failure.message}" if failure.code else failure.reason
        way_out = self.advice.identity or f"check {self.advice.keys}"
        giver = f" from {failure.host}" if failure.host else ""
        return EnvironmentFault(f"{place}: no credentials{giver} ({told}); {way_out}")


def client_options(endpoint: str, seconds: float) -> "ClientConfig":
    """How connections are made: timeouts, TLS, proxies.

    Args:
        endpoint: Whom they lead to.
        seconds: The longest to wait for an answer, or for the next bytes of one.

    Raises:
        BadInput: SLUICE_CA_FILE names no file of certificates.
    """
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http:"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=seconds),
        "timeout": timedelta(days=7),  # of a whole request with its body, which may be many gigabytes
        "user_agent": "sluice",
    }
    if pem := authority():
        options["root_certificate"] = pem
    given = settings().store
    if proxy := (given.http_proxy if endpoint.startswith("http:") else given.https_proxy) or given.all_proxy:
        options["proxy_url"] = proxy
        around = (given.no_proxy, _THIS_MACHINE, _METADATA_HOSTS)
        options["proxy_excludes"] = ",".join(filter(None, around))
    return options


def missing_object(failure: Failure) -> bool:
    """Whether an answer with a body says that the object alone is not there."""
    return failure.code in _NO_OBJECT


def missing(failure: Failure) -> bool:
    """Whether the object, or what should hold it, is not there."""
    return failure.status == NOT_FOUND


def condition_failed(failure: Failure) -> bool:
    """Whether something is there already."""
    return failure.status == CONDITION_FAILED


def _bare(host: str) -> str:
    """A host and port in one spelling; a port that need not be said is left out."""
    return re.sub(r":(?:80|443)$", "", host.lower())
