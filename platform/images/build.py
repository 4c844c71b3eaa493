"""Builds Sluice's images with a tag that follows their content, so that a cluster never runs yesterday's code.

The tag is the package's version and the first twelve characters of a SHA-256 over everything that goes in: the same
content has the same tag and is not built twice. Run it from anywhere: `python3 platform/images/build.py --help`.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
IMAGES = {
    "tabular": "python-tabular",
    "torch": "python-torch",
    "platform": "platform",
    "model-server": "model-server",
    "kfp-driver": "kfp-driver",
}
OWN_STAGE = ("model-server", "kfp-driver")  # the others share the Dockerfile's last one
DOCKERFILE = "platform/images/Dockerfile"
BESIDE = (DOCKERFILE, "platform/images/lean_root.py", ".dockerignore")
CONTENT = ("pyproject.toml", "README.md", "LICENSE", "requirements", "components", "pipelines", "platform/sluice")
DIGEST_CHARACTERS = 12
DIRTY = "+dirty"
LINK = "120000"  # git's mode of a symbolic link; those in `platform/sluice` lead to folders that are listed themselves
CONTENT_LABEL = "dev.sluice.content"  # of an image: the tag that follows its content, whatever tag it was given


class ImageError(Exception):
    """One line that says which image could not be built, and why."""


def content_files() -> Iterator[Path]:
    """The files that go into the images, sorted, without what Python leaves beside its sources."""
    for name in (*CONTENT, *BESIDE):
        place = ROOT / name
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        yield from (path for path in found if path.is_file() and path.suffix != ".pyc")


def content_tag(settings: dict[str, str]) -> str:
    """The tag of all images: version and content digest.

    Args:
        settings: What else decides their content, such as the base image's id; another makes another tag.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in content_files():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version()}-{digest.hexdigest()[:DIGEST_CHARACTERS]}"


def commit() -> str:
    """The commit that the images' content is of, with `+dirty` where a file differs; `unknown` outside a checkout.

    The files themselves are compared with the commit, one by one: `git status` passes over what a `.gitignore` or a
    flag in the index hides, and Docker takes it all the same.
    """
    top = _git("rev-parse", "--show-toplevel").strip()
    head = _git("rev-parse", "HEAD").strip()
    if not head or Path(top).resolve() != ROOT:
        return "unknown"
    return head if _committed() == _present() else head + DIRTY


def _committed() -> dict[str, str]:
    """The content files of the last commit, each with git's own digest of it."""
    listed = _git("ls-tree", "-r", "-z", "HEAD", "--", *CONTENT, *BESIDE)
    rows = [line.partition("\t") for line in listed.split("\0") if line]
    return {name: facts.split()[2] for facts, _, name in rows if facts.split()[0] != LINK}


def _present() -> dict[str, str]:
    names = [path.relative_to(ROOT).as_posix() for path in content_files()]
    digests = _git("hash-object", "--no-filters", "--stdin-paths", given="\n".join(names)).split()
    return dict(zip(names, digests, strict=False))


