"""Packages that a project brings along, beside those of the image: wheels, each by its SHA-256, never from a registry.

The project has a lock, in pip's form: `name==version` with one or more `--hash=sha256:…` for each package and all
that these need (`uv pip compile --generate-hashes`, `pip-compile --generate-hashes`). The lock travels in the code's
archive, so it is part of what a result was made by, and of every id equally on a laptop and on a cluster. The wheels
that fit a kind of machine are in the store (`sluice.project.wheelhouse` puts them there): `code/wheels/<sha256>.whl`,
and a list of them for this lock and this kind of machine.

A step takes a wheel only if the lock names its SHA-256. The wheels are laid out in a folder at the end of Python's
path: they hide nothing that the image has, and what the image has in another version is refused.
"""

import importlib
import importlib.metadata
import io
import json
import re
import sys
import sysconfig
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags, sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from sluice.core.bounds import FILE_BYTES, PACKAGE_BYTES
from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.extensions import look_anew
from sluice.core.json_documents import parse_json
from sluice.project.archive import LOCK
from sluice.project.unpacking import laid_out
from sluice.storage.keys import check_key
from sluice.storage.stores import Store

_HASH = re.compile(r"--hash[= ]sha256:([0-9a-f]{64})")
_DATA = re.compile(r"[^/]+\.data/(?P<scheme>purelib|platlib)/(?P<name>.+)")
_UNPACKED = 6  # times the wheels' own bytes; compiled code packs to a third, and more than this is no package
_NO_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Pin:
    """One package of a lock.

    Attributes:
        name: In its canonical form, such as `scikit-learn`.
        version: The one version.
        hashes: SHA-256 of the files that it may be.
        marker: For which machines, or None.
    """

    name: str
    version: Version
    hashes: frozenset[str]
    marker: Any = None

    def applies(self, machine: Mapping[str, str]) -> bool:
        """Whether it is for a machine, given the values of its markers."""
        return self.marker is None or bool(self.marker.evaluate(dict(machine)))


@dataclass(frozen=True)
class Kind:
    """A kind of machine that wheels are chosen for.

    Attributes:
        python: Such as `3.11`.
        platform: As wheels write it: `linux_x86_64`, `macosx_14_0_arm64`.
    """

    python: str = field(default_factory=lambda: f"{sys.version_info[0]}.{sys.version_info[1]}")
    platform: str = field(default_factory=lambda: re.sub(r"[-.]", "_", sysconfig.get_platform()))

    @property
    def name(self) -> str:
        """Such as `cp311-linux_x86_64`."""
        return f"cp{self.python.replace('.', '')}-{self.platform}"

    @property
    def is_here(self) -> bool:
        """Whether this process runs on such a machine."""
        return self == Kind()

    def tags(self) -> frozenset[Tag]:
        """Of the wheels that such a machine takes."""
        if self.is_here:
            return frozenset(sys_tags())
        system, _, machine = self.platform.partition("_")
        linux = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 4, -1)]
        linux += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
        platforms = [*(linux if system == "linux" else ()), self.platform]
        version = [int(part) for part in self.python.split(".")]
        interpreter = f"cp{''.join(map(str, version))}"
        return frozenset(
            (*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms))
        )

    def markers(self) -> dict[str, str]:
        """The values of a lock's markers on such a machine."""
        here: dict[str, str] = {key: str(value) for key, value in default_environment().items()}
        if self.is_here:
            return here
        system, _, machine = self.platform.partition("_")
        return here | {
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "sys_platform": system,
            "platform_system": system.capitalize(),
            "platform_machine": machine,
        }


@dataclass(frozen=True)
class _Tree:
    """The files of several wheels, by the digest of the wheels."""

    digest: str
    files: Mapping[str, bytes]


def read_lock(data: bytes, where: str) -> tuple[Pin, ...]:
    """The packages of a lock.

    Args:
        data: Its content.
        where: Its name, for errors.

    Raises:
        BadInput: A line is no `name==version` with hashes, or an option; the message names the line.
    """
    pins: dict[str, Pin] = {}
    for number, line in _lines(data, where):
        text, hashes = _HASH.sub("", line).strip(), frozenset(_HASH.findall(line))
        try:
            found = Requirement(text)
        except InvalidRequirement as error:
            raise BadInput(
                f"{where}:{number}: {text[:80]!r} is no `name==version --hash=sha256:…` "
                f"({str(error).splitlines()[0]}); leave options and addresses out"
            ) from None
        exact = [each for each in found.specifier if each.operator in ("==", "===")]
        if found.url or len(exact) != 1 or "*" in exact[0].version:
            raise BadInput(f"{where}:{number}: {text[:80]!r} names no one version; write name==version")
        if not hashes:
            raise BadInput(
                f"{where}:{number}: {found.name} has no SHA-256; make the lock with "
                "`uv pip compile --generate-hashes` or `pip-compile --generate-hashes`"
            )
        name = canonicalize_name(found.name)
        key = f"{name};{found.marker or ''}"
        if key in pins:
            raise BadInput(f"{where}:{number}: {found.name} stands there twice; keep one")
        pins[key] = Pin(name, Version(exact[0].version), hashes, found.marker)
    return tuple(pins.values())


def index_key(lock: bytes, kind: Kind) -> str:
    """Where the list of the wheels of a lock for a kind of machine stands in any store."""
    return f"code/packages/{sha256_bytes(lock)}/{kind.name}.json"


def wheel_key(digest: str) -> str:
    """Where a wheel stands in any store."""
    return f"code/wheels/{digest}.whl"


