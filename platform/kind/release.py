"""Installs the chart on the kind cluster, or upgrades it there, and tells what it waits for: `release.py --tag TAG`.

Helm itself is silent while it waits. Meanwhile this lists, each time it changes, which pods are not Ready and why.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHART = Path("charts/sluice")
RELEASE = NAMESPACE = "sluice"
POLL_SECONDS = 2.0
# The API server refuses every pod that does not keep to the standard, so the chart cannot drift from it.
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


class Fault(Exception):
    """A fault of the machine or the cluster, said in one line; the program ends with exit code 1."""


def main() -> int:
    """Run the command line; return the exit code: 0, or 1 for a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--name", default="sluice", help="of the kind cluster (default: %(default)s)")
    parser.add_argument("--tag", required=True, help="tag of Sluice's own images")
    parser.add_argument("--hermetic", action="store_true", help="third-party images that platform/hermetic built")
    parser.add_argument("--values", action="append", default=[], help="one more values file; repeatable")
    parser.add_argument("--minutes", type=int, default=10, help="deadline (default: %(default)s)")
    options = parser.parse_args()
    try:
        install(options)
    except Fault as fault:
        print(f"kind: {fault}", file=sys.stderr)
        return 1
    return 0


def install(options: argparse.Namespace) -> None:
    """Install or upgrade the release and wait until everything is Ready.

    Raises:
        Fault: Helm is missing or refuses, or the deadline passes; the line says which pods were waited for.
    """
    context, started = f"kind-{options.name}", time.monotonic()
    _namespace(context)
    values = [CHART / "values-kind.yaml", *([CHART / "values-hermetic.yaml"] if options.hermetic else [])]
    files = [word for path in [*values, *options.values] for word in ("--values", str(path))]
    command = [_helm(), "upgrade", "--install", RELEASE, str(CHART), "--kube-context", context]
    command += ["--namespace", NAMESPACE, *files, "--set", f"images.tag={options.tag}"]
    command += ["--wait", "--wait-for-jobs", "--timeout", f"{options.minutes}m"]
    print("helm upgrade --install sluice charts/sluice ...", flush=True)
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as helm:
        _tell(helm, context, started)
        notes, error = helm.communicate()
    if helm.returncode:
        said = " ".join(line.strip() for line in error.splitlines() if line.strip() and not line.startswith("WARNING"))
        waiting = "; ".join(_unready(context)) or "all pods are Ready"
        raise Fault(f"{said or 'helm failed without a word'} ({waiting})")
    print(f"Everything is Ready after {time.monotonic() - started:.0f} s.\n", flush=True)
    print(notes.partition("NOTES:")[2].strip() or notes, flush=True)


def _tell(helm: subprocess.Popen[str], context: str, started: float) -> None:
    shown: list[str] = []
    while helm.poll() is None:
        found = list(_unready(context))
        if found != shown:
            shown = found
            print(
                f"  {time.monotonic() - started:4.0f} s  waiting for {', '.join(found) or 'the setup job'}", flush=True
            )
        time.sleep(POLL_SECONDS)


def _unready(context: str) -> Iterator[str]:
    for pod in _pods(context):
        status = pod.get("status", {})
        if status.get("phase") == "Succeeded" or _is_ready(status):
            continue
        yield f"{pod['metadata']['name'].rsplit('-', 1)[0]}{_reason(status)}"


def _pods(context: str) -> list[dict[str, Any]]:
    command = ["kubectl", "--context", context, "--namespace", NAMESPACE, "get", "pods", "--output", "json"]
    done = subprocess.run(
        [*command, "--selector", f"app.kubernetes.io/instance={RELEASE}"], check=False, capture_output=True
    )
    return list(json.loads(done.stdout)["items"]) if done.returncode == 0 else []


def _is_ready(status: dict[str, Any]) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))


def _reason(status: dict[str, Any]) -> str:
    """Why a pod is not Ready, where it has said so: an image that is not there, a crash, no node with room."""
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f" ({waiting['reason']}: {waiting.get('message', '')[:200]})"
    for condition in status.get("conditions", []):
        if condition.get("reason") == "Unschedulable":
            return f" ({condition.get('message', '')[:200]})"
    return ""


def _namespace(context: str) -> None:
    labels = {"app.kubernetes.io/part-of": "sluice", **RESTRICTED}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    command = ["kubectl", "--context", context, "apply", "--server-side", "--filename", "-"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=json.dumps(body), timeout=60)
    except FileNotFoundError:
        raise Fault("no `kubectl` on the PATH: install it, https://kubernetes.io/docs/tasks/tools says how") from None
    except subprocess.TimeoutExpired:
        raise Fault(
            f"the cluster of context {context} did not answer within 60 s: `make kind-down`, then again"
        ) from None
    if done.returncode:
        raise Fault(f"the namespace {NAMESPACE} could not be made: {done.stderr.strip()}")


def _helm() -> str:
    built = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice/hermetic/tools/helm"
    found = os.environ.get("HELM") or shutil.which("helm") or (str(built) if built.exists() else None)
    if not found or not shutil.which(found):
        raise Fault("no `helm` on the PATH: install Helm 3.17 or newer, `make tools` builds it, or name one with HELM=")
    return found


if __name__ == "__main__":
    sys.exit(main())