def _git(*arguments: str, given: str = "") -> str:
    """What git says of this folder, whatever GIT_DIR is set to; empty where it fails or is not installed."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "core.quotePath=false", "-c", f"safe.directory={ROOT}", *arguments]
    try:
        return subprocess.run(
            command, cwd=ROOT, env=own, check=True, input=given, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def version() -> str:
    """Sluice's version, as pyproject.toml has it."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def docker(*arguments: str, quiet: bool = True) -> str:
    """Run docker.

    Raises:
        ImageError: It is not installed, no engine answers, or it fails.
    """
    try:
        done = subprocess.run(
            [os.environ.get("DOCKER", "docker"), *arguments],
            cwd=ROOT,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if quiet else None,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
        )
    except FileNotFoundError:
        raise ImageError("docker is not installed: install Docker Engine 24 or newer, or put it on the PATH") from None
    if done.returncode:
        said = (done.stderr or "").strip().splitlines()
        raise ImageError(f"docker {arguments[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout


def image_id(reference: str) -> str:
    """The id of a local image, empty where there is none.

    Raises:
        ImageError: No engine answers.
    """
    docker("version", "--format", "{{.Server.Version}}")
    return docker("image", "ls", "--no-trunc", "--quiet", reference).strip()


def check_content(reference: str, content: str) -> None:
    """Hold an image that is there already against the content that it should have.

    Raises:
        ImageError: It has another one, or does not say which.
    """
    shown = docker("image", "inspect", "--format", f'{{{{index .Config.Labels "{CONTENT_LABEL}"}}}}', reference).strip()
    if shown != content:
        holds = f"content {shown}" if shown else "content that it does not name"
        raise ImageError(
            f"{reference} is there already and holds {holds}, not {content}: remove it (docker image rm {reference}), "
            "or give another --tag"
        )


def build(image: str, reference: str, content: str, base: str, torch: str, kfp_driver: str) -> None:
    """Build one image.

    Args:
        image: `tabular`, `torch`, `platform`, `model-server` or `kfp-driver`.
        reference: Its name and tag.
        content: The tag that follows the content.
        base: The image it stands on.
        torch: `wheel` or `system`, where the torch image has its torch from.
        kfp_driver: The image that has KFP's driver.

    Raises:
        ImageError: The build fails; Docker's own output stands above it.
    """
    before = content_tag({})
    arguments = {
        "IMAGE": image,
        "BASE_IMAGE": base,
        "TORCH": torch,
        "KFP_DRIVER": kfp_driver,
        "VERSION": version(),
        "COMMIT": commit(),
        "CONTENT": content,
    }
    settings = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    target = ["--target", image] if image in OWN_STAGE else []
    command = ["build", "--network", "host", "--progress", "plain", "--tag", reference, *settings, *target]
    docker(*command, "--file", DOCKERFILE, ".", quiet=False)
    if content_tag({}) != before:
        docker("image", "rm", "--no-prune", reference)
        raise ImageError(f"{reference}: files were changed while it was built, so its commit is not known; build again")


def program(main: Callable[[], int | None]) -> NoReturn:
    """End with `main`'s exit code; an ImageError is one line on standard error and exit code 1."""
    try:
        sys.exit(main())
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def main() -> None:
    """Build what is missing; print each image's reference."""
    parser = argparse.ArgumentParser(description="Build Sluice's images; what is there already is not built again.")
    parser.add_argument("--base", default="docker.io/library/python:3.13-slim-trixie", help="image to stand on")
    parser.add_argument("--system-torch", action="store_true", help="take the torch of --base's own Python")
    parser.add_argument("--kfp-driver", default="ghcr.io/kubeflow/kfp-driver:2.17.0", help="image of KFP's driver")
    parser.add_argument("--prefix", default="sluice", help="what stands before the images' names")
    parser.add_argument("--tag", default="", help="instead of the tag that follows the content")
    parser.add_argument("--print-tag", action="store_true", help="print the tag and build nothing")
    chosen = parser.parse_args()
    torch = "system" if chosen.system_torch else "wheel"
    ids = {"base": chosen.base, "kfp-driver": chosen.kfp_driver}
    content = content_tag({key: image_id(name) or name for key, name in ids.items()} | {"torch": torch})
    tag = chosen.tag or content
    if chosen.print_tag:
        print(tag)
        return
    for number, (image, name) in enumerate(IMAGES.items(), 1):
        reference, started = f"{chosen.prefix}/{name}:{tag}", time.monotonic()
        found = image_id(reference)
        if found:
            check_content(reference, content)
        else:
            build(image, reference, content, chosen.base, torch, chosen.kfp_driver)
        done = "there already" if found else f"built in {time.monotonic() - started:.0f} s"
        print(f"[{number}/{len(IMAGES)}] {reference}: {done}", flush=True)


if __name__ == "__main__":
    program(main)