def add_packages(lock: bytes, store: Store, cache: Path | None = None) -> Path | None:
    """Put a lock's packages at the end of Python's path, where they are not installed already.

    Args:
        lock: As it stands in the code's archive, whose digest has been checked.
        store: Where the wheels are.
        cache: See `unpacking.laid_out`.

    Returns:
        The folder; None where nothing is missing.

    Raises:
        BadInput: A package is installed in another version, a wheel is not in the store, is not one of the lock, is for
            another machine, or is no wheel.
        EnvironmentFault: The store or the disk failed.
    """
    kind = Kind()
    missing = [pin for pin in read_lock(lock, LOCK) if pin.applies(kind.markers()) and not is_installed(pin)]
    if not missing:
        return None
    listed = _listed(store, index_key(lock, kind), kind)
    chosen = {pin: _chosen(pin, listed, kind) for pin in missing}
    files: dict[str, bytes] = {}
    size = 0
    for pin, (file, digest) in chosen.items():
        data = store.get_bytes(wheel_key(digest), PACKAGE_BYTES)
        if (found := sha256_bytes(data)) != digest:
            raise BadInput(
                f"{file}: its SHA-256 is {found[:12]}…, not the lock's {digest[:12]}…; delete it in the store"
            )
        size += len(data)
        PACKAGE_BYTES.check(size, f"package {pin.name}", "use an image that has it")
        for name, content in wheel_files(data, file).items():
            if files.setdefault(name, content) != content:
                raise BadInput(f"{file}: another package of the lock also has {name}, with another content")
    digests = sorted(digest for _, digest in chosen.values())
    folder = laid_out(_Tree(f"packages-{sha256_bytes(''.join(digests).encode())}", files), cache)
    sys.dont_write_bytecode = True  # root could write beside the files, and what is beside them is not the lock's
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
        look_anew()
    return folder


def check_wheel(file: str, pin: Pin) -> frozenset[Tag]:
    """See that a file's name is that of a pinned package's wheel; the tags of the machines that it is for.

    Raises:
        BadInput: It is no wheel's, or another package's.
    """
    try:
        name, version, _, tags = parse_wheel_filename(file)
    except (InvalidWheelFilename, ValueError):
        raise BadInput(f"{file[:80]!r} is no name of a wheel") from None
    if (name, version) != (pin.name, pin.version):
        raise BadInput(f"{file} is not {pin.name} {pin.version}")
    return tags


def wheel_files(data: bytes, file: str) -> dict[str, bytes]:
    """What a wheel lays out: modules and data beside them; scripts and headers are passed over.

    Raises:
        BadInput: It is no zip file, a name leads out, or it unpacks to far more than it has.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            entries = [entry for entry in wheel.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > min(_UNPACKED * len(data) + 2**20, FILE_BYTES.most):
                raise BadInput("it unpacks to more than a package has")
            for entry in entries:
                placed = _DATA.fullmatch(entry.filename)
                if placed or ".data/" not in entry.filename.partition("/")[0] + "/":
                    name = check_key(placed["name"] if placed else entry.filename)
                    found[name] = wheel.read(entry)
    except (BadInput, *_NO_ZIP) as error:
        raise BadInput(f"{file} cannot be read as a wheel: {error or type(error).__name__}") from None
    return found


def _lines(data: bytes, where: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, without comments; those that end in a backslash with the next."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{where}: this is not UTF-8; write the lock anew") from None
    begin, whole = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        begin = begin or number
        whole += f" {bare.removesuffix(chr(92))}"
        if not bare.endswith("\\"):
            if whole.strip():
                yield begin, whole.strip()
            begin, whole = 0, ""
    if whole.strip():
        yield begin, whole.strip()


def is_installed(pin: Pin) -> bool:
    """Whether a package is here without being brought along.

    Raises:
        BadInput: It is here in another version.
    """
    try:
        found = Version(importlib.metadata.version(pin.name))
    except importlib.metadata.PackageNotFoundError:
        return False
    if found.public != pin.version.public:
        raise BadInput(
            f"{LOCK}: the project wants {pin.name} {pin.version}, and {found} is installed here, which the image's own "
            "packages use; lock this version, or use another image"
        )
    return True


def _listed(store: Store, key: str, kind: Kind) -> dict[str, str]:
    """The SHA-256 of each wheel of a list, by the wheel's name."""
    if not store.exists(key):
        raise BadInput(
            f"{store.uri}/{key}: the project's packages are not there for {kind.name}; run or submit from the "
            "project's folder, which publishes them"
        )
    try:
        body = parse_json(store.get_bytes(key), f"{store.uri}/{key}")
        return {str(name): str(digest) for name, digest in body["wheels"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{store.uri}/{key} is no list of wheels ({error!r}); delete it and run again") from None


def _chosen(pin: Pin, listed: Mapping[str, str], kind: Kind) -> tuple[str, str]:
    """The wheel of a package and its SHA-256, which the lock must name."""
    for file, digest in listed.items():
        if digest in pin.hashes:
            if not check_wheel(file, pin) & kind.tags():
                raise BadInput(f"{file} is not for {kind.name}; publish the packages anew")
            return file, digest
    raise BadInput(f"{pin.name} {pin.version}: no wheel of the lock is in the store for {kind.name}; run again")


def index_body(wheels: Mapping[str, str]) -> bytes:
    """The list of wheels as it is kept."""
    return json.dumps({"wheels": dict(sorted(wheels.items()))}, indent=1).encode()
