"""The Debian base image: mmdebstrap on this machine's own mirror, with this machine's certificates."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from faults import Fault
from machine import Cache, need_program, read, run
from table import Image

SUITE = "trixie"
CODENAMES = {"bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"}
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
PACKAGES = "ca-certificates"
# as in Debian's own slim images: no manuals and no translations, in this image or any built on it
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")


@dataclass(frozen=True)
class Source:
    """One line of apt's sources: an address and a suite that is taken from it."""

    uri: str
    suite: str


def certificates() -> Path:
    """Return this machine's bundle of trusted certificates: SSL_CERT_FILE, or Debian's place."""
    return Path(os.environ.get("SSL_CERT_FILE") or CERTIFICATES)


def sources(apt: Path = Path("/etc/apt")) -> Iterator[Source]:
    """Yield what apt's sources under `apt` name, of packages (not of source packages), in the order of the files."""
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".sources":
            yield from _stanzas(text)
        elif path.suffix == ".list":
            yield from _lines(text)


def _lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", line)
        if match:
            yield Source(match[1], match[2])


def _stanzas(text: str) -> Iterator[Source]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", without_comments):
        values = {key.lower(): value for key, value in re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE)}
        if "deb" in values.get("types", "").split() and values.get("enabled", "yes").lower() not in ("no", "false"):
            for uri in values.get("uris", "").split():
                yield from (Source(uri, suite) for suite in values.get("suites", "").split())


def mirror(apt: Path = Path("/etc/apt")) -> str:
    """Return the address of Debian's mirror: SLUICE_DEBIAN_MIRROR, or that of a main suite in apt's sources.

    Raises:
        Fault: apt names no Debian suite, as on a machine of another distribution.
    """
    chosen = os.environ.get("SLUICE_DEBIAN_MIRROR")
    if chosen:
        return chosen
    for source in sources(apt):
        if source.suite in CODENAMES:
            return source.uri.rstrip("/")
    raise Fault(f"no Debian suite in {apt}: set SLUICE_DEBIAN_MIRROR to the address of a mirror")


def security(apt: Path = Path("/etc/apt")) -> str | None:
    """Return the address of Debian's security updates, if apt's sources name one."""
    for source in sources(apt):
        if source.suite in {f"{name}-security" for name in CODENAMES}:
            return source.uri.rstrip("/")
    return None


def build(image: Image, labels: list[str], cache: Cache) -> None:
    """Lay out Debian's smallest system and import it as `image`.

    Raises:
        Fault: mmdebstrap is missing or fails, or the mirror is not known.
    """
    need_program("mmdebstrap", "the Debian base image", "apt-get install mmdebstrap")
    log = cache.logs / f"{image.name}.log"
    log.unlink(missing_ok=True)
    archive = cache.work / "debian.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"deb {mirror()} {SUITE} main", f"deb {mirror()} {SUITE}-updates main"]
    updates = security()
    if updates:
        lines.append(f"deb {updates} {SUITE}-security main")
    command = ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}"]
    command += [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    command += [f"--dpkgopt=path-include={path}" for path in KEPT]
    command.append(f"--customize-hook=upload {certificates()} {CERTIFICATES}")
    run(image.name, [*command, SUITE, str(archive), *lines], log)
    changes = [part for label in labels for part in ("--change", f"LABEL {label}")]
    changes += ["--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    changes += ["--change", "ENV DEBIAN_FRONTEND=noninteractive LANG=C.UTF-8", "--change", 'CMD ["/bin/bash"]']
    read(image.name, ["docker", "import", *changes, str(archive), image.reference])
    archive.unlink()
