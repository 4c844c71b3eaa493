"""Build a program: take its module's tree from the module proxy, change it as the table says, run `go build`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults import BadUse, Fault
from machine import Cache, need_program, read, run
from table import HERE, Module, Program

GO_HINT = "install Go 1.26 or newer, and see that its mirror or proxy can be reached (go env GOPROXY)"


def go_environment(cache: Cache) -> dict[str, str]:
    """Return the environment of every Go command: caches of ours, and no toolchain or workspace but the machine's.

    The checksum database is left out, since the table itself pins each module and, through its go.sum, the rest.
    """
    return {
        "GOCACHE": str(cache.go / "build"),
        "GOMODCACHE": str(cache.go / "mod"),
        "GOFLAGS": "-buildvcs=false",
        "GONOSUMDB": "*",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def build(
    program: Program, target: Path, cache: Cache, generator: Path | None = None, beside: Sequence[Program] = ()
) -> None:
    """Build all binaries of `program` into the folder `target`, which appears only when all of them are there.

    Args:
        program: What to build.
        target: Where to.
        cache: Go's caches, trees and logs.
        generator: The folder of the protobuf compiler's plug-in, for a program that takes it.
        beside: The other programs of its workspace.

    Raises:
        Fault: Go is missing, the module cannot be had, or its build fails.
        BadUse: the module's checksum is not the table's.
    """
    need_program("go", f"building {program.name}", GO_HINT)
    log = cache.logs / f"{program.name}.log"
    log.unlink(missing_ok=True)
    tree = lay_out(program, cache, log, "tree")
    if program.protobufs and generator:
        _write_protobufs(program, tree, cache, generator, log)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    workspace = _workspace(program, tree, beside, cache, log)
    run(program.name, _go_build(program, partial), log, cwd=tree, env=_build_environment(program, cache) | workspace)
    for folder, source in program.keep.items():
        shutil.copytree(tree / source, partial / folder)
    partial.rename(target)
    for used in (tree, *cache.work.glob(f"*-{_beside(program)}")):
        shutil.rmtree(used)


def _go_build(program: Program, out: Path) -> list[str]:
    ldflags = f"-s -w {program.ldflags}"
    # the linker leaves debugging tables out (-w), so the compiler need not make them
    command = ["go", "build", "-mod=readonly", "-trimpath", "-gcflags=all=-dwarf=false"]
    if program.cgo:
        ldflags += " -linkmode external -extldflags -static"
        command += ["-tags", "netgo,osusergo,sqlite_omit_load_extension"]
    output = f"{out}/{program.binary}" if program.binary else f"{out}/"
    return [*command, "-ldflags", ldflags.strip(), "-o", output, *program.packages]


def _build_environment(program: Program, cache: Cache) -> dict[str, str]:
    # A compiler runs for seconds: it need not tidy its memory up before it has much.
    memory = {"GOGC": "off", "GOMEMLIMIT": "2GiB"}
    return {**go_environment(cache), **memory, "CGO_ENABLED": "1" if program.cgo else "0"}


def _workspace(program: Program, tree: Path, beside: Sequence[Program], cache: Cache, log: Path) -> dict[str, str]:
    """Return the variables that let Go choose the modules of `program` and those `beside` it together.

    Go takes the newest version that any of them requires, and checks it against that one's go.sum. Source: Go modules
    reference, "Workspaces".
    """
    if not beside:
        return {}
    trees = [tree, *(lay_out(other, cache, log, _beside(program)) for other in beside)]
    environment = {"GOWORK": str(trees[-1] / "go.work")}
    run(program.name, ["go", "work", "init", *map(str, trees)], log, env=go_environment(cache) | environment)
    return environment


def _beside(program: Program) -> str:
    return f"beside-{program.name}"


def lay_out(program: Program, cache: Cache, log: Path, use: str) -> Path:
    """Return a folder with the module's tree, changed as the table says; `use` is in the folder's name.

    Raises:
        Fault: the module cannot be had.
        BadUse: the module's checksum is not the table's.
    """
    tree = cache.work / f"{program.name}-{use}"
    shutil.rmtree(tree, ignore_errors=True)
    _copy(download(Module(program.module, program.version, program.sum), cache), tree)
    for module in program.modules:
        _copy(download(module, cache), tree / module.into)
    for new, old in program.copies.items():
        shutil.copy(tree / old, tree / new)
    for new, own in program.own.items():
        (tree / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / own, tree / new)
    for path, lines in program.leave_out.items():
        leave_out(program, tree / path, lines)
    if program.generate:
        run(program.name, ["go", "run", program.generate], log, cwd=tree, env=go_environment(cache))
    edits = ["-toolchain=none", *(f"-dropreplace={path}" for path in program.drop_replacements)]
    run(program.name, ["go", "mod", "edit", *edits], log, cwd=tree, env=go_environment(cache))
    if program.folder_replacements:
        _replace_folders(program, tree, cache, log)
    if program.sums:
        with (tree / "go.sum").open("a", encoding="utf-8") as sums:
            sums.write((HERE / program.sums).read_text(encoding="utf-8"))
    return tree


def leave_out(program: Program, path: Path, lines: Sequence[str]) -> None:
    """Drop whole lines of a file.

    Raises:
        BadUse: the file has no such line.
    """
    kept = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line not in kept:
            raise BadUse(f"{program.name}: {path.name} has no line {line!r}, which programs.toml leaves out")
        kept.remove(line)
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def _replace_folders(program: Program, tree: Path, cache: Cache, log: Path) -> None:
    """Take modules that go.mod expects in folders of the repository by version instead."""
    settings = json.loads(read(program.name, ["go", "mod", "edit", "-json"], cwd=tree, env=go_environment(cache)))
    folders = [item["Old"]["Path"] for item in settings.get("Replace") or [] if item["New"]["Path"].startswith(".")]
    required = {item["Path"] for item in settings["Require"]}
    edits = [f"-replace={path}={path}@{program.folder_replacements}" for path in folders]
    edits += [f"-require={path}@{program.folder_replacements}" for path in folders if path in required]
    run(program.name, ["go", "mod", "edit", *edits], log, cwd=tree, env=go_environment(cache))


def download(module: Module, cache: Cache) -> Path:
    """Return the folder of a module's tree in Go's module cache, after comparing its checksum with the table's.

    Raises:
        Fault: the module cannot be had.
        BadUse: its checksum is another one.
    """
    query = f"{module.module}@{module.version}"
    try:
        answer = read(query, ["go", "mod", "download", "-json", query], env=go_environment(cache))
    except Fault as fault:
        raise Fault(f"{fault}; is the module proxy within reach (go env GOPROXY)?") from fault
    found: dict[str, Any] = json.loads(answer)
    if found["Sum"] != module.sum:
        says = f"has the checksum {found['Sum']}, but programs.toml says {module.sum}"
        raise BadUse(f"{query} {says}: trust neither before you know why")
    return Path(found["Dir"])


def _copy(source: Path, target: Path) -> None:
    """Copy a tree out of the module cache, where everything is read-only."""
    shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)


def _write_protobufs(program: Program, tree: Path, cache: Cache, generator: Path, log: Path) -> None:
    folder = HERE / program.protobufs
    venv = cache.work / f"{program.name}-venv"
    run(program.name, [sys.executable, "-m", "venv", "--clear", str(venv)], log)
    python = str(venv / "bin" / "python")
    requirements = str(folder / "requirements.txt")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", requirements]
    run(program.name, install, log)
    run(program.name, [python, str(folder / "protobufs.py"), str(generator / "protoc-gen-go"), str(tree)], log)
    shutil.rmtree(venv)
