"""How the scripts of this folder call docker, kind and kubectl: with deadlines, and faults of one line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

HERMETIC = Path(__file__).resolve().parent.parent / "hermetic"
LAST_LINES = 4
ENGINE = "sudo platform/hermetic/engine.sh"  # on a bare Debian machine


class Fault(Exception):
    """A fault of the machine or the cluster, said in one line; the program ends with exit code 1."""


def call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command whatever comes of it, and return its exit code and output."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def do(fault: str, command: Sequence[str], seconds: int, given: str = "") -> None:
    """Run a command that has to succeed within `seconds`, with the text `given` as its input.

    Raises:
        Fault: it fails or takes longer; the message starts with `fault` and ends with what the command said last.
    """
    try:
        result = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise Fault(f"{fault}: `{' '.join(command[:4])}` did not end within {seconds} s") from error
    if result.returncode:
        raise Fault(f"{fault}: {last_lines(result.stderr or result.stdout)}")


def last_lines(text: str) -> str:
    """Return the last lines of a command's output as one."""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-LAST_LINES:]) or "no output"


def kubectl(name: str, *arguments: str) -> list[str]:
    """Return a kubectl command for the cluster `name`: this machine's kubectl, or that of the control plane."""
    if shutil.which("kubectl"):
        return ["kubectl", "--context", f"kind-{name}", *arguments]
    inside = ["docker", "exec", "-i", f"{name}-control-plane", "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"]
    return [*inside, *arguments]


def need_docker() -> None:
    """See that Docker's engine answers.

    Raises:
        Fault: there is no client, or no engine answers it.
    """
    if not shutil.which("docker"):
        raise Fault(f"no `docker` on the PATH: install Docker's engine (on Debian: `{ENGINE}`)")
    result = call(["docker", "version", "--format", "{{.Server.Version}}"])
    if result.returncode or not result.stdout.strip():
        said = last_lines(result.stderr)
        raise Fault(f"no Docker engine answers ({said}): start it with `sudo systemctl start docker`, or `{ENGINE}`")


def kind_program() -> str:
    """Return the path of kind: the variable KIND, else from the PATH, else what platform/hermetic built.

    Raises:
        Fault: there is none.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "sluice" / "hermetic" / "tools" / "kind"
    found = os.environ.get("KIND") or shutil.which("kind") or (str(built) if built.exists() else None)
    if not found:
        build = f"python3 {os.path.relpath(HERMETIC / 'build.py')} --only kind"
        raise Fault(f"`kind` is neither on the PATH nor built: `{build}` builds it; or name one with KIND=")
    if not shutil.which(found):
        raise Fault(f"KIND names {found}, which cannot be run")
    return found
