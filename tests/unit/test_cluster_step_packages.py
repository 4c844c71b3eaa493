"""What `pip` does in the step images, on the very command lines that KFP's SDK writes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import __version__ as kfp_version
from kfp import dsl

from sluice.running import step_packages
from sluice.running.step_packages import plan

HAS = {"kfp": "2.17.0", "pandas": "2.3.1", "typing-extensions": "4.15.0", "torch": "2.6.0+debian"}


def pip_words(**settings: Any) -> list[list[str]]:
    """The arguments of each `pip` that KFP lets a component begin with."""

    def step() -> None:
        pass

    component = dsl.component(base_image="sluice/python-tabular", **settings)(step)
    executors = component.pipeline_spec.deployment_spec["executors"]
    command = executors["exec-step"]["container"]["command"]
    assert list(command)[:2] == ["sh", "-c"]
    lines = re.findall(r"python3 -m pip (.*?) (?:&&|$)", command[2], re.DOTALL)
    assert lines, command[2]
    return [shlex.split(line.replace("\n", " ")) for line in lines]


def test_kfp_s_own_prologue_finds_all_there() -> None:
    (words,) = pip_words()
    assert f"kfp=={kfp_version}" in words
    found = plan(words, HAS | {"kfp": kfp_version})
    assert found is not None
    assert (found.missing, found.changed) == ([], [])


def test_another_sdk_than_the_image_s_is_told_with_the_ways_out() -> None:
    (words,) = pip_words()
    found = plan(words, HAS | {"kfp": "2.14.1"})
    assert found is not None
    (line,) = found.changed
    assert "this image has kfp 2.14.1" in line
    assert f"kfp=={kfp_version}" in line
    assert "install_kfp_package=False" in line


def test_packages_that_the_image_has_are_found_too_and_the_rest_is_left() -> None:
    asked = ["pandas", "pandas>=2", "Typing_Extensions", "torch==2.6.*", "rich", "kfp[all]"]
    (first,) = pip_words(packages_to_install=asked, install_kfp_package=False)
    found = plan(first, HAS)
    assert found is not None
    assert (found.missing, found.changed) == (["rich", "kfp[all]"], [])


def test_a_package_in_another_version_is_told() -> None:
    found = plan(["install", "--quiet", "pandas==2.1.0"], HAS)
    assert found is not None
    (line,) = found.changed
    assert "this image has pandas 2.3.1, and pandas==2.1.0 is asked for" in line


def test_an_index_of_the_user_s_is_handed_on() -> None:
    first, _ = pip_words(packages_to_install=["rich"], pip_index_urls=["https://pypi.example/simple"])
    found = plan(first, HAS)
    assert found is not None
    assert found.missing == ["rich"]
    assert " ".join(found.options).endswith(
        "--index-url https://pypi.example/simple --trusted-host " + found.options[-1]
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["list"],
        ["install", "--requirement", "a.txt"],
        ["install", "--upgrade", "pandas"],
        ["install", "./wheels/a.whl"],
        ["install", "a @ https://example.org/a.whl"],
    ],
)
def test_anything_else_is_pip_s_own(words: list[str]) -> None:
    assert plan(words, HAS) is None


def test_what_pip_cannot_fetch_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """The real pip, and an index that is not there."""
    pip = subprocess.run([sys.executable, "-c", "import pip; print(pip.__path__[0])"], capture_output=True, text=True)
    monkeypatch.setattr(step_packages, "PIP", Path(pip.stdout.strip()))
    monkeypatch.setattr(step_packages, "_can_be_changed", lambda: False)
    monkeypatch.setattr(step_packages, "PREFIX", str(tmp_path / "python"))
    index = ["--index-url", (tmp_path / "no-index").as_uri()]
    monkeypatch.setattr(sys, "argv", ["pip", "install", "--quiet", *index, "no-such-package-of-ours"])
    with pytest.raises(SystemExit) as ended:
        step_packages.main()
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert "pip could not add no-such-package-of-ours, which this image lacks" in said
    assert "steps.egress" in said
