"""Puts the wheels of a project's lock into a store, on the machine of whoever starts a run.

They come from the folder `wheels` beside the lock, and what is missing there from pip, with pip's own settings (index,
proxy, certificates): no step ever asks a registry. Only wheels are taken, never a source that would be built, and only
such as the lock names by SHA-256.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from sluice.core.bounds import PACKAGE_BYTES
from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.files import faults, inside
from sluice.project.packages import Kind, Pin, index_body, index_key, read_lock, wheel_key
from sluice.storage.stores import Store

FOLDER = "wheels"
CLUSTER = tuple(Kind(python, "linux_x86_64") for python in ("3.13", "3.12", "3.11"))
"""The machines that step images may be: Python as Sluice runs on it, on x86-64."""
_LINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
_USERS = ("hash", "Hash", "HASH", "No matching distribution", "Could not find a version", "Invalid requirement")
_SECONDS = 1800


def publish_packages(store: Store, folder: Path, lock: str, kind: Kind | None = None) -> list[str]:
    """Put the wheels of a lock into a store, where they are not there yet.

    Args:
        store: Where to.
        folder: The project's.
        lock: The lock's path in the project.
        kind: The machines that the steps run on; by default such as this one.

    Returns:
        The names of the wheels that were put there now.

    Raises:
        BadInput: The lock is wrong, a package has no wheel for these machines, or they are too large.
        EnvironmentFault: pip or the store failed.
    """
    path, kind = inside(folder.absolute(), lock), kind or Kind()
    with faults(str(path)):
        data = path.read_bytes()
    pins = [pin for pin in read_lock(data, lock) if pin.applies(kind.markers())]
    if store.exists(index_key(data, kind)):
        return []
    with tempfile.TemporaryDirectory(prefix="sluice-") as scratch:
        found = _matching(path.parent / FOLDER, pins, kind)
        if len(found) < len(pins):
            _download(path, Path(scratch), kind)
            found |= _matching(Path(scratch), [pin for pin in pins if pin not in found], kind)
        for pin in pins:
            if pin not in found:
                raise BadInput(
                    f"{lock}: {pin.name} {pin.version} has no wheel for {kind.name} among the files that it names; "
                    "take another version, or an image that has it"
                )
        size = sum(wheel.stat().st_size for wheel in found.values())
        PACKAGE_BYTES.check(size, lock, "use an image that has the packages")
        digests = {pin: sha256_file(wheel) for pin, wheel in found.items()}
        new = [pin for pin in pins if store.put_if_absent(wheel_key(digests[pin]), found[pin].read_bytes())]
        store.put_if_absent(index_key(data, kind), index_body({found[pin].name: digests[pin] for pin in pins}))
        return sorted(found[pin].name for pin in new)


def publish_for(store: Store, folder: Path, lock: str, kinds: Sequence[Kind]) -> list[str]:
    """Put a lock's wheels into a store for each kind of machine that all of its packages have wheels for.

    Which kinds these are is found once for a lock: what is in the store is not looked for again.

    Args:
        store: Where to.
        folder: The project's.
        lock: The lock's path in the project.
        kinds: The machines that steps may run on.

    Returns:
        The names of the kinds that it was published for, now or before.

    Raises:
        BadInput: It is wrong, or no kind has all wheels; the message is about the first kind.
        EnvironmentFault: pip or the store failed.
    """
    place = inside(folder.absolute(), lock)
    with faults(str(place)):
        data = place.read_bytes()
    if there := [kind.name for kind in kinds if store.exists(index_key(data, kind))]:
        return there
    refused: list[BadInput] = []
    found = []
    for kind in kinds:
        try:
            publish_packages(store, folder, lock, kind)
            found.append(kind.name)
        except BadInput as error:
            refused.append(error)
    if not found:
        raise refused[0]
    return found


def wheels_beside(lock: Path) -> dict[str, int]:
    """The bytes of each wheel in the folder beside a lock, by its SHA-256."""
    return {sha256_file(path): path.stat().st_size for path in sorted((lock.parent / FOLDER).glob("*.whl"))}


def _matching(folder: Path, pins: list[Pin], kind: Kind) -> dict[Pin, Path]:
    """The wheels of a folder that a lock names and such a machine takes, by package."""
    found: dict[Pin, Path] = {}
    tags = kind.tags()
    for path in sorted(folder.glob("*.whl")):
        try:
            name, version, _, its = parse_wheel_filename(path.name)
        except (InvalidWheelFilename, ValueError):
            continue
        for pin in pins:
            if (pin.name, pin.version) == (name, version) and its & tags and sha256_file(path) in pin.hashes:
                found.setdefault(pin, path)
    return found


def _download(lock: Path, target: Path, kind: Kind) -> None:
    command = [sys.executable, "-P", "-m", "pip", "download", "--require-hashes", "--only-binary=:all:", "--no-deps"]
    command += [
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--dest",
        str(target),
        "--requirement",
        str(lock),
    ]
    if not kind.is_here:
        command += ["--implementation", "cp", "--python-version", kind.python]
        system, _, machine = kind.platform.partition("_")
        names = [f"{each}_{machine}" for each in _LINUX] if system == "linux" else [kind.platform]
        command += [word for name in names for word in ("--platform", name)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise EnvironmentFault(f"{lock}: pip did not fetch the packages within {_SECONDS} seconds") from None
    if done.returncode == 0:
        return
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    error = next((line for line in said if line.startswith("ERROR:")), said[-1] if said else "it said nothing")
    if "No module named pip" in done.stderr:
        raise BadInput(
            f"{lock}: pip is not installed here to fetch its packages; install it, or put the wheels in {FOLDER}/"
        )
    kind_of_error = BadInput if any(word in error for word in _USERS) else EnvironmentFault
    raise kind_of_error(f"{lock}: pip cannot fetch the packages: {error.removeprefix('ERROR: ')}")
