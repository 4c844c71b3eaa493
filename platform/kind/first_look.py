"""What `make kind` takes of this machine, looked at first, with the standard library alone."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from commands import Fault, need_docker

TOOLS = {"kind": "https://kind.sigs.k8s.io", "helm": "https://helm.sh/docs/intro/install, 3.17 or newer"}
KUBECTL = "https://kubernetes.io/docs/tasks/tools"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hermetic", action="store_true", help="kind, helm and kubectl are built, with all images")
    try:
        need_docker()
        if not parser.parse_args(arguments).hermetic:
            need_tools()
    except Fault as fault:
        print(f"kind: {fault}", file=sys.stderr)
        return 1
    return 0


def need_tools() -> None:
    """See that kubectl is there, and that kind and helm are, or can be built.

    Raises:
        Fault: one is missing.
    """
    if not shutil.which("kubectl"):
        raise Fault(f"no `kubectl` on the PATH: install it, {KUBECTL} says how; or `make kind HERMETIC=1` builds it")
    for name, page in TOOLS.items():
        if not (_there(name) or shutil.which("go")):
            named = f"name one with {name.upper()}="
            raise Fault(f"no `{name}` on the PATH: install it ({page}) or Go 1.26, which builds it, or {named}")


def _there(name: str) -> bool:
    built = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice/hermetic/tools" / name
    found = os.environ.get(name.upper()) or shutil.which(name) or (str(built) if built.exists() else "")
    return bool(found and shutil.which(found))


if __name__ == "__main__":
    sys.exit(main())
