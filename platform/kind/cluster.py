"""The kind cluster that `make` works with: `cluster.py up | down | load IMAGE...`, with the standard library alone."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from commands import HERMETIC, Fault, call, do, kind_program, kubectl, last_lines, need_docker
from loading import missing_on, stream

HERE = Path(__file__).resolve().parent
NAME = "sluice"
NODE_IMAGE = "sluice.local/node:v1.35.4"
CREATE_SECONDS = 300
LOAD_SECONDS = 600
READY_SECONDS = 180
PORTS = {8888: "Kubeflow Pipelines' API", 8080: "its UI", 5000: "MLflow", 9000: "the object store"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code: 0, or 1 for a fault."""
    options = _parser().parse_args(arguments)
    try:
        need_docker()
        kind = kind_program()
        if options.command == "up":
            up(kind, options.name, options.hermetic)
        elif options.command == "down":
            down(kind, options.name)
        else:
            load(kind, options.name, options.images)
    except Fault as fault:
        print(f"kind: {fault}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", default=NAME, help="kubectl's context is kind-NAME (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("up", parents=[shared], help="create the cluster, unless it is there, and wait for it")
    make.add_argument("--hermetic", action="store_true", help="nodes that platform/hermetic built")
    commands.add_parser("down", parents=[shared], help="remove the cluster and all that it holds")
    loading = commands.add_parser("load", parents=[shared], help="put images of this machine's Docker on all nodes")
    loading.add_argument("images", nargs="+", metavar="IMAGE")
    return parser


def up(kind: str, name: str, hermetic: bool) -> None:
    """Create the cluster `name` unless it exists, and wait until its nodes, its DNS and its storage are ready.

    Raises:
        Fault: a port of this machine is taken, an image is missing, or a deadline passes.
    """
    start = time.monotonic()
    if name in _clusters(kind):
        print(f"The cluster {name} is there already.", flush=True)
        # after a restart of the machine its nodes may stand still
        do(f"the nodes of {name} do not start", ["docker", "start", *_nodes(kind, name)], READY_SECONDS)
    else:
        _create(kind, name, hermetic)
    _wait(name)
    seconds = time.monotonic() - start
    print(f"The cluster {name} is ready after {seconds:.0f} s: kubectl --context kind-{name}", flush=True)


def _create(kind: str, name: str, hermetic: bool) -> None:
    _need_free_ports()
    if hermetic and call(["docker", "image", "inspect", NODE_IMAGE]).returncode:
        raise Fault(f"Docker has no image {NODE_IMAGE}: `python3 {os.path.relpath(HERMETIC / 'build.py')}` builds it")
    print(f"Creating the cluster {name} ...", flush=True)
    config = HERMETIC / "kind.yaml" if hermetic else HERE / "cluster.yaml"
    command = [kind, "create", "cluster", "--name", name, "--config", str(config)]
    do(f"kind could not create the cluster {name}", command, CREATE_SECONDS)
    if hermetic:
        _set_dns(name)


def _set_dns(name: str) -> None:
    fault = "CoreDNS could not be set up"
    applied = kubectl(name, "apply", "--server-side", "--force-conflicts", "-f", "-")
    do(fault, applied, 60, (HERMETIC / "coredns.yaml").read_text(encoding="utf-8"))
    # by itself it looks for a new configuration every 30 s only
    do(fault, kubectl(name, "-n", "kube-system", "rollout", "restart", "deployment/coredns"), 60)


def _wait(name: str) -> None:
    deadline = f"--timeout={READY_SECONDS}s"
    waits = {
        "the nodes to be Ready": "wait --for=condition=Ready node --all",
        "CoreDNS": "-n kube-system rollout status deployment/coredns",
        "the storage provisioner": "-n local-path-storage rollout status deployment/local-path-provisioner",
    }
    for what, arguments in waits.items():
        command = kubectl(name, *arguments.split(), deadline)
        do(f"waited {READY_SECONDS} s for {what} of the cluster {name}", command, READY_SECONDS + 10)


def down(kind: str, name: str) -> None:
    """Remove the cluster `name`; one that is not there is removed already."""
    if name not in _clusters(kind):
        print(f"There is no cluster {name}.", flush=True)
        return
    do(f"kind could not remove the cluster {name}", [kind, "delete", "cluster", "--name", name], CREATE_SECONDS)
    print(f"The cluster {name} is removed.", flush=True)


def load(kind: str, name: str, images: Sequence[str]) -> None:
    """Put images of this machine's Docker on all nodes of the cluster `name`; a node that has one already keeps it.

    Raises:
        Fault: the cluster or an image is not there.
    """
    if name not in _clusters(kind):
        raise Fault(f"there is no cluster {name}: run `make kind` first")
    start = time.monotonic()
    lacking = {node: missing_on(node, images) for node in _nodes(kind, name)}
    missing = [image for image in images if any(image in lacks for lacks in lacking.values())]
    if missing:
        print(f"Loading {', '.join(missing)} into the cluster {name} ...", flush=True)
        stream(missing, [node for node, lacks in lacking.items() if lacks], LOAD_SECONDS)
    seconds = time.monotonic() - start
    print(f"{len(missing)} of {len(images)} images loaded, all are there after {seconds:.0f} s.", flush=True)


def _need_free_ports() -> None:
    for port, what in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Fault(f"port {port} of 127.0.0.1, for {what}, is taken: end what listens there") from error


def _clusters(kind: str) -> list[str]:
    result = call([kind, "get", "clusters"])
    if result.returncode:
        raise Fault(f"`kind get clusters` failed: {last_lines(result.stderr)}")
    return result.stdout.split()


def _nodes(kind: str, name: str) -> list[str]:
    return call([kind, "get", "nodes", "--name", name]).stdout.split()


if __name__ == "__main__":
    sys.exit(main())
