"""The node image: what its Dockerfile makes, with every image of the cluster and the chart put into its containerd."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import container_images
from faults import Fault
from keys import baked
from machine import Cache, read, tail
from table import Image, Table

CONTAINERD_SECONDS = 60


def build(image: Image, key: str, table: Table, cache: Cache, program_folder: Callable[[str], Path]) -> None:
    """Build the node and bake into it the images of the table that are marked so.

    The images go in unpacked by nobody: containerd does that on a node when a pod first asks for one.

    Raises:
        Fault: a command fails, or containerd does not answer within its deadline.
    """
    bare = replace(image, reference=f"{image.reference}-bare")
    container_images.build(bare, key, table, cache, program_folder)
    log = cache.logs / f"{image.name}-baking.log"
    command = ["docker", "run", "--detach", "--privileged", "--entrypoint", "containerd", bare.reference]
    container = read(image.name, command).strip()
    try:
        _wait_for_containerd(container)
        _import([table.images[name].reference for name in baked(table)], container, log)
        read(image.name, ["docker", "stop", container])
        inspect = ["docker", "image", "inspect", "--format", "{{json .Config.Entrypoint}}", bare.reference]
        entrypoint = read(image.name, inspect)
        change = ["--change", f"ENTRYPOINT {entrypoint.strip()}", "--change", "CMD []"]
        read(image.name, ["docker", "commit", *change, container, image.reference])
    finally:
        read(image.name, ["docker", "rm", "--force", "--volumes", container])
    read(image.name, ["docker", "image", "rm", bare.reference])


def _wait_for_containerd(container: str) -> None:
    deadline = time.monotonic() + CONTAINERD_SECONDS
    command = ["docker", "exec", container, "ctr", "version"]
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise Fault(f"node: containerd did not answer for {CONTAINERD_SECONDS} s in the container {container[:12]}")
        time.sleep(0.2)


def _import(references: list[str], container: str, log: Path) -> None:
    """Stream the images out of Docker into the container's containerd."""
    ctr = ["ctr", "-n", "k8s.io", "images", "import", "--all-platforms", "--no-unpack", "-"]
    load = ["docker", "exec", "-i", container, *ctr]
    with log.open("w", encoding="utf-8") as out:
        save = subprocess.Popen(["docker", "save", *references], stdout=subprocess.PIPE, stderr=out)
        loaded = subprocess.run(load, stdin=save.stdout, stdout=out, stderr=out, check=False)
    if save.wait() or loaded.returncode:
        raise Fault(f"node: the images could not be put into it: {tail(log)} (all of it: {log})")
