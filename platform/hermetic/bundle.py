"""The archive of finished images: a Docker engine that has none of them loads it instead of building."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from container_images import key_in_docker
from faults import Fault
from keys import Keys, finished
from machine import Cache, tail


def archive(keys: Keys, cache: Cache) -> Path | None:
    """Return the archive of exactly these images, or None where there is none."""
    found = sorted(cache.images.glob(f"finished-{keys.bundle}.tar*"))
    return next((path for path in found if not path.name.endswith(".partial")), None)


def missing(keys: Keys) -> list[str]:
    """Return the finished images that Docker lacks, or has from other sources."""
    table = keys.table
    return [name for name in finished(table) if key_in_docker(table.images[name].reference) != keys.image(name)]


def load(path: Path, cache: Cache) -> None:
    """Load an archive into Docker.

    Raises:
        Fault: Docker refuses it; the message tells to delete it.
    """
    log = cache.logs / "load.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        command = ["docker", "load", "--input", str(path)]
        if subprocess.run(command, stdout=out, stderr=out, check=False).returncode:
            raise Fault(f"{path}: `docker load` refuses it ({tail(log)}): delete it and build again")


def save(keys: Keys, cache: Cache) -> Path:
    """Write the archive of the finished images, compressed where `zstd` is there, and remove older ones.

    Raises:
        Fault: Docker or the disk fails.
    """
    cache.images.mkdir(parents=True, exist_ok=True)
    compressor = shutil.which("zstd")
    target = cache.images / f"finished-{keys.bundle}.tar{'.zst' if compressor else ''}"
    partial = target.with_name(target.name + ".partial")
    command = ["docker", "save", *(keys.table.images[name].reference for name in finished(keys.table))]
    with partial.open("wb") as out:
        saving = subprocess.Popen(command, stdout=subprocess.PIPE if compressor else out)
        squeeze = [compressor, "-1", "-T0", "-q"] if compressor else ["true"]
        failed = subprocess.run(squeeze, stdin=saving.stdout, stdout=out, check=False).returncode
    if saving.wait() or failed:
        partial.unlink()
        raise Fault(f"{target}: the archive of finished images could not be written (is the disk full?)")
    for old in cache.images.glob("finished-*"):
        if old != partial:
            old.unlink()
    return partial.rename(target)
