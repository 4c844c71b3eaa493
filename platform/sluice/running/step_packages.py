"""What `pip` is in the step images: it finds what the image has without asking anybody, and adds what it lacks in /tmp.

KFP lets each component of a Python function begin with `python3 -m pip install kfp==...`, as its base image is to know
nothing of KFP. In a pod with a read-only root and no way to a package index, pip itself would try for a minute and then
say nothing of use. The image's module `pip` is this one: what is asked for and there ends at once; what is there in
another version is told; what is not there goes to the real pip, into a folder that Python looks into last.
"""

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PIP = Path(sys.prefix, "lib/pip/pip")  # the real one: a folder that Python can run
PREFIX = "/tmp/python"  # noqa: S108 - the only place that a step can write to; a .pth file of the image leads there
ALONE = frozenset({"--quiet", "-q", "--no-warn-script-location", "--no-deps", "--disable-pip-version-check"})
WITH_VALUE = frozenset({"--index-url", "-i", "--extra-index-url", "--trusted-host"})
# An index that cannot be reached is given up after seconds, not after minutes.
PATIENCE = ("--retries", "1", "--timeout", "10")
GUIDE = "docs/kfp.md"


class InstallPlan(NamedTuple):
    """What is to be done for an `install`.

    Attributes:
        options: Its options, as given.
        missing: The requirements that the image lacks.
        changed: One line for each that the image has in another version.
    """

    options: list[str]
    missing: list[str]
    changed: list[str]


def plan(words: Sequence[str], installed: Mapping[str, str]) -> InstallPlan | None:
    """Read pip's command line.

    Args:
        words: What follows `pip`.
        installed: The versions of the image's packages by canonical name.

    Returns:
        None for anything but an `install` of named packages with the options that KFP writes: that is pip's own.
    """
    found = InstallPlan([], [], [])
    rest = iter(words)
    if next(rest, "") != "install":
        return None
    for word in rest:
        if word in ALONE:
            found.options.append(word)
        elif word in WITH_VALUE:
            found.options.extend((word, next(rest, "")))
        elif word.startswith("-") or not _add(found, word, installed):
            return None
    return found


def _add(found: InstallPlan, word: str, installed: Mapping[str, str]) -> bool:
    """Take a requirement into the plan; whether it is one by name."""
    try:
        wanted = Requirement(word)
    except InvalidRequirement:
        return False
    if wanted.url:
        return False
    if wanted.marker and not wanted.marker.evaluate():
        return True
    version = installed.get(canonicalize_name(wanted.name))
    if version is None or wanted.extras:
        found.missing.append(word)
    elif not _within(wanted, version):
        found.changed.append(_other_version(wanted, version))
    return True


def _within(wanted: Requirement, version: str) -> bool:
    try:
        return wanted.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False


def _other_version(wanted: Requirement, version: str) -> str:
    if canonicalize_name(wanted.name) == "kfp":
        return (
            f"this image has kfp {version}, and the component was compiled with another one, which asks for {wanted}: "
            f"compile it with kfp {version}, or write @dsl.component(install_kfp_package=False), which runs it with "
            f"the image's, or give it an image that has {wanted} ({GUIDE})"
        )
    return (
        f"this image has {wanted.name} {version}, and {wanted} is asked for: a step adds packages to its image and "
        f"changes none; ask for what is there, or give the component an image of your own ({GUIDE})"
    )


def main() -> None:
    """Do what pip is asked; end with its exit code."""
    words = sys.argv[1:]
    if _can_be_changed():
        sys.exit(_pip(words))
    packages = importlib.metadata.distributions()
    installed: dict[str, str] = {canonicalize_name(each.name): each.version for each in packages}
    found = plan(words, installed)
    if found is None:
        sys.exit(_pip(words))
    for line in found.changed:
        _say(line)
    if found.changed:
        sys.exit(1)
    if found.missing:
        sys.exit(_install(found, installed))


def _can_be_changed() -> bool:
    """Whether this is an image in the making, not a step: there pip is pip."""
    return os.access(sysconfig.get_path("purelib"), os.W_OK)


def _install(found: InstallPlan, installed: Mapping[str, str]) -> int:
    """Add what is missing; what the image has stays as it is, since it could not be replaced."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="constraints-", suffix=".txt") as constraints:
        constraints.writelines(f"{name}=={version}\n" for name, version in sorted(installed.items()))
        constraints.flush()
        place = ("--prefix", PREFIX, "--constraint", constraints.name)
        code = _pip(["install", *found.options, *PATIENCE, *place, *found.missing])
    if code:
        _say(
            f"pip could not add {', '.join(found.missing)}, which this image lacks: steps reach a package index only "
            f"where the release's steps.egress lets them; or give the component an image of your own ({GUIDE})"
        )
    return code


def _pip(words: Sequence[str]) -> int:
    return subprocess.run([sys.executable, str(PIP), *words], check=False).returncode  # noqa: S603


def _say(line: str) -> None:
    print(f"[sluice] error: {line}", file=sys.stderr)  # noqa: T201 - a command's message


if __name__ == "__main__":
    main()
