"""Build the kind node and every third-party image from package registries: `python3 platform/hermetic/build.py`.

Each program and image has a content key (keys.py). What exists with its key is not built again, so a run that was cut
off goes on where it was. README.md says when to use this, and what it costs.
"""

from __future__ import annotations

import argparse
import shutil
import stat
import sys
import time
from pathlib import Path

import bundle
import debian
from faults import BadUse, Fault
from keys import Keys, digest, finished
from machine import Cache, cache_root, need_docker
from schedule import Step, in_order
from steps import Steps
from table import Table, read_table


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, 1 for a fault of machine or build, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except Fault as fault:
        print(f"hermetic: {fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        print("hermetic: stopped; what is built stays, and the next run goes on from there", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="build just these programs and images, and what they need"
    )
    parser.add_argument("--list", action="store_true", help="print every program and image with its key, and end")
    parser.add_argument("--trim", action="store_true", help="when all is built, remove Go's caches (about 10 GB)")
    return parser


def _run(options: argparse.Namespace) -> None:
    start = time.monotonic()
    table = read_table()
    cache = Cache(cache_root())
    certificates = debian.certificates()
    keys = Keys(table, machine=digest(certificates.read_bytes().hex()) if certificates.is_file() else "")
    if options.list:
        _list(table, keys)
        return
    names = options.only or [*finished(table), *(name for name, program in table.programs.items() if program.tool)]
    if unknown := [name for name in names if name not in table.images and name not in table.programs]:
        raise BadUse(f"--only {unknown[0]}: neither in programs.toml nor in images.toml; --list shows what there is")
    steps = Steps(table, keys, cache)
    if any(name in table.images for name in names):
        need_docker()
        if not options.only:
            _load(keys, cache)
    todo = steps.needed(names)
    in_order(todo)
    _link_tools(table, keys, cache)
    if not options.only and bundle.archive(keys, cache) is None:
        in_order([Step("archive", "of the finished images", lambda: bundle.save(keys, cache))])
    if options.trim:
        _trim(cache)
    print(f"{len(todo)} built, everything is there after {time.monotonic() - start:.0f} s", flush=True)


def _load(keys: Keys, cache: Cache) -> None:
    path = bundle.archive(keys, cache)
    if path and bundle.missing(keys):
        in_order([Step("archive", f"{path.name} into Docker", lambda: bundle.load(path, cache))])


def _list(table: Table, keys: Keys) -> None:
    for name, program in table.programs.items():
        print(f"program  {keys.program(name)}  {name}: {program.module}@{program.version}")
    for name, image in table.images.items():
        print(f"image    {keys.image(name)}  {name}: {image.reference}")


def _link_tools(table: Table, keys: Keys, cache: Cache) -> None:
    """Keep one link per built tool at a path that does not change: ~/.cache/sluice/hermetic/tools/<name>."""
    tools = cache.programs.parent / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    for name, program in table.programs.items():
        binary = cache.programs / f"{name}-{keys.program(name)}" / name
        link = tools / name
        if program.tool and binary.is_file() and not (link.is_symlink() and link.readlink() == binary):
            link.unlink(missing_ok=True)
            link.symlink_to(binary)


def _trim(cache: Cache) -> None:
    """Remove Go's caches; its module cache is read-only, folders included."""
    if cache.go.is_dir():
        for folder in [cache.go, *(path for path in cache.go.rglob("*") if path.is_dir() and not path.is_symlink())]:
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(cache.go)
    shutil.rmtree(cache.work, ignore_errors=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
