"""Packages that a project brings along: locked wheels, each by its SHA-256, and no registry in a step."""

import base64
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sluice.core.errors import BadInput, EnvironmentFault
from sluice.project.archive import LOCK
from sluice.project.code_store import publish
from sluice.project.packages import Kind, Pin, add_packages, index_key, read_lock, wheel_files, wheel_key
from sluice.project.packing import closure
from sluice.project.wheelhouse import publish_packages
from sluice.storage.stores import Store, open_store

ROOT = Path(__file__).parents[2]
CODE = "import acme_rates\nimport json, numpy\ndef f(): return acme_rates.rate(), json.dumps(1), numpy.__version__\n"


def wheel(name: str, version: str, files: Mapping[str, str], tag: str = "py3-none-any") -> tuple[str, bytes]:
    """A wheel that pip takes. Source: the binary distribution format of the Python Packaging User Guide."""
    info = f"{name}-{version}.dist-info"
    body = {**files, f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"}
    body[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    sums = {key: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for key, text in body.items()}
    lines = [f"{key},sha256={value.rstrip(b'=').decode()},{len(body[key])}\n" for key, value in sums.items()]
    body[f"{info}/RECORD"] = "".join([*lines, f"{info}/RECORD,,\n"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for key, text in body.items():
            made.writestr(key, text)
    return f"{name}-{version}-{tag}.whl", out.getvalue()


RATES = wheel(
    "acme_rates",
    "1.2",
    {
        "acme_rates/__init__.py": "from acme_base import one\ndef rate(): return one + 1\n",
        "json.py": "raise ValueError('evil')",
        "numpy/__init__.py": "raise ValueError('evil')",
        "acme_rates-1.2.data/scripts/tool": "#!python\n",
        "acme_rates-1.2.data/purelib/acme_more.py": "two = 2\n",
    },
)
BASE = wheel("acme_base", "3.0", {"acme_base.py": "one = 1\n"})


def digest(made: tuple[str, bytes]) -> str:
    return hashlib.sha256(made[1]).hexdigest()


def locked(*lines: str) -> str:
    return "# made by a test\n" + "\n".join(lines) + "\n"


def line(made: tuple[str, bytes], more: str = "") -> str:
    name, version = made[0].split("-")[:2]
    hashes = ("0" * 64, digest(made))
    return f"{name.replace('_', '-')}=={version}{more}" + "".join(f" \\\n    --hash=sha256:{each}" for each in hashes)


LOCKED = locked(
    line(RATES), "    # via the project", line(BASE), line(("never-1.0", b""), " ; sys_platform == 'plan9'")
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    (place / "wheels").mkdir(parents=True)
    for name, data in (RATES, BASE):
        (place / "wheels" / name).write_bytes(data)
    (place / "requirements.txt").write_text(LOCKED)
    (place / "a.py").write_text(CODE)
    return place


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_step_has_the_packages_behind_those_that_are_installed(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    assert publish_packages(store, folder, "requirements.txt") == sorted([RATES[0], BASE[0]])
    assert publish_packages(store, folder, "requirements.txt") == []
    key = publish(store, closure(folder, ["a.py:f"], packages="requirements.txt"))
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "SLUICE_STORE": store.uri}
    variables |= {"SLUICE_HOME": str(tmp_path / "home"), "PIP_NO_INDEX": "1"}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # what Python caches must not change the folder
    (tmp_path / "home").mkdir()
    program = f"from sluice.project.code import open_code; print(open_code({key!r}).load('a.py:f')())"
    for _ in range(2):  # the second time from the folder that the first laid out
        done = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False
        )
        assert done.stdout == f"{(2, '1', np.__version__)}\n", done.stderr
    assert len(list((tmp_path / "home" / "code").glob("packages-*"))) == 1


def test_the_lock_is_part_of_the_code_and_the_machine_is_not(folder: Path) -> None:
    plain = closure(folder, ["a.py:f"])
    first = closure(folder, ["a.py:f"], packages="requirements.txt")
    assert list(first.files) == [LOCK, "a.py"]
    assert first.digest != plain.digest
    (folder / "requirements.txt").write_text(locked(line(RATES)))
    assert closure(folder, ["a.py:f"], packages="requirements.txt").digest != first.digest


def test_pip_fetches_what_the_folder_lacks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = tmp_path / "links"
    (folder / "wheels").rename(links)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    store = open_store(str(tmp_path / "store"))
    assert publish_packages(store, folder, "requirements.txt") == sorted([RATES[0], BASE[0]])
    other = open_store(str(tmp_path / "other"))
    assert publish_packages(other, folder, "requirements.txt", Kind("3.12", "linux_aarch64"))
    assert other.exists(index_key(LOCKED.encode(), Kind("3.12", "linux_aarch64")))
    (links / BASE[0]).write_bytes(wheel("acme_base", "3.0", {"acme_base.py": "one = 'evil'\n"})[1])
    for made in (store, other):
        (folder / "requirements.txt").write_text(LOCKED + "\n")
        said = refusal(lambda made=made: publish_packages(made, folder, "requirements.txt"))
        assert "HASHES" in said
    (links / BASE[0]).unlink()
    assert "acme-base==3.0" in refusal(lambda: publish_packages(store, folder, "requirements.txt"))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EnvironmentFault, match="pip cannot fetch"):
        publish_packages(store, folder, "requirements.txt")


def test_a_wheel_for_another_machine_is_not_taken(folder: Path, tmp_path: Path) -> None:
    made = wheel("acme_native", "1.0", {"acme_native.py": ""}, "cp311-cp311-manylinux_2_17_aarch64")
    (folder / "wheels" / made[0]).write_bytes(made[1])
    (folder / "requirements.txt").write_text(locked(line(made)))
    store = open_store(str(tmp_path / "store"))
    assert publish_packages(store, folder, "requirements.txt", Kind("3.11", "linux_aarch64")) == [made[0]]
    lock = (folder / "requirements.txt").read_bytes()
    assert "are not there for cp3" in refusal(lambda: add_packages(lock, store, tmp_path / "cache"))
    body = store.get_bytes(index_key(lock, Kind("3.11", "linux_aarch64")))
    store.put_bytes(index_key(lock, Kind()), body)
    assert f"{made[0]} is not for cp3" in refusal(lambda: add_packages(lock, store, tmp_path / "cache"))


def published(folder: Path, store: Store, lock: str = LOCKED) -> bytes:
    (folder / "requirements.txt").write_text(lock)
    publish_packages(store, folder, "requirements.txt")
    return lock.encode()


def test_what_is_not_the_lock_s_is_refused(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    lock, cache = published(folder, store), tmp_path / "cache"
    store.put_bytes(wheel_key(digest(BASE)), RATES[1])
    assert "not the lock's" in refusal(lambda: add_packages(lock, store, cache))
    store.put_bytes(index_key(lock, Kind()), b'{"wheels": {"acme_base-3.0-py3-none-any.whl": "%s"}}' % (b"1" * 64))
    assert "no wheel of the lock" in refusal(lambda: add_packages(lock, store, cache))
    for broken in (b"", b"[]", b"{}", b'{"wheels": 3}', b"[" * 100_000):
        store.put_bytes(index_key(lock, Kind()), broken)
        assert "is no list of wheels" in refusal(lambda: add_packages(lock, store, cache))
    assert not cache.exists()
    assert "acme_base" not in sys.modules


def test_what_is_installed_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    same = f"numpy=={np.__version__} --hash=sha256:{'0' * 64}\n".encode()
    assert add_packages(same, store, tmp_path / "cache") is None
    said = refusal(lambda: add_packages(same.replace(np.__version__.encode(), b"1.0"), store, tmp_path / "cache"))
    assert f"the project wants numpy 1.0, and {np.__version__} is installed here" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nacme\n", "x.txt:2: 'acme' names no one version"),
        ("acme>=1 --hash=sha256:" + "0" * 64, "names no one version"),
        ("acme==1.* --hash=sha256:" + "0" * 64, "names no one version"),
        ("acme==1", "x.txt:1: acme has no SHA-256"),
        ("acme==1 --hash=md5:00", "x.txt:1"),
        ("--index-url http://x", "x.txt:1"),
        ("-r other.txt", "x.txt:1"),
        ("./acme.whl --hash=sha256:" + "0" * 64, "x.txt:1"),
        ("acme @ http://x/acme.whl --hash=sha256:" + "0" * 64, "names no one version"),
        (f"acme==1 --hash=sha256:{'0' * 64}\nAcme==2 --hash=sha256:{'0' * 64}", "x.txt:2: Acme stands there twice"),
        ("acme==1 \\\n  --hash=sha256:00", "x.txt:1"),
    ],
)
def test_a_line_of_a_lock_that_is_none_is_told(text: str, said: str) -> None:
    assert said in refusal(lambda: read_lock(text.encode(), "x.txt"))


def test_a_lock_is_read_as_pip_reads_it() -> None:
    pins = read_lock(f"\ufeff# a\n\nA_b.c[x]==1.0 ; python_version > '3' --hash=sha256:{'a' * 64}  # b\n".encode(), "x")
    assert [(pin.name, str(pin.version), pin.hashes) for pin in pins] == [("a-b-c", "1.0", frozenset({"a" * 64}))]
    assert pins[0].applies({"python_version": "3.11"})
    assert "UTF-8" in refusal(lambda: read_lock(b"\xff", "x"))


def zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"PK", zipped({"../a.py": b""}), zipped({"/a.py": b""}), zipped({"a.py": b"\0" * 60_000_000})],
    ids=[
        "empty",
        "cut off",
        "above",
        "absolute",
        "bomb",
    ],  # the archives' own bytes tell the second that they were made in
)
def test_a_wheel_that_is_none_is_refused(data: bytes) -> None:
    assert "x.whl cannot be read as a wheel" in refusal(lambda: wheel_files(data, "x.whl"))


