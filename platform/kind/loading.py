"""Put images of this machine's Docker on a cluster's nodes: one stream out of Docker, into all nodes at once.

kind does the same by way of a file, one node after the other, and needs a program on the nodes (crictl) to see what is
there already, which hermetic nodes do not have.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from commands import Fault, call, last_lines

CHUNK_BYTES = 1 << 20
CTR = ("ctr", "--namespace=k8s.io", "images")


def missing_on(node: str, images: Iterable[str]) -> list[str]:
    """Return those of `images` that the node lacks, or has with another content than Docker.

    Raises:
        Fault: Docker has no such image, or the node does not answer.
    """
    listed = call(["docker", "exec", node, *CTR, "list"])
    if listed.returncode:
        raise Fault(f"the node {node} does not tell its images: {last_lines(listed.stderr)}")
    # containerd lists an image by its name and, with the same target, by its id
    targets = {line.split()[0]: line.split()[2] for line in listed.stdout.splitlines()[1:]}
    missing = []
    for image in images:
        known = targets.get(full_name(image))
        if known is None or known != targets.get(image_id(image)):
            missing.append(image)
    return missing


def full_name(image: str) -> str:
    """Return an image's name as containerd has it, with registry, folder and tag."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{image}"
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def image_id(image: str) -> str:
    """Return the id of an image in Docker.

    Raises:
        Fault: there is no such image.
    """
    found = call(["docker", "image", "inspect", "--format", "{{.Id}}", image])
    if found.returncode:
        raise Fault(f"Docker has no image {image}: build it first")
    return found.stdout.strip()


def stream(images: Sequence[str], nodes: Sequence[str], seconds: int) -> None:
    """Put `images` on all `nodes`.

    Raises:
        Fault: Docker or a node fails, or it takes longer than `seconds`.
    """
    load = [*CTR, "import", "--all-platforms", "--digests", "--snapshotter=overlayfs", "-"]
    save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    loads = [_start(["docker", "exec", "-i", node, *load]) for node in nodes]
    processes = [save, *loads]
    late = threading.Timer(seconds, lambda: [process.kill() for process in processes])
    late.start()
    try:
        _copy(save, loads)
        said = [process.communicate()[1] for process in loads]
    finally:
        timed_out = not late.is_alive()
        late.cancel()
    if timed_out:
        raise Fault(f"the images could not be loaded within {seconds} s: {', '.join(images)}")
    for node, process, error in zip(nodes, loads, said, strict=True):
        if process.returncode:
            raise Fault(f"the images could not be loaded into {node}: {last_lines(error.decode(errors='replace'))}")
    if save.wait():
        raise Fault(f"`docker save {' '.join(images)}` failed")


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _copy(save: subprocess.Popen[bytes], loads: Sequence[subprocess.Popen[bytes]]) -> None:
    """Copy one's output to the inputs of all; one that has ended takes no more, and its exit code tells why."""
    assert save.stdout  # noqa: S101 - a pipe, as asked for above
    while chunk := save.stdout.read(CHUNK_BYTES):
        for process in loads:
            with suppress(BrokenPipeError):
                if process.stdin and process.poll() is None:
                    process.stdin.write(chunk)
