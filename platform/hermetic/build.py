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
from look import look
from machine import Cache, cache_root, locked, need_docker
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
    except OSError as error:
        print(f"hermetic: {error.filename or 'this machine'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hermetic: stopped; what is built stays, and the next run goes on from there", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="build just these programs and images, and what they need"
    )
    parser.add_argument("--programs", nargs="+", metavar="NAME", help="build just these programs: no image, no Docker")
    parser.add_argument("--list", action="store_true", help="print every program and image with its key, and end")
    parser.add_argument("--look", action="store_true", help="say whether this machine can build it, and end")
    parser.add_argument("--trim", action="store_true", help="when all is built, remove Go's caches and old programs")
    return parser


def _run(options: argparse.Namespace) -> None:
    table = read_table()
    cache = Cache(cache_root())
    certificates = debian.certificates()
    keys = Keys(table, machine=digest(certificates.read_bytes().hex()) if certificates.is_file() else "")
    if options.list:
        _list(table, keys)
        return
    images, programs = _wanted(options, table)
    if images:
        need_docker()
    if options.look:
        print(look(Steps(table, keys, cache), images, programs), flush=True)
        return
    with locked(cache):
        _build(options, Steps(table, keys, cache), images, programs)


def _build(options: argparse.Namespace, steps: Steps, images: list[str], programs: list[str]) -> None:
    start = time.monotonic()
    keys, cache = steps.keys, steps.cache
    everything = not options.only and not options.programs
    if everything:
        _load(keys, cache)
    todo = steps.needed(images, programs)
    in_order(todo)
    _link_programs(steps)
    if everything and bundle.archive(keys, cache) is None:
        in_order([Step("archive", "of the finished images", lambda: bundle.save(keys, cache))])
    if options.trim:
        _trim(steps)
    compiled = sum(step.name.startswith("go ") for step in todo)
    built = f"{len(todo) - compiled} images and {compiled} programs built"  # .ci/run reads this line
    print(f"{built}, everything is there after {time.monotonic() - start:.0f} s", flush=True)


def _wanted(options: argparse.Namespace, table: Table) -> tuple[list[str], list[str]]:
    """Return the names of the images and of the programs to build; what is both is the image to --only."""
    if not options.only and not options.programs:
        return finished(table), [name for name, program in table.programs.items() if program.tool]
    for name in options.only or []:
        if name not in table.images and name not in table.programs:
            raise BadUse(f"--only {name}: neither in programs.toml nor in images.toml; --list shows what there is")
    for name in options.programs or []:
        if name not in table.programs:
            raise BadUse(f"--programs {name}: not in programs.toml; --list shows what there is")
    images = [name for name in options.only or [] if name in table.images]
    programs = [name for name in options.only or [] if name not in table.images]
    return images, [*programs, *(options.programs or [])]


def _load(keys: Keys, cache: Cache) -> None:
    path = bundle.archive(keys, cache)
    if path and bundle.missing(keys):
        in_order([Step("archive", f"{path.name} into Docker", lambda: bundle.load(path, cache))])


def _list(table: Table, keys: Keys) -> None:
    for name, program in table.programs.items():
        print(f"program  {keys.program(name)}  {name}: {program.module}@{program.version}")
    for name, image in table.images.items():
        print(f"image    {keys.image(name)}  {name}: {image.reference}")


def _link_programs(steps: Steps) -> None:
    """Keep one link per built binary at a path that does not change: ~/.cache/sluice/hermetic/tools/<name>."""
    tools = steps.cache.programs.parent / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    for name in steps.table.programs:
        for binary in steps.folder(name).glob("*"):
            link = tools / binary.name
            if not (link.is_symlink() and link.readlink() == binary):
                link.unlink(missing_ok=True)
                link.symlink_to(binary)


def _trim(steps: Steps) -> None:
    """Remove Go's caches (its module cache is read-only, folders included) and programs of other keys."""
    cache = steps.cache
    current = {steps.folder(name) for name in steps.table.programs}
    for old in set(cache.programs.iterdir()) - current:
        shutil.rmtree(old)
    if cache.go.is_dir():
        for folder in [cache.go, *(path for path in cache.go.rglob("*") if path.is_dir() and not path.is_symlink())]:
            folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
        shutil.rmtree(cache.go)
    shutil.rmtree(cache.work, ignore_errors=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
