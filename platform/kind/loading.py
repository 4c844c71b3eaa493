"""Put images of this machine's Docker on a cluster's nodes, as streams, into all nodes at once.

kind does the same by way of a file as big as all images, and each time anew on hermetic nodes: they lack the program
(crictl) that it asks for what is there.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from commands import Fault, call, last_lines

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
    """Put `images` on all `nodes`, at once.

    Raises:
        Fault: Docker or a node fails, or it takes longer than `seconds`.
    """
    with ThreadPoolExecutor(len(nodes)) as pool:
        for done in [pool.submit(_stream, images, node, seconds) for node in nodes]:
            done.result()


def _stream(images: Sequence[str], node: str, seconds: int) -> None:
    into = [
        "docker",
        "exec",
        "-i",
        node,
        *CTR,
        "import",
        "--all-platforms",
        "--digests",
        "--snapshotter=overlayfs",
        "-",
    ]
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as save:
        try:
            load = subprocess.run(into, stdin=save.stdout, capture_output=True, text=True, check=False, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            save.kill()
            raise Fault(f"{', '.join(images)} could not be loaded into {node} within {seconds} s") from error
    if load.returncode or save.returncode:
        raise Fault(f"{', '.join(images)} could not be loaded into {node}: {last_lines(load.stderr)}")
