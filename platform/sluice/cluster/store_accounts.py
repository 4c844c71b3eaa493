"""MinIO's users: one for each part of the release, each with the rights of its policy and no more.

`python -m sluice.cluster.store_accounts make` is the chart's Job. It alone holds MinIO's root keys; it makes buckets,
policies and users, and doing it again changes nothing but what Secrets and policies say otherwise by then.
`python -m sluice.cluster.store_accounts wait BUCKET` waits until the account in the environment may list a bucket.

Source: MinIO's admin API, as minio-py 7.2 calls it; the policies are those of Amazon's IAM.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minio import MinioAdmin
from minio.commonconfig import ENABLED
from minio.credentials.providers import StaticProvider
from minio.error import MinioAdminException
from minio.helpers import check_bucket_name
from minio.versioningconfig import VersioningConfig
from urllib3.exceptions import HTTPError

from sluice.cluster.buckets import make_buckets, require_answer, required_buckets
from sluice.cluster.waiting import wait_for
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.files import faults
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.variable_groups.cluster import JobVariables
from sluice.storage.keys import check_prefix
from sluice.storage.s3_connection import Connection
from sluice.storage.s3_refusals import RequestPlace, refusals

ACCOUNTS, POLICIES = JobVariables.accounts.name, JobVariables.policies.name  # folders
VERSIONED, PASSING = JobVariables.versioned.name, JobVariables.passing.name  # a bucket; prefixes without versions
KEY_FILES = ("accesskey", "secretkey")
ACCESS_CHARACTERS, SECRET_CHARACTERS = 3, 8  # MinIO takes none shorter. Source: minio/internal/auth/credentials.go
PREFIX = "sluice-"  # of the policies' names


@dataclass(frozen=True)
class StoreAccount:
    """A user of MinIO.

    Attributes:
        part: Whose it is, such as `steps`.
        access_key: Its name.
        secret_key: Its password; never shown.
        policy: What it may do, as IAM writes it.
    """

    part: str
    access_key: str
    secret_key: str = field(repr=False)
    policy: dict[str, Any]


def main(words: list[str] | None = None) -> int:
    """Run one command; an error ends in one line.

    Returns:
        The exit code: 0 done, 1 the store failed, 2 bad input.
    """
    parser = argparse.ArgumentParser(prog="python -m sluice.cluster.store_accounts", description="MinIO's users.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make", help="make buckets, policies and users")
    commands.add_parser("wait", help="wait until this account may list a bucket").add_argument("bucket")
    given = parser.parse_args(words)
    try:
        seconds = settings().jobs.seconds
        if given.command == "make":
            make(seconds)
        else:
            wait_for(f"the account at bucket {given.bucket}", seconds, lambda: require_bucket(given.bucket))
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    return 0


def make(seconds: float) -> None:
    """Make buckets, policies and users; waits for the store until the deadline.

    Raises:
        BadInput: A Secret or a policy is missing or malformed, or a part has root's keys or another part's.
        EnvironmentFault: The store does not answer, or refuses.
    """
    root = Connection.from_environment()
    given = settings().jobs
    found = accounts(_folder(ACCOUNTS, given.accounts), _folder(POLICIES, given.policies))
    _refuse_shared(found, root.credentials.access_key)
    kept = versioned()
    wait_for("the object store", seconds, require_answer)
    buckets = required_buckets()
    made = make_buckets(buckets)
    progress(f"buckets {', '.join(buckets)}: {len(made)} made, the others were there")
    if kept:
        keep_versions(*kept)
    for account in found:
        keep_account(root, account)
        progress(f"account of {account.part}: has the Secret's keys and its policy")
    for part in remove_former(root, found):
        progress(f"account of {part}: removed one with keys that its Secret has no more")


def accounts(keys: Path, policies: Path) -> list[StoreAccount]:
    """The accounts that the release wants: one for each policy.

    Args:
        keys: Holds a folder for each part, with the files accesskey and secretkey.
        policies: Holds a file `<part>.json` for each part.

    Raises:
        BadInput: A key is missing or such that MinIO takes it for none; a policy is no JSON.
    """
    with faults(f"{POLICIES}={str(policies)!r}"):
        files = sorted(policies.glob("*.json"))
    if not files:
        raise BadInput(f"{POLICIES}={str(policies)!r} holds no policy; the chart mounts a ConfigMap there")
    return [_account(file, keys / file.stem) for file in files]


def keep_account(root: Connection, account: StoreAccount) -> None:
    """Bring a user and its policy to what is wanted.

    Raises:
        EnvironmentFault: MinIO refuses, or is no MinIO.
    """
    policy = f"{PREFIX}{account.part}"
    with _admin(root) as admin:
        admin.policy_add(policy, policy=account.policy)
        admin.user_add(account.access_key, account.secret_key)
        admin.policy_set(policy, user=account.access_key)  # takes the place of all that it had


def remove_former(root: Connection, found: list[StoreAccount]) -> list[str]:
    """Remove the users that have a part's policy, and keys that its Secret has no more; return their parts.

    Raises:
        EnvironmentFault: MinIO refuses, or is no MinIO.
    """
    part_of = {f"{PREFIX}{account.part}": account.part for account in found}
    present = {account.access_key for account in found}
    with _admin(root) as admin:
        users: dict[str, dict[str, str]] = json.loads(admin.user_list())
        former = {
            name: part_of[policy]
            for name, user in users.items()
            for policy in user.get("policyName", "").split(",")
            if policy in part_of and name not in present
        }
        for name in former:
            admin.user_remove(name)
    return sorted(former.values())


def versioned() -> tuple[str, list[str]] | None:
    """The bucket that keeps earlier versions, and the prefixes in it that do not; None where there is none.

    Raises:
        BadInput: SLUICE_STORE_VERSIONED is no name of a bucket, or SLUICE_STORE_PASSING holds what is no prefix.
    """
    given = settings().jobs
    bucket, name = given.versioned, VERSIONED
    if not bucket:
        return None
    try:
        check_bucket_name(bucket, strict=True)
        name = PASSING
        return bucket, [check_prefix(prefix) for prefix in given.passing.split()]
    except (ValueError, BadInput) as error:
        raise BadInput(f"{name}: {error}") from None


def keep_versions(bucket: str, passing: list[str]) -> None:
    """Keep what is overwritten or deleted in a bucket as an earlier version, which no part may delete.

    Args:
        bucket: Which.
        passing: Prefixes of what is written again and again, such as checkpoints, of which no version is kept.

    Raises:
        EnvironmentFault: The store refuses.
    """
    wanted = VersioningConfig(ENABLED, excluded_prefixes=[f"{prefix}*" for prefix in passing])
    connection = Connection.from_environment()
    client = connection.client()
    with refusals(RequestPlace(connection.endpoint, bucket, "")):
        if client.get_bucket_versioning(bucket) != wanted:
            client.set_bucket_versioning(bucket, wanted)
            progress(f"bucket {bucket}: what is overwritten stays as an earlier version from now on")


def require_bucket(bucket: str) -> None:
    """One request, to learn whether the account in the environment may use a bucket.

    Raises:
        BadInput: It is not there.
        EnvironmentFault: The store does not answer, or does not know the account yet.
    """
    connection = Connection.from_environment()
    with refusals(RequestPlace(connection.endpoint, bucket, "")):
        for _ in connection.client().list_objects(bucket, prefix="sluice-looks-for-its-account/"):
            break


def _account(file: Path, folder: Path) -> StoreAccount:
    part = file.stem
    access, secret = (_key(folder / name, part) for name in KEY_FILES)
    for name, value, least in (("access", access, ACCESS_CHARACTERS), ("secret", secret, SECRET_CHARACTERS)):
        if len(value) < least or not re.fullmatch(r"[!-~]+", value) or (name == "access" and set(value) & {"=", ","}):
            raise BadInput(
                f"the {name} key of {part} has {len(value)} characters; MinIO takes {least} or more of ASCII without "
                "spaces, and in an access key no = and no ,; correct the Secret"
            )
    try:
        policy = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInput(f"{file} is no JSON ({error}); correct the ConfigMap") from None
    return StoreAccount(part, access, secret, policy)


def _key(file: Path, part: str) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise BadInput(
            f"no {file.name} of the account {part} at {file}: its Secret lacks the key; "
            "add it, or let the chart make the Secret (steps.createSecret, objectStore.accounts)"
        ) from None


def _refuse_shared(found: list[StoreAccount], root: str) -> None:
    """Two parts with one name would have one's rights: that of the last."""
    owner = {root: "MinIO's root"}
    for account in found:
        if other := owner.get(account.access_key):
            raise BadInput(
                f"{account.part} and {other} have the same access key; give each part's Secret an account of its own"
            )
        owner[account.access_key] = account.part


def _folder(name: str, given: Path | None) -> Path:
    if given is None:
        raise BadInput(f"{name} is not set; the chart's Job sets it")
    return given


@contextmanager
def _admin(root: Connection) -> Iterator[MinioAdmin]:
    """MinIO's admin API with root's keys; its refusals become one line, without what was sent.

    Raises:
        EnvironmentFault: It refuses, or does not answer.
    """
    keys, (scheme, _, host) = root.credentials, root.endpoint.partition("://")
    provider = StaticProvider(keys.access_key, keys.secret_key, keys.session_token)
    client = MinioAdmin(
        endpoint=host, credentials=provider, region=root.region, secure=scheme == "https", http_client=root.http
    )
    try:
        yield client
    except MinioAdminException as error:
        raise EnvironmentFault(f"{root.endpoint}: MinIO's admin API refuses: {_said(error)}") from None
    except HTTPError as error:
        raise EnvironmentFault(f"{root.endpoint}: MinIO's admin API does not answer ({type(error).__name__})") from None


def _said(error: MinioAdminException) -> str:
    try:
        answer = json.loads(error._body)
        return f"{answer['Code']}: {answer['Message']}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {error._code}"


if __name__ == "__main__":
    sys.exit(main())
