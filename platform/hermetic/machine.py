"""What the builder needs of the machine: its caches, its programs, and commands run with their output in a log."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults import Fault

LAST_LINES = 6
LOCK_SECONDS = 3600
ENGINE = "sudo platform/hermetic/engine.sh"  # on a bare Debian machine


def cache_root() -> Path:
    """Return ~/.cache/sluice, or the same under XDG_CACHE_HOME."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "sluice"


@dataclass(frozen=True)
class Cache:
    """The builder's folders, all under one root."""

    root: Path

    @property
    def go(self) -> Path:
        """Go's build and module caches: big, and only needed until everything is built."""
        return self.root / "go"

    @property
    def programs(self) -> Path:
        """One folder `<name>-<key>` per built program, and links `bin/<binary>` to the tools."""
        return self.root / "hermetic" / "bin"

    @property
    def images(self) -> Path:
        """The archive of finished images."""
        return self.root / "hermetic" / "images"

    @property
    def work(self) -> Path:
        """Trees and build contexts; each is removed when its build succeeds."""
        return self.root / "hermetic" / "work"

    @property
    def logs(self) -> Path:
        """One log per program or image: the output of the last time that it was built."""
        return self.root / "hermetic" / "logs"


def tail(log: Path) -> str:
    """Return the last lines of a log's last command, joined by ` | `, for a message of one line."""
    _, command, output = ("\n" + log.read_text(encoding="utf-8", errors="replace")).rpartition("\n$ ")
    lines = [line.strip() for line in output.splitlines()[1 if command else 0 :] if line.strip()]
    return " | ".join(lines[-LAST_LINES:]) or "no output"


def run(
    what: str, command: Sequence[str], log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run `command`, with its output appended to `log`.

    Raises:
        Fault: it failed; the message names `what`, the command, the log and its last lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        result = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    if result.returncode:
        shown = " ".join(command if len(command) < 5 else [*command[:4], "..."])
        raise Fault(f"{what}: `{shown}` failed ({result.returncode}): {tail(log)} (all of it: {log})")


def read(what: str, command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run `command` and return its standard output.

    Raises:
        Fault: it failed; the message ends with what it wrote last.
    """
    result = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
        raise Fault(f"{what}: `{' '.join(command[:6])}` failed ({result.returncode}): {' | '.join(said[-LAST_LINES:])}")
    return result.stdout


@contextmanager
def locked(cache: Cache) -> Iterator[None]:
    """Keep other builds of the same cache away: they would write the same trees and contexts.

    Raises:
        Fault: another build holds it for longer than LOCK_SECONDS.
    """
    path = cache.root / "hermetic" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + LOCK_SECONDS
    with path.open("w", encoding="utf-8") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Fault(f"waited {LOCK_SECONDS} s for another build to end (it holds {path})") from None
                if not told:
                    print(f"Another build runs (it holds {path}); waiting for it ...", flush=True)
                    told = True
                time.sleep(0.1)
        yield


def need_program(name: str, why: str, way_out: str) -> str:
    """Return the path of a program.

    Raises:
        Fault: it is not on the PATH.
    """
    path = shutil.which(name)
    if not path:
        raise Fault(f"{why} takes `{name}`, and none is on the PATH: {way_out}")
    return path


def need_docker() -> None:
    """See that Docker's engine answers.

    Raises:
        Fault: there is no client, or no engine answers it.
    """
    way_out = f"install Docker's engine, on Debian with `{ENGINE}`"
    docker = need_program("docker", "building images", way_out)
    command = [docker, "version", "--format", "{{.Server.Version}}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode or not result.stdout.strip():
        said = result.stderr.strip().splitlines() or ["no answer"]
        raise Fault(
            f"no Docker engine answers ({said[-1]}): start it with `sudo systemctl start docker`, or `{ENGINE}`"
        )
