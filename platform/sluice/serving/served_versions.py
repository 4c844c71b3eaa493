"""From a registered version to a judge that may answer for it: its files fetched, held to the registry, and warm.

The registry's tag `sluice.served` names the folder that was published at registration by its content address: its
manifest must give that id, each file must have the manifest's SHA-256, and the manifest the version's own digest. Of a
version that was registered without one, such as before there were such folders, one is made and kept in the home where
the training's libraries are installed: by a process of its own, for they take several times a server's memory.
"""

import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.exporting.published import published_folder
from sluice.exporting.served_files import DESCRIPTION
from sluice.registry.served import SERVED, SERVED_HOW
from sluice.running.kept_models import kept_folder
from sluice.serving.exchange import Judge
from sluice.serving.judges import open_judge
from sluice.serving.registered import Registered
from sluice.storage.locations import default_store

Opener = Callable[[Registered], Judge]
"""Raises `BadInput` for a version that must not be served, `EnvironmentFault` where it cannot be fetched now."""


def open_registered(version: Registered, threads: int = 1) -> Judge:
    """The judge of a version, warm; its files are there as long as it is.

    Args:
        version: As the registry has it.
        threads: That one call may use.

    Raises:
        BadInput: It has no served folder, or one that was changed or is another model's.
        EnvironmentFault: The store is down.
    """
    if not version.tags.get(SERVED):
        return checked(open_judge(_kept(version), threads=threads), version)
    with ExitStack() as stack:
        published = published_folder(default_store(), version.tags[SERVED], version.digest, version.name)
        judge = checked(open_judge(stack.enter_context(published), threads=threads), version)
        weakref.finalize(judge, stack.pop_all().close)
        return judge


def _kept(version: Registered) -> Path:
    """The folder in the home of a version that was published with none."""
    folder = kept_folder(version.digest)
    if (folder / DESCRIPTION).is_file():
        return folder
    if find_spec("mlflow") is not None and find_spec("sklearn") is not None:
        _MAKING.ended(version)
        return folder
    why = version.tags.get(SERVED_HOW, "") or "it was registered before there were such folders"
    raise BadInput(
        f"{version.name} has no served folder ({why}); register it again, or on a machine with the training's "
        f"libraries start `sluice serve {version.model}` anew, which makes one where that is possible"
    )


class _Making:
    """Processes that make served folders, one a version; a server goes on and asks again meanwhile."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def ended(self, version: Registered) -> None:
        """Return once the folder of a version was made; begin where nobody has.

        Raises:
            BadInput: It has no form to serve, or its files were changed.
            EnvironmentFault: It is being made, or the registry, the store or the disk failed.
        """
        if version.digest not in self._running:
            command = [sys.executable, "-P", "-m", "sluice.running.served_versions", version.name]
            said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - read and closed once the process has ended
            started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)  # noqa: S603 - ours
            self._running[version.digest] = started, said
        process, said = self._running[version.digest]
        if process.poll() is None:
            raise EnvironmentFault(f"{version.name} was registered without a served folder, and one is being made")
        del self._running[version.digest]
        with said:
            said.seek(0)
            words = said.read().decode(errors="replace").strip().splitlines()
        if process.returncode:
            kind = BadInput if process.returncode == BadInput.exit_code else EnvironmentFault
            raise kind(words[-1] if words else f"{version.name}: making its served folder ended without a word")


_MAKING = _Making()


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
