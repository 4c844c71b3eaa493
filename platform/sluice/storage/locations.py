"""Where steps find their store and a lake."""

from sluice.core.errors import BadInput
from sluice.core.files import check_folder
from sluice.core.home import home
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import StoreVariables
from sluice.storage.stores import Store, open_store

STORE = StoreVariables.address.name


def default_store() -> Store:
    """The store that steps publish to: SLUICE_STORE, else the folder `store` in the home.

    Raises:
        BadInput: SLUICE_STORE, SLUICE_STORE_TRIES or a variable of S3 is wrong.
    """
    given = settings().store.address
    if not given:
        return open_store(str(home() / "store"))
    try:
        store = open_store(given)
    except BadInput as error:
        raise BadInput(f"{STORE}: {error}") from None
    if local := store.local_path("any"):
        check_folder(STORE, local.parent)
    return store


def open_lake(address: str) -> Store:
    """Open the lake at an address.

    Args:
        address: `s3://bucket/prefix`, a path that starts with `/`, `./`, `../` or `~`, or else a key of the default
            store, such as `lakes/houses`: so the same address works on a laptop and on a cluster.

    Raises:
        BadInput: The address is empty.
    """
    if not address or "://" in address or address.startswith(("/", "./", "../", "~")) or address in (".", ".."):
        return open_store(address)
    return open_store(f"{default_store().uri}/{address}")
