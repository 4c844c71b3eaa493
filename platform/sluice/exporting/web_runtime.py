"""onnxruntime-web, which runs a graph in a browser: one version, known by the SHA-256 of each file.

It is an npm package (MIT). npm fetches it when a page is made, or a person hands it in; what a page holds is the same
either way.
"""

import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sluice.core.errors import BadInput, EnvironmentFault

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
_FILES = {
    "ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_MOST_BYTES = 64 * 2**20
_SECONDS = 300


@dataclass(frozen=True)
class WebRuntime:
    """What a page needs to run a graph.

    Attributes:
        script: Its interface, a classic script.
        glue: The module that starts the machine.
        machine: The machine, WebAssembly.
    """

    script: bytes
    glue: bytes
    machine: bytes


def web_runtime(given: Path | None) -> WebRuntime:
    """Take the package from a file, or fetch it.

    Args:
        given: The package as npm packs it (`.tgz`), or a folder with its files; None to have npm fetch it.

    Raises:
        BadInput: It is not this version, or not there.
        EnvironmentFault: npm is not installed, or cannot fetch it.
    """
    if given is None:
        return _fetched()
    if not given.exists():
        raise BadInput(f"--runtime {given} is not there; check the path")
    return _of_folder(given) if given.is_dir() else _of_archive(given)


def _fetched() -> WebRuntime:
    npm = shutil.which("npm")
    way_out = f"or hand it in: `npm pack {PACKAGE}@{VERSION}` elsewhere, then --runtime {PACKAGE}-{VERSION}.tgz"
    if npm is None:
        raise EnvironmentFault(f"npm, which fetches {PACKAGE} {VERSION}, is not on the PATH; install it, {way_out}")
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                [npm, "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"],
                cwd=folder, capture_output=True, timeout=_SECONDS, check=False, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFault(f"npm cannot fetch {PACKAGE} {VERSION} ({error}); try again, {way_out}") from None
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            reason = (done.stderr.strip().splitlines() or ["it made no file"])[0][:200]
            raise EnvironmentFault(f"npm cannot fetch {PACKAGE} {VERSION} ({reason}); try again, {way_out}")
        return _of_archive(found[0])


def _of_archive(path: Path) -> WebRuntime:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in _FILES and member.isfile() and 0 < member.size <= _MOST_BYTES:
                    stream = archive.extractfile(member)
                    found[name] = stream.read() if stream else b""
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BadInput(f"{path} is no package of npm's ({error}); make it by `npm pack {PACKAGE}@{VERSION}`") from None
    return _checked(found, str(path))


def _of_folder(folder: Path) -> WebRuntime:
    places = (folder, folder / "dist", folder / "package" / "dist")
    place = next((each for each in places if all((each / name).is_file() for name in _FILES)), None)
    if place is None:
        raise BadInput(f"{folder} lacks {', '.join(_FILES)} of {PACKAGE} {VERSION}; give the package's folder")
    return _checked({name: (place / name).read_bytes() for name in _FILES}, str(folder))


def _checked(found: dict[str, bytes], where: str) -> WebRuntime:
    for name, digest in _FILES.items():
        if name not in found:
            raise BadInput(f"{where} has no {name}; give {PACKAGE} {VERSION}")
        if hashlib.file_digest(io.BytesIO(found[name]), "sha256").hexdigest() != digest:
            raise BadInput(
                f"{where}: {name} is not that of {PACKAGE} {VERSION} (SHA-256 {digest[:12]}…); give that one"
            )
    return WebRuntime(*(found[name] for name in _FILES))
