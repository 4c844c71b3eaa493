"""Build an image with Docker, from its table entry or its Dockerfile; know by its label whether it is there already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import debian
from machine import Cache, run
from table import HERE, Image, Table

LABEL = "dev.sluice.key"
# Settings of pip that name package indexes, from the variables that pip reads
PIP_SETTINGS = ("index-url", "extra-index-url", "find-links", "trusted-host", "default-timeout")
LOCAL_SETTINGS = ("find-links",)  # folders of this machine, which a container does not see


def key_in_docker(reference: str) -> str | None:
    """Return the key that Docker's image `reference` carries, or None where there is none."""
    command = ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', reference]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None if result.returncode == 0 else None


def build(image: Image, key: str, table: Table, cache: Cache, program_folder: Callable[[str], Path]) -> None:
    """Build `image` and tag it with its reference; its label tells `key`.

    Raises:
        Fault: a package cannot be had, or a command of the Dockerfile fails.
    """
    if image.name == "debian":
        debian.build(image, [f"{LABEL}={key}"], cache)
        return
    log = cache.logs / f"{image.name}.log"
    log.unlink(missing_ok=True)
    context = cache.work / f"{image.name}-image"
    shutil.rmtree(context, ignore_errors=True)
    _lay_out(image, context, program_folder)
    secret = cache.work / f"{image.name}-pip.conf"
    secret.touch(mode=0o600)
    secret.write_text(pip_settings(), encoding="utf-8")
    base = table.images[image.base].reference if image.base in table.images else image.base
    command = ["docker", "build", "--progress", "plain", "--network", "host", "--build-arg", f"BASE={base}"]
    command += ["--secret", f"id=pip,src={secret}", "--label", f"{LABEL}={key}", "--tag", image.reference, str(context)]
    try:
        run(image.name, command, log, env={"DOCKER_BUILDKIT": "1"})
    finally:
        secret.unlink()
    shutil.rmtree(context)


def pip_settings() -> str:
    """Return a pip.conf that names this machine's package indexes, for commands of a Dockerfile that mount it."""
    command = ["python3", "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    lines = ["[global]", f"cert = {debian.CERTIFICATES}"]
    for name in PIP_SETTINGS:
        variable = "PIP_" + name.upper().replace("-", "_")
        value = os.environ.get(variable) or found.get(f"global.{name}", "").strip("'")
        if value and not (name in LOCAL_SETTINGS and "://" not in value):
            lines.append(f"{name} = {value}")
    return "\n".join(lines) + "\n"


def _lay_out(image: Image, context: Path, program_folder: Callable[[str], Path]) -> None:
    context.mkdir(parents=True)
    if image.folder:
        shutil.copytree(HERE / image.folder, context, dirs_exist_ok=True)
    for target, source in image.files.items():
        program, colon, binary = source.partition(":")
        path = program_folder(program) / binary if colon else HERE / source
        copy = context / "rootfs" / target.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
        copy.chmod(0o755)
    if not image.folder:
        (context / "Dockerfile").write_text(dockerfile(image), encoding="utf-8")


def dockerfile(image: Image) -> str:
    """Return the Dockerfile that an entry without a folder of its own stands for."""
    lines = ["ARG BASE", "FROM ${BASE}"]
    if image.packages:
        install = f"apt-get install -qy --no-install-recommends {' '.join(image.packages)}"
        lines.append(f"RUN apt-get update -q && {install} && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*")
    lines.append("COPY rootfs/ /")
    if image.user:
        lines.append(f"USER {image.user}")
    if image.entrypoint:
        lines.append(f"ENTRYPOINT {json.dumps(list(image.entrypoint))}")
    return "\n".join(lines) + "\n"
