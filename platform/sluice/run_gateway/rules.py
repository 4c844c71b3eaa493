"""Where a run may write: a pure function of what is asked for and of whose pod asks."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sluice.run_gateway.requests import Asked, Refused, Wish

# As the chart lays them out: defaultPipelineRoot of kfp-launcher, keyFormat of Argo's logs.
ARTIFACTS, LOGS = "v2/artifacts", "private-artifacts"
OWN = ("runs", "training", "check")  # below each the run's id
DELETED = ("training", "check")  # where a run may delete, too
ONCE = ("datasets", "models", "code", "promotions")  # what is there stays as it is
CODE, ARCHIVE = "code", ".zip"  # a project's code: code/<sha256>.zip
_CODE = re.compile(r"code/(?P<digest>[0-9a-f]{64})[.](zip|patch)")
_WRITING = (Asked.PUT, Asked.BEGIN, Asked.PART, Asked.COMPLETE, Asked.ABORT)
_MAKING = (Asked.PUT, Asked.BEGIN, Asked.COMPLETE)


@dataclass(frozen=True)
class Buckets:
    """The names of the three buckets, and what is said of `sluice`.

    Attributes:
        pipelines: KFP's.
        sluice: The lake, datasets, models and code.
        mlflow: MLflow's.
        scratch: The prefixes that steps use as they like.
        project_code: Whether steps may read the code of projects.
    """

    pipelines: str
    sluice: str
    mlflow: str
    scratch: tuple[str, ...] = ()
    project_code: bool = True

    @property
    def names(self) -> tuple[str, str, str]:
        """All three."""
        return self.pipelines, self.sluice, self.mlflow


@dataclass(frozen=True)
class Caller:
    """Whose pod asks.

    Attributes:
        run: KFP's id of the run.
        workflow: The name of its Workflow.
        namespace: Of that.
    """

    run: str
    workflow: str
    namespace: str


def needs_caller(wish: Wish, buckets: Buckets) -> bool:
    """Whether the answer depends on whose pod asks.

    Raises:
        Refused: No run may do this.
    """
    if wish.bucket not in buckets.names:
        raise Refused(f"there is no bucket {wish.bucket!r} here")
    # The second wall: admission lets no pod ask for it (steps.projectCode), by whatever store.
    archive = wish.bucket == buckets.sluice and wish.key.startswith(f"{CODE}/") and wish.key.endswith(ARCHIVE)
    if archive and not buckets.project_code:
        raise Refused("projects' code is not for steps of this site (steps.projectCode in the chart's values)")
    return wish.asked is not Asked.READ


def allow(wish: Wish, caller: Caller, buckets: Buckets) -> bool:
    """Let a run do what it asks for, where it may.

    Returns:
        Whether it may only make what is not there yet.

    Raises:
        Refused: It may not.
    """
    if wish.bucket == buckets.mlflow:
        # MLflow's server signs an address for each part that a step may send there.
        if wish.signed_address and wish.asked in (Asked.PUT, Asked.PART):
            return False
    elif wish.signed_address:
        raise Refused("only MLflow's server signs addresses; sign the request itself")
    elif _is_own(wish, caller, buckets):
        return False
    elif wish.bucket == buckets.sluice and _below(wish.key, (CODE,)):
        if wish.asked is Asked.PUT:
            _check_code(wish)
            return True
    elif wish.bucket == buckets.sluice and wish.asked in _WRITING and _below(wish.key, ONCE):
        return wish.asked in _MAKING
    raise Refused(_may(wish, caller, buckets))


def _is_own(wish: Wish, caller: Caller, buckets: Buckets) -> bool:
    """Whether it is the run's own place, where it may do this as often as it likes."""
    parts, writing = wish.key.split("/"), wish.asked in _WRITING
    if wish.bucket == buckets.pipelines:
        artifact = parts[:2] == ARTIFACTS.split("/") and parts[3:4] == [caller.run] and len(parts) > 4
        return writing and (artifact or _below(wish.key, (f"{LOGS}/{caller.namespace}/{caller.workflow}",)))
    if any(wish.key.startswith(prefix) for prefix in buckets.scratch):
        return True
    return _below(wish.key, [f"{name}/{caller.run}" for name in (OWN if writing else DELETED)])


def _check_code(wish: Wish) -> None:
    """Code has the name of its content: whoever put something else there would keep others from theirs.

    Raises:
        Refused: The name is none, or not that of what is sent.
    """
    found = _CODE.fullmatch(wish.key)
    if not found:
        raise Refused(f"{CODE}/ holds <sha256>.zip and <sha256>.patch, not {wish.key!r}")
    if wish.digest != found["digest"] and (wish.digest or wish.key.endswith(ARCHIVE)):
        raise Refused(f"{wish.key} must have the SHA-256 of its name, and sign it (x-amz-content-sha256)")


def _below(key: str, folders: Iterable[str]) -> bool:
    return any(key.startswith(f"{folder}/") for folder in folders)


def _may(wish: Wish, caller: Caller, buckets: Buckets) -> str:
    if wish.bucket == buckets.pipelines:
        places = f"s3://{wish.bucket}/{ARTIFACTS}/*/{caller.run}/ and its logs"
    elif wish.bucket == buckets.mlflow:
        places = f"s3://{wish.bucket} by addresses that MLflow's server signs"
    else:
        own = ", ".join(f"{name}/{caller.run}/" for name in OWN)
        places = f"s3://{wish.bucket}: {own}, and what is not there yet under {'/, '.join(ONCE)}/"
    return f"run {caller.run} (workflow {caller.workflow}) may write {places}; not {wish}"
