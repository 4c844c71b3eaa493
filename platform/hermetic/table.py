"""The tables programs.toml and images.toml, read into frozen dataclasses and checked."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from faults import BadUse

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Module:
    """A Go module at one version; `sum` is Go's own checksum of it (h1:...), `into` a folder of the program's tree."""

    module: str
    version: str
    sum: str
    into: str = ""


@dataclass(frozen=True)
class Program:
    """What Go builds from one module: one program, or several of the same module and settings.

    The module's tree is copied, changed as told here, and built with its own go.sum, so `sum` pins every dependency.
    """

    name: str
    module: str
    version: str
    sum: str
    packages: tuple[str, ...] = (".",)
    binary: str = ""  # the program's name, where it is not the package's last word
    cgo: bool = False  # linked statically even so
    ldflags: str = ""
    tool: bool = False  # brings a cluster up from the machine itself: built with the images, in none of them
    workspace: str = ""  # programs of one workspace are built of the same versions of what they share
    folder_replacements: str = ""  # version that stands in for the sibling folders which go.mod points at
    drop_replacements: tuple[str, ...] = ()
    copies: dict[str, str] = field(default_factory=dict)  # new file -> file of the tree
    own: dict[str, str] = field(default_factory=dict)  # new file -> file beside the tables
    leave_out: dict[str, list[str]] = field(default_factory=dict)  # file of the tree -> lines to drop
    generate: str = ""  # file of the tree to `go run` after that
    sums: str = ""  # file with the go.sum lines that those changes need
    modules: tuple[Module, ...] = ()  # put into folders of the tree
    keep: dict[str, str] = field(default_factory=dict)  # folder beside the programs -> folder of the tree
    protobufs: str = ""  # folder of the script and lock that write generated protobufs anew


@dataclass(frozen=True)
class Image:
    """One container image: from a table entry alone, or from the Dockerfile in `folder`."""

    name: str
    reference: str
    base: str = ""  # name of another image, `scratch`, or nothing (the folder's own script makes it)
    files: dict[str, str] = field(default_factory=dict)  # path in the image -> program:binary, or a file beside here
    packages: tuple[str, ...] = ()  # of Debian
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    folder: str = ""
    baked: bool = True  # stands in the node image, so that no cluster has to load it


@dataclass(frozen=True)
class Table:
    """All programs and images, by name."""

    programs: dict[str, Program]
    images: dict[str, Image]

    def beside(self, program: Program) -> list[Program]:
        """Return the other programs of its workspace, in the table's order."""
        others = [other for other in self.programs.values() if other.name != program.name]
        return [other for other in others if program.workspace and other.workspace == program.workspace]


Entry = TypeVar("Entry", Program, Image, Module)


def read_table(folder: Path = HERE) -> Table:
    """Read both tables of `folder`.

    Raises:
        BadUse: an entry has an unknown or missing field, or names a program or image that is not there.
    """
    programs = {name: _program(name, values) for name, values in _toml(folder / "programs.toml").items()}
    images = {name: _entry(Image, {"name": name, **values}) for name, values in _toml(folder / "images.toml").items()}
    table = Table(programs, images)
    for image in images.values():
        _check(image, table)
    return table


def _toml(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadUse(f"{path.name}: {error}") from error


def _program(name: str, values: dict[str, Any]) -> Program:
    modules = tuple(_entry(Module, module) for module in values.pop("modules", []))
    return _entry(Program, {"name": name, "modules": modules, **values})


def _entry(kind: type[Entry], values: dict[str, Any]) -> Entry:
    known = {item.name for item in fields(kind)}
    label = f"{kind.__name__.lower()} {values.get('name') or values.get('module')}"
    if unknown := sorted(values.keys() - known):
        raise BadUse(f"{label}: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    frozen: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    try:
        return kind(**frozen)
    except TypeError as error:
        raise BadUse(f"{label}: {error}") from error


def _check(image: Image, table: Table) -> None:
    if image.base and image.base != "scratch" and image.base not in table.images:
        raise BadUse(f"image {image.name}: its base {image.base!r} is not in images.toml")
    for source in image.files.values():
        program, colon, _ = source.partition(":")
        if colon and program not in table.programs:
            raise BadUse(f"image {image.name}: program {program!r} is not in programs.toml")


def programs_of(image: Image) -> list[str]:
    """Return the names of the programs whose binaries `image` holds."""
    return sorted({source.partition(":")[0] for source in image.files.values() if ":" in source})
