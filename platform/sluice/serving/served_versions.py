"""From a registered version to a judge that may answer for it: its files fetched, held to the registry, and warm."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.serving.exchange import Judge
from sluice.serving.graph_judge import GraphJudge
from sluice.serving.registered import Registered

Opener = Callable[[Registered], Judge]
"""Raises `BadInput` for a version that must not be served, `EnvironmentFault` where it cannot be fetched now."""
_MOST_SECONDS = 600
_EXPORT = """
import sys
from pathlib import Path
from sluice.core.errors import SluiceError
from sluice.registry.versions import version_by_number
from sluice.running.model_export import export_version
try:
    found = version_by_number(sys.argv[1], sys.argv[2])
    export_version(found, Path(sys.argv[3]))
except SluiceError as error:
    sys.stderr.write(str(error))
    sys.exit(error.exit_code)
"""


def open_registered(version: Registered) -> Judge:
    """The judge of a version, warm.

    The graph is written by another process: what that imports would stay in this one for good.

    Raises:
        BadInput: Its files were changed, it has no graph, or the graph is another model's.
        EnvironmentFault: The registry or the store is down.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        command = [sys.executable, "-c", _EXPORT, version.model, version.version, folder]
        done = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False
        )
        if done.returncode:
            said = done.stderr.strip().rpartition("\n")[2] or f"its export ended with {done.returncode}"
            raise BadInput(said) if done.returncode == BadInput.exit_code else EnvironmentFault(said)
        return checked(GraphJudge(Path(folder)), version)


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
