"""Take the list of packages out of each of Sluice's images, and hold it against the locks: `make sbom`.

An image carries its list as CycloneDX. It has to be valid, and to name exactly the packages that requirements/images
lock for the image's platform and Python, Sluice itself, and what the base's own Python brings: no package more, none
less, no other version. Source: CycloneDX 1.6, JSON; PEP 508 for the locks' markers.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build import IMAGES, ROOT, ImageError, docker, program, version
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PLACE = "/usr/share/sluice/sbom.cdx.json"
LOCKS = {
    "tabular": ("tabular",),
    "torch": ("tabular", "torch"),
    "platform": ("tabular", "platform"),
    "model-server": ("model-server",),
    "kfp-driver": (),
}
WITHOUT_PIP = ("model-server", "kfp-driver")
# Runs in an image, with nothing but the standard library. Where a virtual environment shows its base's packages, or is
# none, these are asked of the base's Python, which did not write the list.
ASK = '''
import json, os, platform, subprocess, sys
inner = """
import importlib.metadata as m, json
try:
    from ensurepip import version
except ImportError:
    version = str
print(json.dumps([version(), [[d.name, d.version] for d in m.distributions()]]))
"""
own = "/opt/sluice/pyvenv.cfg"
shows_base = not os.path.exists(own) or "include-system-site-packages = true" in open(own).read()
done = subprocess.run([sys._base_executable, "-I", "-c", inner], capture_output=True, check=True)
pip, base = json.loads(done.stdout)
environment = {
    "os_name": os.name, "sys_platform": sys.platform, "platform_machine": platform.machine(),
    "platform_system": platform.system(), "python_version": ".".join(platform.python_version_tuple()[:2]),
    "python_full_version": platform.python_version(), "implementation_name": sys.implementation.name,
    "platform_python_implementation": platform.python_implementation(),
}
text = open(%r, encoding="utf-8").read()
print(json.dumps({"environment": environment, "pip": pip, "base": base, "shows_base": shows_base, "text": text}))
'''

Packages = set[tuple[str, str]]


@dataclass(frozen=True)
class Told:
    """What an image says of itself.

    Attributes:
        text: Its list of packages, CycloneDX as JSON.
        environment: Its platform and Python, as markers name them.
        pip: Version of pip that its base's Python makes virtual environments with; empty where it makes none.
        base: Name and version of what its base's own Python brings.
        shows_base: Whether its programs see these.
    """

    text: str
    environment: dict[str, str]
    pip: str
    base: Packages
    shows_base: bool

    @property
    def listed(self) -> Packages:
        """Name and version of every package of the list."""
        return {named(item["name"], item["version"]) for item in json.loads(self.text).get("components", [])}


def ask(reference: str) -> Told:
    """Ask an image, in a container without a network.

    Raises:
        ImageError: There is no such image, or it carries no list.
    """
    words = ("run", "--rm", "--network", "none", "--read-only", "--entrypoint", "python3", reference)
    try:
        told: dict[str, Any] = json.loads(docker(*words, "-I", "-c", ASK % PLACE))
    except ImageError as fault:
        raise ImageError(f"{reference}: no list of packages at {PLACE}: {fault}") from None
    base = {named(*item) for item in told["base"]}
    return Told(told["text"], told["environment"], told["pip"], base, told["shows_base"])


def named(name: str, version: str) -> tuple[str, str]:
    """Name and version as they are compared."""
    return canonicalize_name(name), version


def locked(lock: Path, environment: dict[str, str]) -> Packages:
    """Name and version of what a lock installs on a platform."""
    lines = re.findall(r"^[A-Za-z0-9][^#\\\n]*==[^\\\n]*", lock.read_text(encoding="utf-8"), re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    return {
        named(item.name, str(item.specifier).removeprefix("=="))
        for item in wanted
        if item.marker is None or item.marker.evaluate(environment)
    }


def expected(image: str, told: Told, folder: Path = ROOT / "requirements/images") -> Packages:
    """Name and version of what an image's list has to name.

    Args:
        image: One of LOCKS.
        told: What the image says of itself; its torch is the base's where it shows the base's packages.
        folder: Where the locks are.
    """
    names = [name for name in LOCKS[image] if not (name == "torch" and told.shows_base)]
    packages = {package for name in names for package in locked(folder / f"{name}.txt", told.environment)}
    if names:
        packages.add(named("sluice", version()))
    if image not in WITHOUT_PIP:  # the name that KFP's components of Python functions call; the Dockerfile says more
        packages.add(named("pip", told.pip))
    return packages | told.base if told.shows_base else packages


def faults(image: str, told: Told) -> list[str]:
    """A line for each package that is in the list and in no lock, or in a lock and not in the list."""
    listed, wanted = told.listed, expected(image, told)
    more = [f"lists {name} {number}, which nothing locks" for name, number in sorted(listed - wanted)]
    return more + [f"does not list {name} {number}, which is locked" for name, number in sorted(wanted - listed)]


def invalid(text: str) -> str:
    """Why a text is no CycloneDX 1.6, as one line; empty when it is."""
    from cyclonedx.schema import SchemaVersion  # of the development environment alone
    from cyclonedx.validation.json import JsonStrictValidator

    found = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return str(found).splitlines()[0] if found else ""


def main() -> int:
    """Write and check every image's list; 0 when all are right, 1 otherwise."""
    parser = argparse.ArgumentParser(description="Write each image's list of packages, and hold it against the locks.")
    parser.add_argument("--tag", required=True, help="the images' tag: platform/images/build.py prints it")
    parser.add_argument("--prefix", default="sluice", help="what stands before the images' names")
    parser.add_argument("--out", type=Path, default=ROOT / "build/sbom", help="folder to write the lists to")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for image, name in IMAGES.items():
        reference = f"{chosen.prefix}/{name}:{chosen.tag}"
        told = ask(reference)
        lines = [f"is no CycloneDX 1.6: {why}"] if (why := invalid(told.text)) else faults(image, told)
        for line in lines:
            print(f"error: {reference}: its list of packages {line}", file=sys.stderr)
        wrong += bool(lines)
        path = chosen.out / f"{name}.cdx.json"
        path.write_text(told.text, encoding="utf-8")
        print(f"{path}: {len(told.listed)} packages{'' if lines else ', as locked'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    program(main)
