"""Makes the buckets that a release needs, where they are not there yet."""

from collections.abc import Iterable

from minio.error import S3Error
from minio.helpers import check_bucket_name

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.settings import settings
from sluice.core.variable_groups.cluster import JobVariables
from sluice.storage.s3_connection import Connection
from sluice.storage.s3_refusals import RequestPlace, refusals

BUCKETS = JobVariables.buckets.name
PRESENT = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")
NOT_OURS_TO_LOOK = ("AccessDenied",)


def required_buckets() -> list[str]:
    """The names in SLUICE_SETUP_BUCKETS.

    Raises:
        BadInput: One is no name of a bucket.
    """
    names = list(settings().jobs.buckets)
    for name in names:
        try:
            check_bucket_name(name, strict=True)
        except ValueError as error:
            raise BadInput(f"{BUCKETS}: {name!r}: {error}; give names of buckets, separated by commas") from None
    return names


def make_buckets(names: Iterable[str]) -> list[str]:
    """Make what is missing; the names of those that were made.

    Raises:
        BadInput: The AWS variables are missing or malformed.
        EnvironmentFault: The store does not answer or denies access.
    """
    connection = Connection.from_environment()
    client, made = connection.client(), []
    for name in names:
        with refusals(RequestPlace(connection.endpoint, name, "")):
            if client.bucket_exists(name):
                continue
            try:
                client.make_bucket(name)
            except S3Error as error:
                if error.code not in PRESENT:
                    raise
                continue
            made.append(name)
    return made


def require_answer() -> None:
    """One request, to learn whether the store answers at all.

    Raises:
        EnvironmentFault: It does not.
    """
    connection = Connection.from_environment()
    with refusals(RequestPlace(connection.endpoint, "", "")):
        try:
            connection.client().list_buckets()
        except S3Error as error:
            if error.code not in NOT_OURS_TO_LOOK:
                raise EnvironmentFault(f"{connection.endpoint}: {error.code}: {error.message}") from None
