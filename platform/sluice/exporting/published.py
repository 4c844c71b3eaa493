"""The served folder that a registration published, without the libraries that made it: what a server opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.artifacts.bundles import bundle_key, local_copy, open_bundle
from sluice.core.errors import BadInput
from sluice.storage.stores import Store


@contextmanager
def published_folder(store: Store, folder_id: str, digest: str, name: str) -> Iterator[Path]:
    """A served folder on this machine, each file's SHA-256 checked, for the time of the `with` block.

    Args:
        store: Where it is.
        folder_id: What the version's tag `sluice.served` says.
        digest: The version's, from the registry.
        name: `MODEL/version`, for messages.

    Raises:
        BadInput: It is not there, was changed, or is that of another model.
        EnvironmentFault: The store is down.
    """
    if not folder_id:
        raise BadInput(f"{name} has no served folder; make one with `sluice export {name} -o FOLDER`")
    bundle = open_bundle(f"{store.uri}/{bundle_key('model', folder_id)}", "model")
    if bundle.manifest.details.get("model_digest") != digest:
        raise BadInput(
            f"{bundle.uri} is not the served folder of {name}: the tag sluice.served was changed; set it back, or "
            "restore the registry from a copy"
        )
    with local_copy(bundle) as folder:
        yield folder
