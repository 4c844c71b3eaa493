"""Content keys: what a program or image is made from, as 16 hex digits in the name or label of what comes of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from faults import BadUse
from table import HERE, Image, Program, Table, programs_of


class Keys:
    """The keys of one table; `machine` is what of this machine goes into the Debian base (its certificates)."""

    def __init__(self, table: Table, folder: Path = HERE, machine: str = "") -> None:
        self.table = table
        self.folder = folder
        self.machine = machine
        self._known: dict[str, str] = {}

    def program(self, name: str) -> str:
        """Return the key of a program: its entry, the files that the entry names, and the generator it needs."""
        return self._remembered(f"program {name}", lambda: self._program(self.table.programs[name]))

    def image(self, name: str) -> str:
        """Return the key of an image: its entry, its files, its programs, its base, and for a node what is baked in."""
        return self._remembered(f"image {name}", lambda: self._image(self.table.images[name]))

    @cached_property
    def bundle(self) -> str:
        """Return the key of the archive of finished images."""
        return digest([self.image(name) for name in finished(self.table)])

    def _remembered(self, label: str, compute: Any) -> str:  # noqa: ANN401 - a function without arguments
        if label not in self._known:
            self._known[label] = compute()
        return self._known[label]

    def _program(self, program: Program) -> str:
        parts: list[Any] = [_entry(program)]
        if program.sums:
            parts.append(file_digest(self.folder / program.sums))
        parts += [file_digest(self.folder / own) for own in program.own.values()]
        if program.protobufs:
            parts += [folder_digest(self.folder / program.protobufs), self.program("protoc-gen-go")]
        parts += [_entry(other) for other in self.table.beside(program)]
        return digest(parts)

    def _image(self, image: Image) -> str:
        parts: list[Any] = [asdict(image), [self.program(name) for name in programs_of(image)]]
        if image.folder:
            parts.append(folder_digest(self.folder / image.folder))
        parts += [file_digest(self.folder / source) for source in image.files.values() if ":" not in source]
        if image.base and image.base != "scratch":
            parts.append(self.image(image.base))
        if image.name == "debian":
            parts += [file_digest(self.folder / "debian.py"), self.machine]
        if image.name == "node":
            parts += [self.image(name) for name in baked(self.table)]
        return digest(parts)


def _entry(program: Program) -> dict[str, Any]:
    """Return the entry of a program; two fields came later, and the keys of programs without are those of before."""
    return {name: value for name, value in asdict(program).items() if value or name not in ("keep", "own")}


def baked(table: Table) -> list[str]:
    """Return the names of the images that stand in the node image."""
    return [name for name, image in table.images.items() if image.baked]


def finished(table: Table) -> list[str]:
    """Return the names of the images that are used as they are: the node, and what our own images are made from."""
    return [name for name in ("node", "kfp-driver", "python", "python-torch") if name in table.images]


def digest(parts: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Return the first 16 hex digits of the SHA-256 of `parts` as canonical JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return a digest of a file's bytes and of whether it may be executed.

    Raises:
        BadUse: a table names a file that is not there.
    """
    try:
        return digest([path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode & 0o111 != 0])
    except OSError as error:
        raise BadUse(f"{path}: {error.strerror}; the tables name it") from error


def folder_digest(folder: Path) -> str:
    """Return a digest of all files of a folder, whatever their times."""
    if not folder.is_dir():
        raise BadUse(f"{folder}: no such folder; the tables name it")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    return digest([[str(path.relative_to(folder)), file_digest(path)] for path in files])
