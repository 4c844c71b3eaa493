"""Collects the few files that the model server's image is made of: `python3 lean_root.py TARGET`, in an image's build.

The image has no distribution below it: no shell, no package manager, nothing but Python, the shared libraries that it
and the packages of /opt/sluice load, the authorities of TLS and a user. What was taken from which Debian package is
noted in var/lib/dpkg/status.d, where scanners look. It runs in the base, where /opt/sluice is ready, with nothing but
the standard library.
"""

import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

OWN = Path("/opt/sluice")
# Of Python: what tests, teaches, draws windows or installs. `venv` and `pip` cannot be used without `ensurepip`.
UNUSED_STDLIB = (
    *("test", "idlelib", "ensurepip", "pydoc_data", "turtledemo", "lib2to3", "tkinter", "site-packages"),
    *("dist-packages", "venv"),
)
# Of packages: what nothing imports where models are only run. onnxruntime's C library is there for programs in C: its
# Python module has all of it inside.
UNUSED = (
    *("onnxruntime/capi/libonnxruntime.so*", "onnxruntime/transformers", "onnxruntime/tools", "onnxruntime/datasets"),
    *("onnxruntime/quantization", "onnxruntime/backend", "numpy/f2py", "**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd"),
    *("**/*.h", "**/*.c", "**/*.a"),
)
FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/os-release", "/usr/lib/os-release", "/etc/ld.so.cache")
LOADED = 1  # PT_LOAD
USER = "sluice:x:65532:65532::/tmp:/sbin/nologin\n"


def remove_unused(packages: Path) -> None:
    """Take out of the installed packages what a server never imports."""
    for pattern in UNUSED:
        for path in list(packages.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def strip(path: Path) -> None:
    """Cut off what stands behind all that a loader maps: names of symbols and notes for debuggers.

    Source: the ELF-64 format, its program headers; some wheels come with half of their size behind them.
    """
    data = bytearray(path.read_bytes())
    if data[:5] != b"\x7fELF\x02":
        return
    place, number = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    headers = [struct.unpack_from("<IIQQQQQQ", data, place + 56 * each) for each in range(number)]
    end = max(offset + size for kind, _, offset, _, _, size, _, _ in headers if kind == LOADED)
    struct.pack_into("<Q", data, 40, 0)  # where the sections' own headers are: behind the end
    struct.pack_into("<HH", data, 60, 0, 0)  # how many, and which has their names
    path.write_bytes(data[:end])


def libraries(objects: list[Path]) -> set[Path]:
    """The shared libraries that programs and modules load, their loader too, by the paths that the loader finds."""
    found: set[Path] = set()
    for path in objects:
        done = subprocess.run(["ldd", str(path)], check=False, capture_output=True, text=True)
        found |= {Path(place) for place in re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)}
    return {path for path in found if not path.is_relative_to(OWN)}


def place(path: Path) -> Path:
    """The path itself without links among its folders: /lib is /usr/lib in Debian."""
    return path.parent.resolve() / path.name


def copy(path: Path, target: Path) -> Iterator[Path]:
    """Copy a file, and if it is a link what it leads to, each to its own path below `target`; gives what was copied."""
    path = place(path)
    into = target / path.relative_to("/")
    if into.exists() or into.is_symlink():
        return
    into.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        into.symlink_to(path.readlink())
        yield from copy(path.parent / path.readlink(), target)
    else:
        shutil.copy2(path, into)
        yield path


def copy_python(target: Path) -> Iterator[Path]:
    """Copy the base's Python: its program and its standard library; gives files that load libraries."""
    library = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    left_out = shutil.ignore_patterns(*UNUSED_STDLIB, "config-*")
    shutil.copytree(library, target / library.relative_to("/"), ignore=left_out, symlinks=True, dirs_exist_ok=True)
    for path in (target / library.relative_to("/")).rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    yield from copy(Path(f"{sys.base_prefix}/bin/python3"), target)
    yield from (library / "lib-dynload").glob("*.so")


def note_packages(files: set[Path], target: Path) -> None:
    """Note the Debian packages that files were taken from, where the base is Debian's."""
    if not shutil.which("dpkg-query"):
        return
    folder = target / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    words = sorted({str(file) for file in files} | {str(file).removeprefix("/usr") for file in files})
    said = subprocess.run(["dpkg-query", "--search", *words], check=False, capture_output=True, text=True).stdout
    for name in sorted(set(re.findall(r"^([^\s:]+)(?::\S+)?: /", said, re.MULTILINE))):
        status = subprocess.run(["dpkg-query", "--status", name], check=True, capture_output=True, text=True).stdout
        folder.joinpath(name).write_text(status, encoding="utf-8")


def main(target: Path) -> None:
    """Fill `target`."""
    packages = Path(next(OWN.glob("lib/python3*/site-packages")))
    remove_unused(packages)
    modules = [*packages.rglob("*.so"), *packages.rglob("*.so.*")]
    for folder in ("lib", "lib64", "bin", "sbin"):
        if Path("/", folder).is_symlink():
            target.joinpath(folder).symlink_to(Path("/", folder).readlink())
    copied = set(copy_python(target))
    programs = [path for path in copied if path.suffix == ".so" or "bin" in path.parts]
    wanted = libraries([*programs, *modules])
    for path in (*sorted(wanted), *map(Path, FILES)):
        if path.exists():
            copied |= set(copy(path, target))
    for path in modules:
        strip(path)
    note_packages(copied, target)
    shutil.copytree(OWN, target / OWN.relative_to("/"), symlinks=True)
    target.joinpath("etc").mkdir(exist_ok=True)
    target.joinpath("etc/passwd").write_text(USER, encoding="utf-8")
    target.joinpath("etc/group").write_text("sluice:x:65532:\n", encoding="utf-8")
    target.joinpath("tmp").mkdir()
    target.joinpath("tmp").chmod(0o1777)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
