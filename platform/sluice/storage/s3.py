"""Amazon S3, and every server that speaks its protocol: where it is, and who asks.

The address comes from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (default: AWS itself), the region from AWS_REGION or
AWS_DEFAULT_REGION. Who asks is the first that is set of: the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
(AWS_SESSION_TOKEN); the role of the pod's service account (AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE: IRSA); the
credentials of the pod or container (AWS_CONTAINER_CREDENTIALS_FULL_URI: EKS Pod Identity; …_RELATIVE_URI: ECS); the
machine's instance profile. What such a source gives out is fetched anew before it expires.

Source: AWS SDKs and tools reference guide, "Standardized credential providers".
"""

import re
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluice.core.addresses import shown
from sluice.core.environment import unset_variables
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import S3Variables
from sluice.core.variable_kinds import check_login
from sluice.core.variables import Variable
from sluice.storage.keys import check_key

if TYPE_CHECKING:
    from sluice.storage.object_store import ObjectStore
    from sluice.storage.services import Advice

ENDPOINTS, REGIONS = S3Variables.endpoint.names, S3Variables.region.names
KEYS = (S3Variables.access_key.name, S3Variables.secret_key.name)
_METADATA_ADDRESS = "http://169.254.169.254"
_METADATA_SECONDS = 1.0  # as Amazon's own clients wait; the service is on the machine itself
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,61}[A-Za-z0-9]", re.ASCII)


@dataclass(frozen=True)
class S3Identity:
    """Who asks S3.

    Attributes:
        options: What obstore is told of it; never shown.
        keys: What to check where S3 does not know the asker.
        rights: What to check where it may not do what it asked for.
        source: What to check where nobody gives out credentials; empty with keys.
    """

    options: dict[str, Any] = field(repr=False)
    keys: str
    rights: str
    source: str = ""


def open_s3(uri: str) -> "ObjectStore":
    """Open a store at `s3://bucket/prefix` or `sluice+s3://bucket/prefix`; nothing is sent to S3 yet.

    Raises:
        BadInput: The address, the endpoint or the credentials are missing or malformed.
    """
    from obstore.store import S3Store

    from sluice.storage.object_store import ObjectStore
    from sluice.storage.services import ObjectService

    bucket, prefix = parse_address(f"s3://{uri.partition('://')[2]}")
    given = settings().s3
    asker, zone = identity(given), region(given)
    place = endpoint(given, zone)
    # All that the environment could say otherwise is said here: obstore reads variables of its own, too.
    options = {
        "endpoint": place,
        "aws_endpoint_url_s3": place,
        "region": zone,
        "virtual_hosted_style_request": False,  # buckets stand in the path, as every S3 can serve them
        "conditional_put": "etag",
        "disable_bulk_delete": True,  # one request a key, which every S3 and the runs' gateway know
        "unsigned_payload": False,  # the signature covers the content's SHA-256, which the server checks
        "skip_signature": False,
        **asker.options,
    }
    service = ObjectService(
        "S3",
        place,
        "s3",
        bucket,
        _advice(asker),
        sorts=True,
        client=lambda client, retry: S3Store(bucket, client_options=client, retry_config=retry, **options),
    )
    return ObjectStore(uri, service, prefix)


def _advice(asker: S3Identity) -> "Advice":
    from sluice.storage.services import Advice

    return Advice(asker.keys, asker.rights, asker.source, REGIONS[0], ENDPOINTS[1])


def region(given: S3Variables) -> str:
    """The bucket's region, a part of every signature.

    Raises:
        BadInput: The variable holds what no request can carry.
    """
    zone = given.region or "us-east-1"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", zone):
        name = given.name_of(S3Variables.region)
        raise BadInput(f"{name}={zone!r} is no region; give one like eu-central-1, or unset it")
    return zone


