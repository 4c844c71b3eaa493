"""`sluice bundle`: what of a project goes along with a run, and why the rest stays."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from sluice.core.bounds import FILE_BYTES
from sluice.core.errors import BadInput
from sluice.core.extensions import split_reference
from sluice.core.files import faults, inside, written
from sluice.running.terminal import Json, Terminal, console, plain, print_json

if TYPE_CHECKING:
    from sluice.project.archive import Archive

PROJECT_FILE = "sluice.yaml"


@dataclass(frozen=True)
class _Bundle:
    """What the command shows.

    Attributes:
        digest: Of the archive.
        key: Where it would stand in a store.
        sizes: Bytes of each file that goes along.
        left_out: What stays, with the reason.
        users: For a file that steps need, what of the project file refers to it.
        packages: What the project's lock brings along, `name==version`, and the bytes of the wheels that lie beside it;
            pip fetches the others.
    """

    digest: str
    key: str
    sizes: dict[str, int]
    left_out: dict[str, str]
    users: dict[str, list[str]]
    packages: dict[str, int | None] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.sizes.values())


def bundle(
    folder: Annotated[Path, typer.Argument(help="The project's folder.", show_default="this one")] = Path(),
    references: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="FILE.py:NAME", help="Only what this needs, as a step gets it; repeatable."),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option("--file", metavar="PATH", help="With --for: another file or pattern; repeatable."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Each file with its size, and why others stay.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the archive to this file.")] = None,
    limit: Annotated[
        float | None,
        typer.Option(metavar="MB", min=0.001, max=FILE_BYTES.default / 1e6, help="The most that may go along."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which files of a project go along with a run, or write them to a zip file."""
    from sluice.project.archive import check_size

    if references or files:
        archive, found = _of_references(folder, references or [], files or [])
    else:
        archive, found = _of_project(folder)
    if as_json:
        print_json(asdict(found) | {"size": found.size})
    else:
        if show:
            _show(found, console())
        console().print(plain(_summary(found)), highlight=False, soft_wrap=True)
    check_size(found.size, None if limit is None else int(limit * 1e6))  # after the list, which says what is large
    if output is not None:
        with written(output) as stream:
            stream.write(archive.data)
        if not as_json:
            console().print(f"written to {plain(output)}", highlight=False, soft_wrap=True)


def add_bundle_command(app: typer.Typer) -> None:
    """Give the command its place in the `sluice` command."""
    app.command(
        epilog="Examples: `sluice bundle --list` · `sluice bundle --for prepare.py:rows --list` · "
        "`sluice bundle houses --output houses.zip`"
    )(bundle)


def _of_references(folder: Path, references: list[str], files: list[str]) -> "tuple[Archive, _Bundle]":
    from sluice.project.packing import closure

    archive = closure(folder, references, files, most=FILE_BYTES.most)
    return archive, _Bundle(archive.digest, archive.key, _sizes(archive), {}, {})


def _of_project(folder: Path) -> "tuple[Archive, _Bundle]":
    from sluice.project.packing import whole

    packed = whole(folder, most=FILE_BYTES.most)
    left = {each.path: each.reason for each in packed.left_out}
    archive = packed.archive
    return archive, _Bundle(archive.digest, archive.key, _sizes(archive), left, _users(folder), _packages(folder))


def _packages(folder: Path) -> dict[str, int | None]:
    """The packages of the project's lock.

    Raises:
        BadInput: The lock is not there, or is wrong; the message names its line.
    """
    declared = _declared(folder / PROJECT_FILE)
    lock = declared.get("packages") if isinstance(declared, dict) else None
    if not isinstance(lock, str):
        return {}
    from sluice.project.packages import read_lock
    from sluice.project.wheelhouse import wheels_beside

    path = inside(folder.absolute(), lock)
    with faults(str(folder / lock)):
        data = path.read_bytes()
    there = wheels_beside(path)
    return {
        f"{pin.name}=={pin.version}": next((size for digest, size in there.items() if digest in pin.hashes), None)
        for pin in read_lock(data, str(folder / lock))
    }


def _users(folder: Path) -> dict[str, list[str]]:
    """For each file that steps need, what refers to it in the project file; nothing where there is no such file.

    Raises:
        BadInput: The file is no YAML, or what it refers to cannot go along.
    """
    from sluice.project.packing import closure

    declared = _declared(folder / PROJECT_FILE)
    users: dict[str, list[str]] = {}
    for reference in sorted(set(_references(declared))):
        for file in closure(folder, [reference], most=FILE_BYTES.most).files:
            users.setdefault(file, []).append(reference)
    listed = declared.get("files") if isinstance(declared, dict) else None
    for pattern in listed if isinstance(listed, list) else []:
        for file in closure(folder, [], [str(pattern)], most=FILE_BYTES.most).files:
            users.setdefault(file, []).append(f"files: {pattern}")
    return users


def _declared(path: Path) -> object:
    """The project file's content, as YAML alone; None where there is none."""
    import yaml

    if not path.is_file():
        return None
    with faults(str(path)):
        text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{path}{line}: this is no YAML: {getattr(error, 'problem', None) or error}") from None


def _references(value: object) -> Iterator[str]:
    """Every `file.py:name` among the values and keys of a YAML document, however deep."""
    if isinstance(value, str) and split_reference(value):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _references(key)
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _show(found: _Bundle, terminal: Terminal) -> None:
    table = Table("file", "bytes", "needed by" if found.users else "", box=None, pad_edge=False, header_style="dim")
    table.columns[1].justify = "right"
    for name, size in found.sizes.items():
        table.add_row(plain(name), f"{size:,}", plain(", ".join(found.users.get(name, []))))
    terminal.print(table)
    terminal.print()
    if found.packages:
        wheels = Table("package", "bytes of its wheel", box=None, pad_edge=False, header_style="dim")
        wheels.columns[1].justify = "right"
        for name, bytes_ in found.packages.items():
            wheels.add_row(plain(name), "fetched by pip" if bytes_ is None else f"{bytes_:,}")
        terminal.print(wheels)
        terminal.print()
    if found.left_out:
        stays = Table("stays here", "because of", box=None, pad_edge=False, header_style="dim")
        for name, reason in found.left_out.items():
            users = [
                each for file in found.users if file == name or file.startswith(name) for each in found.users[file]
            ]
            but = f"; but goes along for {', '.join(sorted(set(users)))}" if users else ""
            stays.add_row(plain(name), plain(reason + but))
        terminal.print(stays)
        terminal.print()


def _summary(found: _Bundle) -> str:
    count = f"{len(found.sizes)} file{'' if len(found.sizes) == 1 else 's'} of {found.size:,} bytes"
    packages = f", {len(found.packages)} packages" if found.packages else ""
    return f"{count}{packages}{f', {len(found.left_out)} left out' if found.left_out else ''}: {found.key}"


def _sizes(archive: "Archive") -> dict[str, int]:
    return {name: len(data) for name, data in archive.files.items()}
