"""From a registered version to a judge that may answer for it: its files fetched, held to the registry, and warm.

The registry's tag `sluice.served` names the folder that was published at registration by its content address: its
manifest must give that id, each file must have the manifest's SHA-256, and the manifest the version's own digest.
"""

import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from sluice.artifacts.bundles import bundle_key, local_copy, open_bundle
from sluice.core.errors import BadInput
from sluice.serving.exchange import Judge
from sluice.serving.judges import open_judge
from sluice.serving.registered import Registered
from sluice.storage.locations import default_store

Opener = Callable[[Registered], Judge]
"""Raises `BadInput` for a version that must not be served, `EnvironmentFault` where it cannot be fetched now."""
SERVED, SERVED_HOW = "sluice.served", "sluice.served_how"
_DIGEST = "model_digest"


def open_registered(version: Registered, threads: int = 1) -> Judge:
    """The judge of a version, warm; its files are there as long as it is.

    Args:
        version: As the registry has it.
        threads: That one call may use.

    Raises:
        BadInput: It has no served folder, or one that was changed or is another model's.
        EnvironmentFault: The store is down.
    """
    folder_id, store = version.tags.get(SERVED, ""), default_store()
    if not folder_id:
        why = version.tags.get(SERVED_HOW, "") or "it was registered before models were served"
        raise BadInput(f"{version.name} has no served folder ({why}); make one with `sluice export {version.name}`")
    bundle = open_bundle(f"{store.uri}/{bundle_key('model', folder_id)}", "model")
    if bundle.manifest.details.get(_DIGEST) != version.digest:
        raise BadInput(
            f"{bundle.uri} is not the served folder of {version.name}: the tag {SERVED} was changed; set it back, or "
            "restore the registry from a copy"
        )
    with ExitStack() as stack:
        judge = checked(_judge(stack.enter_context(local_copy(bundle)), threads), version)
        weakref.finalize(judge, stack.pop_all().close)
        return judge


def _judge(folder: Path, threads: int) -> Judge:
    return open_judge(folder, threads=threads)


def checked(judge: Judge, version: Registered) -> Judge:
    """A judge whose files are those that the registry knows.

    Raises:
        BadInput: They are of another model.
    """
    served = judge.served
    if (served.model, served.digest) != (version.model, version.digest):
        raise BadInput(
            f"{version.name}: its served files are those of {served.model} {served.digest[:12]}, and the registry has "
            f"the digest {version.digest[:12]}; export the version again"
        )
    return judge
