"""What a build takes of this machine, looked at before anything is built: programs and room on the disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import bundle
from faults import Fault
from machine import need_program
from programs import GO_HINT
from schedule import Step
from steps import Steps

GIGABYTE = 1000**3
BUILD_GB, LOAD_GB, RUN_GB = 40, 15, 5  # Go's caches take most of it; an archive that is loaded; a cluster's own pods
_GO = re.compile(r"go1\.(2[6-9]|[3-9]\d)")


def look(steps: Steps, images: Sequence[str], programs: Sequence[str]) -> str:
    """See whether a build of these can succeed; Docker's engine answers already. What it will do, in one line.

    Raises:
        Fault: a program or room on the disk is missing; the message names the way out.
    """
    archived = bundle.archive(steps.keys, steps.cache) is not None
    todo = steps.needed([] if archived else images, programs)
    loaded = archived and bool(bundle.missing(steps.keys))
    _programs(todo)
    compiled = not archived and any(step.name.startswith("go ") for step in todo)
    _room(steps.cache.root, BUILD_GB if compiled else LOAD_GB if todo or loaded else RUN_GB)
    return f"{len(todo)} images and programs are to be built{', the images come from the cache' if loaded else ''}"


def _programs(todo: Sequence[Step]) -> None:
    if any(step.name.startswith("go ") for step in todo):
        go = need_program("go", "building programs", GO_HINT)
        version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout.strip()
        if not _GO.match(version):
            raise Fault(f"building programs takes Go 1.26 or newer, and {go} is {version or 'silent'}: {GO_HINT}")
        need_program("gcc", "building programs with C in them", "apt-get install gcc libc6-dev")
    if any(step.name == "debian" for step in todo):
        need_program("mmdebstrap", "the Debian base image", "apt-get install mmdebstrap")


def _room(folder: Path, wanted: int) -> None:
    place = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(place).free // GIGABYTE
    if free < wanted:
        raise Fault(f"{place}: {free} GB are free, and {wanted} are wanted: make room, or set XDG_CACHE_HOME elsewhere")
