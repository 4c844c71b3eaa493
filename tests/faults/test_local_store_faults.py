"""A local store on a disk that is full, on one that allows no such file, and in folders that deny access."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

PROLOGUE = """
import os, resource, sys
from pathlib import Path
from sluice.artifacts.bundles import open_bundle, publish
from sluice.core.errors import EnvironmentFault, SluiceError
from sluice.artifacts.manifests import Producer
from sluice.storage.stores import open_store
root = Path(sys.argv[1])
store = open_store(str(root / "store"))
def refused(call):
    try:
        call()
    except EnvironmentFault as fault:
        print(fault)
    else:
        raise SystemExit("no fault was raised")
"""
PUBLISH = """
(root / "folder").mkdir()
(root / "folder" / "a").write_bytes(b"a" * 100_000)
(root / "folder" / "b").symlink_to(sys.argv[2])
def publish_it():
    return publish(store, root / "folder", "dataset", Producer("sample"))
"""
LEFT = """
left = sorted(p.name for p in (root / "store").rglob("*") if p.is_file())
assert left == ["a"], left
"""


def run(script: str, *arguments: object, before: tuple[str, ...] = ()) -> str:
    """Run a script in a process of its own; what it printed."""
    command = [*before, sys.executable, "-c", PROLOGUE + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 3 MB."""
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    return tmp_path / "big"


def test_a_full_disk(tmp_path: Path, big: Path) -> None:
    """A disk of 1 MiB: a memory file system in a mount namespace of its own, gone with the process."""
    unshare = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no user namespaces, so no disk can be filled")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (*unshare, "sh", "-c", f'mount -t tmpfs -o size=1m none {disk} && exec "$@"', "sh")
    then = """
(root / "folder" / "b").unlink()
(root / "folder" / "b").write_bytes(b"less")
assert open_bundle(publish_it().uri).manifest.files[1].size == 4
"""
    out = run(PUBLISH + "refused(publish_it)" + LEFT + then, disk, big, before=mounted)
    assert "/b: no space left; free some, or point SLUICE_HOME or the store elsewhere" in out
    assert len(out.splitlines()) == 1


def test_a_limit_on_the_size_of_files(tmp_path: Path, big: Path) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    out = run(limit + PUBLISH + "refused(publish_it)" + LEFT, tmp_path, big)
    assert "/b: larger than the file system or `ulimit -f` allows" in out


def test_fetching_to_a_full_place_leaves_nothing(tmp_path: Path, big: Path) -> None:
    script = """
store.put_file("k", Path(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
(root / "out").mkdir()
refused(lambda: store.get_file("k", root / "out" / "target"))
assert not list((root / "out").iterdir())
"""
    assert "/out/target: larger than" in run(script, tmp_path, big)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that every user may look into: pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


NOBODY = """
if os.geteuid() == 0:  # root reads and writes whatever the modes say
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


@pytest.mark.parametrize(
    "call",
    [
        "store.put_bytes('new', b'x')",
        "store.put_if_absent('deeper/new', b'x')",
        "store.put_file('new', root / 'plain')",
        "store.delete('k')",
        "store.get_bytes('closed/k')",
        "store.get_file('unreadable', root / 'out' / 'target')",
        "store.exists('closed/k')",
        "list(store.keys())",
        "store.get_file('k', root / 'target')",
        "store.put_file('new', root / 'store/unreadable')",
    ],
)
def test_access_denied(shared_folder: Path, call: str) -> None:
    store, out = shared_folder / "store", shared_folder / "out"
    for name in ("plain", "store/k", "store/unreadable", "store/closed/k"):
        path = shared_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    out.mkdir(mode=0o777)
    (store / "unreadable").chmod(0)
    (store / "closed").chmod(0)
    store.chmod(0o555)
    shared_folder.chmod(0o555)
    try:
        said = run(NOBODY + f"refused(lambda: {call})", shared_folder)
    finally:
        shared_folder.chmod(0o755)
        store.chmod(0o755)
        (store / "closed").chmod(0o755)
    assert "access denied; check the owner and mode of the folder" in said
    assert str(shared_folder) in said
    assert not list(out.iterdir())
    assert sorted(p.name for p in store.iterdir()) == ["closed", "k", "unreadable"]
