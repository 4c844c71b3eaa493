"""Put images of this machine's Docker on a cluster's nodes, as streams, into all nodes at once.

kind does the same by way of a file as big as all images, and each time anew on hermetic nodes: they lack the program
(crictl) that it asks for what is there.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from commands import Fault, call, last_lines

CTR = ("ctr", "--namespace=k8s.io", "images")
IMPORT = (*CTR, "import", "--all-platforms", "--digests", "--snapshotter=overlayfs", "-")
CHUNK_BYTES = 1 << 20


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
        wanted = targets.get(image_id(image))
        if wanted is None or wanted != targets.get(full_name(image)):
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
    """Put `images` on all `nodes` at once; Docker writes them once, and every node reads along.

    Raises:
        Fault: Docker or a node fails, or it takes longer than `seconds`.
    """
    start = time.monotonic()
    save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    imports = [
        subprocess.Popen(
            ["docker", "exec", "-i", node, *IMPORT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for node in nodes
    ]
    everything = [save, *imports]

    def kill() -> None:
        for process in everything:
            process.kill()

    deadline = threading.Timer(seconds, kill)
    deadline.start()
    try:
        _copy(save, imports)
        said = [process.stderr.read().decode(errors="replace") for process in imports if process.stderr]
        for process in everything:
            process.wait()
    finally:
        deadline.cancel()
        kill()
        for process in everything:
            process.wait()
    what = ", ".join(images)
    if time.monotonic() - start >= seconds:
        raise Fault(f"{what} could not be loaded into {', '.join(nodes)} within {seconds} s")
    for node, process, text in zip(nodes, imports, said, strict=True):
        if process.returncode:
            raise Fault(f"{what} could not be loaded into {node}: {last_lines(text)}")
    if save.returncode:
        raise Fault(f"Docker could not write {what}: `docker save` ended with exit code {save.returncode}")


def _copy(source: subprocess.Popen[bytes], targets: Sequence[subprocess.Popen[bytes]]) -> None:
    """Give all that `source` writes to each of `targets`, and close what they read; one that ends early is left out."""
    pipes = [target.stdin for target in targets if target.stdin]
    while pipes and source.stdout and (chunk := source.stdout.read(CHUNK_BYTES)):
        for pipe in tuple(pipes):
            try:
                pipe.write(chunk)
            except BrokenPipeError:
                pipes.remove(pipe)
    for target in targets:
        if target.stdin:
            with suppress(BrokenPipeError):
                target.stdin.close()
