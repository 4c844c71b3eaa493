"""Whose certificates are trusted beside those that the machine trusts already: a release's own authority.

SLUICE_CA_FILE names a file with it, in PEM; the chart sets that where its servers speak TLS. SSL_CERT_FILE and
REQUESTS_CA_BUNDLE name what is trusted *instead*, so a step that calls the world, too, could not have both.
"""

import atexit
import ssl
import tempfile
from functools import cache
from pathlib import Path

from sluice.core.environment import set_variables
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import StoreVariables
from sluice.core.variable_groups.system import SystemVariables

CA_FILE = StoreVariables.authority.name


def tls_context() -> ssl.SSLContext:
    """What a connection over TLS trusts: the system's authorities, or those of SSL_CERT_FILE, and SLUICE_CA_FILE's.

    Raises:
        BadInput: SLUICE_CA_FILE names no file of certificates.
    """
    context = ssl.create_default_context()
    if path := settings().store.authority:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:  # an ssl.SSLError is one, too
            why = "holds no certificate in PEM" if isinstance(error, ssl.SSLError) else str(error.strerror)
            raise BadInput(f"{CA_FILE}={str(path)!r} {why}; name a file with the authority's certificate") from None
    return context


def authority() -> bytes:
    """The certificates that SLUICE_CA_FILE names, in PEM; empty where it is not set.

    Raises:
        BadInput: It names no file of certificates.
    """
    path = settings().store.authority
    if not path:
        return b""
    tls_context()
    return path.read_bytes()


def trust_in_requests() -> None:
    """Have the library `requests`, which MLflow calls its server and object stores with, trust it as well.

    It reads one file alone, so all of them are put into one. A file that the user has named for it is left as it is.

    Raises:
        BadInput: SLUICE_CA_FILE names no file of certificates.
    """
    path = settings().store.authority
    if path and not settings().system.bundles:
        tls_context()
        set_variables({SystemVariables.bundles.name: _bundle(path)})


@cache
def _bundle(path: Path) -> str:
    """A file with what requests trusts by itself and what stands in `path`; removed when this process ends."""
    import certifi

    whole = f"{certifi.contents()}\n{path.read_text(encoding='utf-8')}"
    with tempfile.NamedTemporaryFile(prefix="sluice-authorities-", suffix=".pem", delete=False) as file:
        file.write(whole.encode())
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name