def test_two_wheels_with_one_file_are_refused(folder: Path, tmp_path: Path) -> None:
    made = wheel("acme_other", "1.0", {"acme_base.py": "one = 2\n"})
    (folder / "wheels" / made[0]).write_bytes(made[1])
    store = open_store(str(tmp_path / "store"))
    lock = published(folder, store, locked(line(BASE), line(made)))
    assert "also has acme_base.py" in refusal(lambda: add_packages(lock, store, tmp_path / "cache"))


def test_wheels_that_are_too_large_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "store"))
    monkeypatch.setenv("SLUICE_PACKAGE_BYTES", "1000")
    assert "SLUICE_PACKAGE_BYTES" in refusal(lambda: publish_packages(store, folder, "requirements.txt"))
    assert list(store.keys()) == []


def test_markers_and_tags_are_those_of_the_machine_asked_for() -> None:
    there = Kind("3.12", "linux_aarch64")
    assert there.name == "cp312-linux_aarch64"
    assert {"cp312-cp312-manylinux_2_28_aarch64", "cp312-abi3-manylinux2014_aarch64", "py3-none-any"} <= {
        str(tag) for tag in there.tags()
    }
    pin = Pin("a", read_lock(f"a==1 --hash=sha256:{'0' * 64}".encode(), "x")[0].version, frozenset())
    assert pin.applies(there.markers())
    assert (there.markers()["platform_machine"], there.markers()["python_version"]) == ("aarch64", "3.12")
    assert Kind().is_here
    assert not there.is_here