def endpoint(given: S3Variables, zone: str) -> str:
    """`https://host` or `http://host:port`.

    Args:
        given: Of this process.
        zone: The region, where AWS itself answers.

    Raises:
        BadInput: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL is malformed.
    """
    name = given.name_of(S3Variables.endpoint)
    if not given.endpoint:
        return f"https://s3.{zone}.amazonaws.com"
    way_out = f"{name} must be like https://host or http://host:port"
    check_login(name, given.endpoint)
    try:
        url = urlsplit(given.endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        raise BadInput(f"{way_out}; its host or port is malformed") from None
    if url.username or url.password:
        raise BadInput(f"{way_out}, without a user or password in it; the credentials go into {' and '.join(KEYS)}")
    if url.scheme not in ("http", "https") or not host or url.path not in ("", "/") or url.query or url.fragment:
        raise BadInput(f"{way_out}, not {shown(given.endpoint)!r}")
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise BadInput(f"{way_out}; its host or port is malformed")
    place = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{place}:{port}" if port else f"{url.scheme}://{place}"


def identity(given: S3Variables) -> S3Identity:
    """Who asks: keys, a role, a pod's or a machine's credentials, in this order.

    Raises:
        BadInput: There is none, or one is named by half or names no file.
    """
    if lacking := _lacking(given, S3Variables.access_key, S3Variables.secret_key):
        if len(lacking) < len(KEYS):
            raise _no_credentials(lacking)
    else:
        return _keys(given)
    for name in KEYS:
        unset_variables(name)  # empty ones count as unset; to obstore they would be keys
    if given.is_set(S3Variables.role_token) or given.is_set(S3Variables.role):
        return _role(given)
    if given.is_set(S3Variables.pod_address):
        return _pod(given)
    if task := given.task_address:
        rights = "the rights of the task's role"
        source = f"check that the task has a role ({S3Variables.task_address})"
        return S3Identity({"container_credentials_relative_uri": task}, rights, rights, source)
    return _machine(given)


def _lacking(given: S3Variables, *fields: Variable[Any]) -> list[str]:
    return [field.name for field in fields if not given.is_set(field)]


def _keys(given: S3Variables) -> S3Identity:
    options = {"access_key_id": given.access_key.reveal(), "secret_access_key": given.secret_key.reveal()}
    if session := given.session_token.reveal():
        options["session_token"] = session
    return S3Identity(options, f"{KEYS[0]}, {KEYS[1]} and {S3Variables.session_token}", f"{KEYS[0]} and {KEYS[1]}")


def _role(given: S3Variables) -> S3Identity:
    """A role that the token of a pod's service account may take on."""
    if lacking := _lacking(given, S3Variables.role, S3Variables.role_token):
        raise BadInput(
            f"S3 wants a role and a token of it: set {lacking[0]} too, or annotate the pod's service account"
        )
    options = {
        "role_arn": given.role,
        "web_identity_token_file": _file(S3Variables.role_token.name, given.role_token),
    }
    if given.role_session:
        options["role_session_name"] = given.role_session
    if place := given.role_endpoint:
        if not place.startswith("https:"):
            raise BadInput(f"{S3Variables.role_endpoint}={shown(place)!r}: a token is sent there, so it must be https")
        options["endpoint_url_sts"] = place
    role = f"the role in {S3Variables.role}"
    return S3Identity(options, role, f"the policies of {role}", f"check {role}, and that it trusts the service account")


def _pod(given: S3Variables) -> S3Identity:
    """What an agent on the node gives out for a pod's service account."""
    options = {"container_credentials_full_uri": given.pod_address}
    address, token = S3Variables.pod_address, S3Variables.pod_token
    if not given.pod_token:
        raise BadInput(f"{address} is set without {token}; EKS sets both, with a pod identity association")
    options["container_authorization_token_file"] = _file(token.name, given.pod_token)
    role = "the role of the pod identity association"
    return S3Identity(
        options, role, f"the policies of {role}", f"check the association of the service account, and {role}"
    )


def _machine(given: S3Variables) -> S3Identity:
    """A virtual machine's own role; asked whether it is there at all, for most machines have none."""
    if given.no_metadata.lower() == "true":
        raise _no_credentials(list(KEYS))
    place = given.metadata or _METADATA_ADDRESS
    url = urlsplit(place)
    try:
        socket.create_connection((url.hostname, url.port or 80), timeout=_METADATA_SECONDS).close()
    except OSError:
        raise _no_credentials(list(KEYS)) from None
    profile = "the machine's instance profile"
    source = f"give the machine an instance profile, or set {' and '.join(KEYS)}"
    return S3Identity({"metadata_endpoint": place}, profile, f"the policies of {profile}", source)


def _no_credentials(missing: list[str]) -> BadInput:
    return BadInput(f"S3 wants credentials: set {' and '.join(missing)}")


def _file(name: str, path: str) -> str:
    if not Path(path).is_file():
        raise BadInput(f"{name}={path!r} is no file; it holds a token that the cluster writes there")
    return path


def parse_address(uri: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://bucket/prefix`; the prefix may be empty.

    Raises:
        BadInput: It is of another form.
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if "@" in bucket:
        raise BadInput(f"the store's address holds credentials; they go into {' and '.join(KEYS)}, not into s3://")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or re.fullmatch(r"[0-9]+(\.[0-9]+){3}", bucket, re.ASCII):
        form = "3 to 63 letters, digits, dots and hyphens"
        raise BadInput(f"store {uri!r}: {bucket!r} is no name of a bucket ({form}); give s3://bucket/prefix")
    return bucket, checked_prefix(prefix)


def checked_prefix(prefix: str) -> str:
    """A prefix without the slash at its end; it may be empty.

    Raises:
        BadInput: See `check_key`.
    """
    prefix = prefix.rstrip("/")
    return check_key(prefix) if prefix else ""
