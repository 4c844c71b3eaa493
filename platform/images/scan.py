"""Scan locks and images' lists of packages for known vulnerabilities: `make scan`.

grype compares them with its database, which it fetches itself where the internet is in reach, and which can be carried
elsewhere. Without a database nothing is scanned, and that is said. Source: grype's documentation, "Vulnerability
Database".
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from build import ROOT, ImageError, program

LISTS = ROOT / "build/sbom"
LOCKS = ROOT / "requirements"
TOO_BAD = 2  # grype's exit code where something is as bad as --fail-on says
DECORATION = re.compile(r"\x1b\[[0-9;]*m|^\[\d+\] +[A-Z]+ +", re.MULTILINE)  # colours, seconds and level of grype's log
QUIET = {"GRYPE_CHECK_FOR_APP_UPDATE": "false"}
NO_DATABASE = (
    "nothing was scanned: grype has no usable database of vulnerabilities, and could not fetch one ({why}); where the "
    "internet is in reach, `grype db update` fetches it; carry its file here (`grype db list` names it) and "
    "`grype db import FILE`"
)


def grype(*arguments: str, show: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run grype; its result as it is, with what it printed unless that is shown.

    Raises:
        ImageError: It is not there.
    """
    command = [os.environ.get("GRYPE", "grype"), *arguments]
    pipe = None if show else subprocess.PIPE
    try:
        return subprocess.run(command, check=False, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **QUIET})
    except FileNotFoundError:
        raise ImageError("grype is not on the PATH: `make scan` builds it, with Go") from None


def need_database() -> None:
    """See that a database is there, and not older than grype takes; else fetch one.

    Raises:
        ImageError: There is none, and none can be fetched.
    """
    if grype("db", "status").returncode == 0:
        return
    done = grype("db", "update")
    if done.returncode:
        said = [line for line in DECORATION.sub("", done.stderr).splitlines() if line.strip()]
        raise ImageError(NO_DATABASE.format(why=said[-1].strip() if said else f"exit code {done.returncode}"))


def package_urls(lock: Path) -> list[str]:
    """The package URL of everything that a lock names, whatever the platform."""
    found = re.findall(
        r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    )
    return sorted({f"pkg:pypi/{name.lower().replace('_', '-')}@{version}" for name, version in found})


def sources(folder: Path, more: list[str]) -> Iterator[tuple[str, str]]:
    """What is scanned: a name for people, and what grype calls it.

    Args:
        folder: Where files of package URLs may be written.
        more: Other sources, as grype names them: docker:REFERENCE, dir:FOLDER, sbom:FILE.
    """
    for lock in sorted(LOCKS.rglob("*.txt")):
        name = lock.relative_to(ROOT).as_posix()
        path = folder / f"{name.replace('/', '-')}.purls"
        path.write_text("\n".join(package_urls(lock)) + "\n", encoding="utf-8")
        yield name, f"purl:{path}"
    lists = sorted(LISTS.glob("*.cdx.json"))
    for found in lists:
        yield found.relative_to(ROOT).as_posix(), f"sbom:{found}"
    if not lists:
        print(f"no lists of images in {LISTS}, so locks alone are scanned: `make sbom` writes them", file=sys.stderr)
    yield from ((name, name) for name in more)


def main() -> int:
    """Scan; 0 when nothing is as bad as --fail-on says, 1 otherwise."""
    parser = argparse.ArgumentParser(description="Scan locks and images' lists for known vulnerabilities.")
    parser.add_argument("more", nargs="*", metavar="SOURCE", help="and these, as grype names them: docker:REFERENCE")
    parser.add_argument("--fail-on", default="high", help="severity from which the exit code is 1 (high)")
    chosen = parser.parse_args()
    need_database()
    bad = []
    with tempfile.TemporaryDirectory(prefix="sluice-scan-") as folder:
        for name, source in sources(Path(folder), chosen.more):
            print(f"== {name}", flush=True)
            done = grype(source, "--quiet", "--fail-on", chosen.fail_on, show=True)
            if done.returncode not in (0, TOO_BAD):
                raise ImageError(f"{name}: grype failed with exit code {done.returncode}; the scan did not end")
            bad += [name] if done.returncode else []
    if bad:
        print(f"error: {chosen.fail_on} or worse in {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    program(main)
