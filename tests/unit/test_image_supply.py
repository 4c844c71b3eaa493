"""The images' lists of packages, their signatures and the scan: what is compared, asked for and said; no Docker."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.image_programs import FOLDER, sbom, scan

ROOT = Path(__file__).resolve().parents[2]

Packages = set[tuple[str, str]]
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
PYTHON = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
OF_313 = LINUX | PYTHON | {"python_version": "3.13", "python_full_version": "3.13.5"}
OF_311 = LINUX | PYTHON | {"python_version": "3.11", "python_full_version": "3.11.9"}


def told(packages: Packages, base: Packages | None = None, shows_base: bool = False) -> Any:
    items = [{"type": "library", "name": name, "version": version} for name, version in sorted(packages)]
    text = json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": items})
    return sbom.Told(text, OF_313, "25.1.1", set(base or ()), shows_base)


def right(image: str, base: Packages | None = None, shows_base: bool = False) -> Any:
    """An image whose list is as it should be."""
    empty = told(set(), base, shows_base)
    return told(sbom.expected(image, empty), base, shows_base)


@pytest.mark.parametrize("name", ["tabular", "torch", "platform", "model-server"])
@pytest.mark.parametrize("environment", [OF_311, OF_313])
def test_of_each_locked_package_one_version_is_wanted(name: str, environment: dict[str, str]) -> None:
    found = sbom.locked(ROOT / f"requirements/images/{name}.txt", environment)
    assert len({package for package, _ in found}) == len(found) >= 20
    assert not {"pywin32", "colorama", "waitress"} & {package for package, _ in found}


def test_markers_choose_by_the_image_s_python() -> None:
    lock = ROOT / "requirements/images/tabular.txt"
    assert dict(sbom.locked(lock, OF_311))["numpy"] != dict(sbom.locked(lock, OF_313))["numpy"]


@given(st.sampled_from(sorted(sbom.LOCKS)), st.data())
def test_one_package_more_or_less_or_of_another_version_is_named(image: str, data: st.DataObject) -> None:
    base = {("inflect", "7.3.1"), ("typeguard", "4.4.2")}
    shows_base = image in ("torch", "kfp-driver")
    good = right(image, base, shows_base)
    assert sbom.faults(image, good) == []
    name, version = data.draw(st.sampled_from(sorted(good.listed)))
    less, more = good.listed - {(name, version)}, good.listed | {("typosquat", "1.0")}
    other = less | {(name, version + ".post1")}
    assert sbom.faults(image, told(less, base, shows_base)) == [f"does not list {name} {version}, which is locked"]
    assert sbom.faults(image, told(more, base, shows_base)) == ["lists typosquat 1.0, which nothing locks"]
    assert len(sbom.faults(image, told(other, base, shows_base))) == 2


def test_a_base_s_packages_are_not_taken_where_programs_do_not_see_them() -> None:
    good = right("tabular")
    hidden = replace(good, base={("inflect", "7.3.1")})
    assert sbom.faults("tabular", hidden) == []
    assert sbom.faults("tabular", told(good.listed | hidden.base, hidden.base)) == [
        "lists inflect 7.3.1, which nothing locks"
    ]


def test_a_list_has_to_be_cyclonedx() -> None:
    assert sbom.invalid(told({("numpy", "2.5.5")}).text) == ""
    assert "CycloneDX" in sbom.invalid('{"bomFormat": "SPDX", "specVersion": "1.6", "version": 1}')
    assert sbom.invalid('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "x"}]}')


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").rglob("*.txt")), ids=lambda lock: lock.name)
def test_all_that_a_lock_names_is_scanned(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if line[:1].isalnum() and "==" in line]
    urls = scan.package_urls(lock)
    assert len(urls) == len(lines) > 0
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9.-]+@[A-Za-z0-9.+!-]+", url) for url in urls)


def program(folder: Path, name: str, script: str) -> dict[str, str]:
    """A program on the PATH, before all others."""
    folder.joinpath(name).write_text(f"#!/bin/sh\n{script}\n")
    folder.joinpath(name).chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def run(script: str, *words: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(FOLDER / script), *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env)


def test_without_a_database_one_line_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    done = run(
        "scan.py", env=program(tmp_path, "grype", r"printf '[0000] ERROR \033[31mno such host\033[0m\n' >&2; exit 1")
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "nothing was scanned" in done.stderr
    assert "(no such host)" in done.stderr
    assert "grype db import" in done.stderr


def test_each_lock_is_scanned_and_what_is_bad_named(tmp_path: Path) -> None:
    script = 'case "$1" in db) exit 0;; *demo*) exit 2;; *) echo "scanned $1";; esac'
    done = run("scan.py", "docker:extra", env=program(tmp_path, "grype", script))
    assert done.returncode == 1
    assert done.stderr.endswith("error: high or worse in requirements/demo.txt\n")
    assert "scanned docker:extra" in done.stdout
    assert done.stdout.count("scanned purl:") == len(list((ROOT / "requirements").rglob("*.txt"))) - 1


def test_a_scan_that_breaks_off_is_no_clean_scan(tmp_path: Path) -> None:
    done = run("scan.py", env=program(tmp_path, "grype", 'test "$1" = db || exit 1'))
    assert done.returncode == 1
    assert "the scan did not end" in done.stderr


def test_signing_takes_the_lists_first(tmp_path: Path) -> None:
    words = ("--registry", "localhost:1/x", "--key", "k", "--tag", "t", "--lists", str(tmp_path))
    done = run("sign.py", *words)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "`make sbom` writes it" in done.stderr


@pytest.mark.parametrize("empty", ["registry", "key"])
def test_signing_says_what_it_was_not_given(empty: str) -> None:
    given = {"registry": "localhost:1/x", "key": "k"} | {empty: ""}
    done = run("sign.py", "--tag", "t", *(word for name, value in given.items() for word in (f"--{name}", value)))
    assert done.returncode == 2
    assert f"--{empty} is empty" in done.stderr
