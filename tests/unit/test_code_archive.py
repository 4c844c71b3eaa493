"""A project's code as an archive: what goes along, the same bytes everywhere, and nothing evil or half comes out."""

import io
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.bounds import CODE_BYTES
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.files import STAGING
from sluice.project import archive as archives
from sluice.project.archive import Archive, archive_key, pack, unpacked
from sluice.project.code_store import fetch, publish
from sluice.project.packing import closure, whole
from sluice.project.unpacking import laid_out, remove
from sluice.storage.stores import Store, open_store

ROOT = Path(__file__).parents[2]
GOLDEN = "f18306ba6408"
PRIVATE_KEY = "-----BEGIN " + "PRIVATE KEY-----\nabc\n"


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(found: Archive) -> list[str]:
    return list(found.files)


def reasons(folder: Path) -> dict[str, str]:
    return {each.path: each.reason for each in whole(folder).left_out}


# The same bytes everywhere


def test_the_bytes_follow_from_names_and_contents_alone(tmp_path: Path) -> None:
    """A digest written down: it must be the same for each Python, each machine, each order and each file's mode."""
    files = {"prepare.py": b"import lib.x\n", "lib/x.py": b"y = 1\n", "wörter.txt": "ä\r\n".encode(), "empty.txt": b""}
    made = pack(files)
    assert made.digest[:12] == GOLDEN
    assert pack(dict(reversed(files.items()))).data == made.data
    folder = lay(tmp_path, files)
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        path.chmod(0o600 if number % 2 else 0o755)
        os.utime(path, (number, number))
    assert whole(folder).archive.data == made.data
    assert unpacked(made.data, "x").files == made.files


@given(st.dictionaries(st.text("abcäß.-_ /", min_size=1, max_size=12) | st.text(max_size=9), st.binary(max_size=40)))
def test_whatever_is_packed_comes_out_again(files: dict[str, bytes]) -> None:
    try:
        made = pack(files)
    except BadInput:
        return
    assert dict(unpacked(made.data, "x").files) == files
    assert [entry.filename for entry in zipfile.ZipFile(io.BytesIO(made.data)).infolist()] == sorted(files)


@pytest.mark.parametrize(
    "name",
    [
        "../a.py",
        "/a.py",
        "a/../b.py",
        "a//b.py",
        "./a.py",
        "a\\b.py",
        "a\0.py",
        "a\n.py",
        "",
        "a/",
        "x" * 256,
        "\udcff.py",
        "a/" * 600 + "b",
    ],
)
def test_names_that_lead_out_or_that_no_machine_can_keep_are_refused(name: str) -> None:
    refusal(lambda: pack({name: b""}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.py", "A.py"),
        ("lib/x.py", "LIB/y.py"),
        ("é.py", "e\u0301.py"),
        ("stra\u00dfe.py", "strasse.py"),
        ("a", "a/b"),
    ],
)
def test_names_that_are_one_file_on_some_machines_are_refused(first: str, second: str) -> None:
    refusal(lambda: pack({first: b"", second: b""}))


def test_too_much_is_refused_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    large = {f"{number}.txt": b"x" * 2_000_000 for number in range(3)}
    assert "5,242,880" in refusal(lambda: pack(large))
    assert len(pack(large, most=6_000_000).data) > 6_000_000
    assert "at most 5,999,999 are taken" in refusal(lambda: pack(large, most=5_999_999))
    monkeypatch.setenv("SLUICE_CODE_BYTES", "6000000")
    assert pack(large).digest
    monkeypatch.setenv("SLUICE_CODE_BYTES", "1")
    lay(tmp_path, {"a.py": "", "b.py": "x"})
    assert pack({"a.py": b"x"}).digest
    assert "SLUICE_CODE_BYTES" in refusal(lambda: pack({"a.py": b"xy"}))
    assert "files of a project's code" in refusal(lambda: pack({f"{number}.py": b"" for number in range(5_001)}))


# What goes along


FILES: dict[str, str | bytes] = {
    "sluice.yaml": "name: houses\n",
    "prepare.py": "import helpers\nfrom lib.deep import x\n",
    "helpers.py": "from . import constants\n",
    "constants.py": "",
    "lib/deep/x.py": "def f():\n    import lib.late as late\n    from .y import z\n",
    "lib/deep/y.py": "",
    "lib/late.py": "import numpy\n",
    "pack/__init__.py": "__all__ = ['one']\n",
    "pack/one.py": "from .. import stars\n",
    "pack/two.py": "",
    "stars.py": "from pack import *\n",
    "other.py": "import helpers\n",
    "words/a.txt": "a",
    "words/b.txt": "b",
    "words/__pycache__/c.txt": "c",
    "words/pic.bin": b"\0\1",
}


def test_a_step_takes_what_its_references_import_and_no_more(tmp_path: Path) -> None:
    folder = lay(tmp_path, FILES)
    wanted = ["constants.py", "helpers.py", "lib/deep/x.py", "lib/deep/y.py", "lib/late.py", "prepare.py"]
    first = closure(folder, ["prepare.py:rows"])
    assert names(first) == wanted
    assert names(closure(folder, ["stars.py:s"])) == ["pack/__init__.py", "pack/one.py", "stars.py"]
    assert names(closure(folder, ["pack/two.py:Net"])) == ["pack/__init__.py", "pack/two.py"]
    assert names(closure(folder, [])) == []
    lay(folder, {"other.py": "changed = 1\n", "sluice.yaml": "name: flats\n"})
    assert closure(folder, ["prepare.py:rows"]).digest == first.digest
    lay(folder, {"lib/late.py": "import numpy  # changed\n"})
    assert closure(folder, ["prepare.py:rows"]).digest != first.digest


def test_what_a_star_names_is_followed(tmp_path: Path) -> None:
    files = {"a.py": "from pack import *\n", "pack/__init__.py": "from helpers import x\n__all__ = ['one']\n"}
    folder = lay(tmp_path, files | {"pack/one.py": "", "helpers.py": ""})
    assert names(closure(folder, ["a.py:f"])) == ["a.py", "helpers.py", "pack/__init__.py", "pack/one.py"]


def test_a_file_in_a_folder_finds_its_siblings_and_those_above(tmp_path: Path) -> None:
    files = {"src/prepare.py": "import near, far\n", "src/near.py": "", "near.py": "", "far.py": ""}
    folder = lay(tmp_path / "started_above", files)
    assert names(closure(folder, ["src/prepare.py:rows"])) == ["far.py", "near.py", "src/prepare.py"]
    (folder / "near.py").unlink()
    assert names(closure(folder, ["src/prepare.py:rows"])) == ["far.py", "src/near.py", "src/prepare.py"]
    files = {"p/__init__.py": "", "p/prepare.py": "import near\nfrom . import far\n", "p/near.py": "", "p/far.py": ""}
    folder = lay(tmp_path / "as_package", files)
    assert names(closure(folder, ["p/prepare.py:rows"])) == ["p/__init__.py", "p/far.py", "p/prepare.py"]


def test_listed_files_go_along_whatever_the_rules_leave_out(tmp_path: Path) -> None:
    folder = lay(tmp_path, FILES | {".gitignore": "words/\n", "words/plugin.py": "import helpers\n"})
    assert names(closure(folder, [], ["words/*.txt"])) == ["words/a.txt", "words/b.txt"]
    assert names(closure(folder, [], ["words/pic.bin", "words"])) == [
        "constants.py",
        "helpers.py",
        "words/a.txt",
        "words/b.txt",
        "words/pic.bin",
        "words/plugin.py",
    ]


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "", "no/*.txt", "a\\b", "**.py", "words/../sluice.yaml"])
def test_a_listed_file_that_is_none_is_told(tmp_path: Path, pattern: str) -> None:
    assert repr(pattern) in refusal(lambda: closure(lay(tmp_path, FILES), [], [pattern]))


@pytest.mark.parametrize(
    ("files", "reference", "said"),
    [
        ({}, "prepare.py:rows", "is not there"),
        ({"prepare.py": ""}, "prepar.py:rows", "did you mean 'prepare.py'"),
        ({"prepare.py": ""}, "prepare.py", "FILE.py:NAME"),
        ({"prepare.py": ""}, "../prepare.py:rows", "FILE.py:NAME"),
        ({"prepare.py": ""}, "/prepare.py:rows", "FILE.py:NAME"),
        ({"prepare.py": ""}, "prepare.py:a b", "FILE.py:NAME"),
        ({"prepare.py": "x = (\n"}, "prepare.py:rows", "prepare.py:1: this is no Python"),
        ({"prepare.py": b"x = '\xff'\n"}, "prepare.py:rows", "prepare.py:1: this is no Python"),
        ({"prepare.py": b"\0"}, "prepare.py:rows", "prepare.py"),
        ({"prepare.py": "(" * 5000}, "prepare.py:rows", "prepare.py"),
        ({"prepare.py": "-" * 200_000 + "1"}, "prepare.py:rows", "nested too deeply"),
        ({"prepare.py": "\nimport a", "a.py": "x = (\n"}, "prepare.py:rows", "a.py:1: this is no Python"),
        ({"torch.py": ""}, "torch.py:Net", "'torch' is also the name of an installed package"),
        ({"sluice.py": ""}, "sluice.py:rows", "Sluice itself"),
        ({"json.py": ""}, "json.py:rows", "standard library"),
        ({"numpy/net.py": ""}, "numpy/net.py:Net", "an installed package"),
        ({"a.py": "\nimport random\n", "random.py": ""}, "a.py:rows", "a.py:2: 'random' means a module of Python's"),
        ({"a.py": "import pandas.api\n", "pandas/__init__.py": ""}, "a.py:rows", "and also pandas/__init__.py; rename"),
        ({"a.py": "from torch import nn\n", "torch/nn.py": ""}, "a.py:rows", "and also torch/; rename"),
        ({"a.py": "\nimport credentials", "credentials.py": "X=1"}, "a.py:rows", "a.py:2: credentials.py never goes"),
        ({"a.py": f"'''{PRIVATE_KEY}'''"}, "a.py:rows", "holds a private key"),
        ({"node_modules/a.py": ""}, "node_modules/a.py:rows", "never goes along"),
    ],
)
def test_what_cannot_go_along_is_told_in_one_line(
    tmp_path: Path, files: dict[str, str | bytes], reference: str, said: str
) -> None:
    assert said in refusal(lambda: closure(lay(tmp_path, files), [reference]))


def test_names_that_nobody_else_imports_are_the_project_s(tmp_path: Path) -> None:
    """A folder of Sluice's own name for a file, `sluice.py`, and names of modules that the code does not import."""
    files = {"sluice.py": "import sluice\n", "a.py": "import sluice, torch\nfrom . import json\n", "json.py": ""}
    folder = lay(tmp_path, files | {"torch/weights.txt": "", "random.py": ""})
    assert names(closure(folder, ["a.py:rows"])) == ["a.py", "json.py"]


def test_secrets_caches_data_and_binaries_stay(tmp_path: Path) -> None:
    stay: dict[str, str | bytes] = {
        ".git/config": "", ".env": "", ".env.local": "", "conf/.ENV": "", "prod.env": "", "key.pem": "", "id_rsa": "",
        "ID_RSA.pub": "", "credentials": "", "credentials.json": "", "my-credentials.json": "", "secrets.yaml": "",
        ".aws/config": "", "server.KEY": "", "service-account-x.json": "", ".netrc": "", "terraform.tfstate": "",
        "data/a.txt": "", "houses.csv": "", "deep/x.parquet": "", "model.pkl": "", "lib.so": "", "photo.PNG": "",
        "__pycache__/a.cpython-311.pyc": "", "a/__pycache__/b.txt": "", ".venv/x.py": "", "node_modules/x.js": "",
        ".sluice/store/x": "", "mlruns/0/meta.yaml": "", "e/pyvenv.cfg": "", "e/lib/x.py": "", "text.dat": b"\0\1",
        "latin.txt": b"\xff", "oops.txt": PRIVATE_KEY, "broken.ipynb": "{}",
    }  # fmt: skip
    go = {
        "prepare.py": "",
        "lib/data/x.py": "",
        "sql/q.sql": "",
        "notes.md": "",
        "environment.txt": "",
        "envs/a.py": "",
    }
    found = whole(lay(tmp_path, stay | go))
    assert names(found.archive) == sorted(go)
    left = [each.path for each in found.left_out]
    assert [name for name in stay if not any(name == path or name.startswith(path) for path in left)] == []


def test_git_s_rules_and_ours_are_kept_to(tmp_path: Path) -> None:
    """Held against git itself: what it would add is what goes along."""
    files: dict[str, str | bytes] = {
        ".gitignore": "*.txt\n!keep.txt\n/only_here/\nsub/**/z.md\n# a comment\n\\#odd\n",
        "a.txt": "", "keep.txt": "", "deep/keep.txt": "", "deep/b.txt": "", "deep/.gitignore": "!b.txt\n*.md\n",
        "deep/x.md": "", "only_here/x.md": "", "deep/only_here/x.py": "", "sub/z.md": "", "sub/q/r/z.md": "",
        "#odd": "",
    }  # fmt: skip
    folder = lay(tmp_path / "repository", files)
    run = ["git", "-c", "core.excludesFile=", "-C", str(folder)]
    subprocess.run([*run, "init", "-q"], check=True)
    listed = subprocess.run([*run, "ls-files", "-oz", "--exclude-standard"], check=True, capture_output=True, text=True)
    assert names(whole(folder).archive) == sorted(filter(None, listed.stdout.split("\0")))
    inner = lay(folder / "houses", {"a.txt": "", "keep.txt": "", "a.md": ""})
    assert names(whole(inner).archive) == ["a.md", "keep.txt"]
    lay(folder, {".sluiceignore": "!a.txt\n*.md\n!.env\n", ".env": "", "deep/.sluiceignore": "keep.txt\n"})
    assert names(whole(folder).archive) == [
        ".gitignore", ".sluiceignore", "a.txt", "deep/.gitignore", "deep/.sluiceignore", "deep/b.txt",
        "deep/only_here/x.py", "houses/a.txt", "houses/keep.txt", "keep.txt",
    ]  # fmt: skip
    assert reasons(folder)["deep/x.md"] == ".sluiceignore"
    assert reasons(folder)["deep/keep.txt"] == "deep/.sluiceignore"
    lay(folder, {".gitignore": "a\n\n!\n"})
    assert f"{folder}/.gitignore:3: '!' is no pattern" in refusal(lambda: whole(folder))


def test_links_take_no_file_from_outside(tmp_path: Path) -> None:
    outside = lay(tmp_path / "outside", {"secret.txt": "s", "mod.py": "", "folder/x.py": ""})
    folder = lay(tmp_path / "project", {"a.py": "import mod", "real/b.py": ""})
    (folder / "link.py").symlink_to(folder / "a.py")
    (folder / "mod.py").symlink_to(outside / "mod.py")
    (folder / "folder").symlink_to(outside / "folder")
    (folder / "again").symlink_to(folder / "real")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "nothing").symlink_to(folder / "gone")
    os.mkfifo(folder / "pipe")
    found = whole(folder)
    assert names(found.archive) == ["a.py", "link.py", "real/b.py"]
    assert sorted(reasons(folder)) == ["again", "circle", "folder", "mod.py", "nothing", "pipe"]
    assert "leads out" in refusal(lambda: closure(folder, ["a.py:rows"]))
    assert "leads out" in refusal(lambda: closure(folder, [], ["folder/*.py"]))


def test_a_name_that_is_no_text_stays(tmp_path: Path) -> None:
    folder = lay(tmp_path, {"a.py": "", "tab\t.py": "", "back\\slash.py": ""})
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py")).write_text("")
    found = whole(folder)
    assert names(found.archive) == ["a.py"]
    assert len(found.left_out) == 3
    assert "UTF-8" in found.left_out[0].reason


def test_a_notebook_goes_without_what_it_has_shown(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "code", "source": ["1"], "outputs": [{"text": "a customer's name"}], "execution_count": 3},
        {"cell_type": "markdown", "source": ["text"], "attachments": {"photo": "a customer's face"}},
    ]
    body = {"cells": cells, "metadata": {"widgets": {"state": "a customer's row"}}, "nbformat": 4}
    found = whole(lay(tmp_path, {"a.ipynb": json.dumps(body)})).archive.files["a.ipynb"].decode()
    assert "customer" not in found
    assert json.loads(found)["cells"][0]["source"] == ["1"]


def test_the_home_of_runs_stays_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "kept"))
    lay(tmp_path, {"kept/code/x.py": "", "a.py": ""})
    assert names(whole(tmp_path).archive) == ["a.py"]
    assert "SLUICE_HOME" in reasons(tmp_path)["kept/"]


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    assert "is no folder" in refusal(lambda: whole(tmp_path / "gone"))
    assert "is no folder" in refusal(lambda: closure(tmp_path / "gone", []))


# In a store


MADE = pack({"prepare.py": b"x = 1\n", "lib/x.py": b"y = 2\n"})


def test_an_archive_is_published_once_and_fetched_again(store: Store) -> None:
    assert publish(store, MADE) == publish(store, MADE) == f"code/{MADE.digest}.zip"
    assert store.get_bytes(MADE.key) == MADE.data
    assert fetch(f"{store.uri}/{MADE.key}").files == MADE.files


def test_what_is_not_right_in_a_store_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_STORE", str(tmp_path / "store"))
    store = open_store(str(tmp_path / "store"))
    assert "is not there" in refusal(lambda: fetch(MADE.key))
    publish(store, MADE)
    assert fetch(MADE.key).digest == MADE.digest
    path = store.local_path(MADE.key)
    assert path
    path.write_bytes(MADE.data[:-1])
    for call in (lambda: fetch(MADE.key), lambda: publish(store, MADE)):
        said = refusal(call)
        assert "not the one in its name" in said
        assert str(path) in said
    for wrong in (
        "",
        "code/x.zip",
        f"code/{MADE.digest}",
        f"{MADE.key}/",
        f"models/{MADE.digest}.zip",
        "code/../x.zip",
    ):
        assert "no address of a project's code" in refusal(lambda wrong=wrong: fetch(wrong))


def test_a_store_that_is_read_only_will_do_for_what_it_has(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    publish(store, MADE)
    (tmp_path / "store" / "code").chmod(0o555)
    try:
        assert publish(store, MADE) == MADE.key
        assert fetch(f"{store.uri}/{MADE.key}").digest == MADE.digest
        if os.geteuid():
            with pytest.raises(EnvironmentFault, match="denied"):
                publish(store, pack({"other.py": b""}))
    finally:
        (tmp_path / "store" / "code").chmod(0o755)


# Evil archives


def zipped(entries: list[tuple[str, bytes]], **changes: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in entries:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.create_system = (stat.S_IFREG | 0o444) << 16, 3
            for key, value in changes.items():
                setattr(entry, key, value)
            made.writestr(entry, data)
    return out.getvalue()


BOMB = zipped([("a.py", b"\0" * 30_000_000)], compress_type=zipfile.ZIP_DEFLATED)
ONE = zipped([("a.py", b"x" * 100)])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        BOMB,
        zipped([("a.py", b"")], external_attr=(stat.S_IFLNK | 0o777) << 16),
        zipped([("a.py", b"")], external_attr=(stat.S_IFREG | 0o777) << 16),
        zipped([("a.py", b"")], date_time=(1990, 1, 1, 0, 0, 0)),
        zipped([("../a.py", b"")]),
        zipped([("/a.py", b"")]),
        zipped([("a.py", b""), ("A.py", b"")]),
        zipped([("b.py", b""), ("a.py", b"")]),
        zipped([("folder/", b"")]),
        b"#!/bin/sh\n" + ONE,
        ONE + b"more",
        ONE.replace(struct.pack("<LL", 100, 100), struct.pack("<LL", 2**31, 2**31)),
        ONE.replace(b"a.py", b"b.py", 1),
        ONE.replace(b"x" * 100, b"y" * 100),
    ],
)
def test_an_archive_that_sluice_did_not_pack_is_refused(data: bytes) -> None:
    said = refusal(lambda: unpacked(data, "store/code/x.zip"))
    assert said.startswith("store/code/x.zip cannot be read as a project's code")


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped([("a.py", b"1"), ("a.py", b"2")])
    assert "name twice" in refusal(lambda: unpacked(data, "x"))


@given(st.data())
def test_no_change_of_an_archive_gives_anything_but_a_refusal(data: st.DataObject) -> None:
    changed = bytearray(MADE.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        match data.draw(st.sampled_from(["change", "cut", "add"])):
            case "change":
                changed[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del changed[place : place + data.draw(st.integers(1, 30))]
            case _:
                changed[place:place] = data.draw(st.binary(min_size=1, max_size=30))
        changed = changed or bytearray(b"x")
    if bytes(changed) != MADE.data:
        refusal(lambda: unpacked(bytes(changed), "x"))


@given(st.binary(max_size=200))
def test_no_bytes_give_anything_but_a_refusal(data: bytes) -> None:
    refusal(lambda: unpacked(data, "x"))


# On the disk


def test_files_are_laid_out_read_only_and_checked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = laid_out(MADE, tmp_path)
    assert folder == tmp_path / MADE.digest
    assert (folder / "lib" / "x.py").read_bytes() == b"y = 2\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*.py")} == {0o444}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "lib")} == {0o555}
    before = folder.stat().st_ino
    assert laid_out(MADE, tmp_path).stat().st_ino == before
    assert capsys.readouterr().out == ""
    for harm in (change, add, link, lose):
        harm(folder)
        assert laid_out(MADE, tmp_path) == folder
        assert "differs from its archive" in capsys.readouterr().out
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")} == {"lib/x.py", "prepare.py"}
        assert (folder / "prepare.py").read_bytes() == b"x = 1\n"
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [MADE.digest]


def change(folder: Path) -> None:
    (folder / "prepare.py").chmod(0o644)
    (folder / "prepare.py").write_text("evil = 1\n")


def add(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "more.py").write_text("")


def link(folder: Path) -> None:
    folder.chmod(0o755)
    (folder / "prepare.py").rename(folder.parent / "elsewhere")
    (folder / "prepare.py").symlink_to(folder.parent / "elsewhere")


def lose(folder: Path) -> None:
    (folder.parent / "elsewhere").unlink(missing_ok=True)
    (folder / "lib").chmod(0o755)
    (folder / "lib" / "x.py").unlink()


LAY_OUT = """
import sys
from pathlib import Path
from sluice.project.archive import unpacked
from sluice.project.unpacking import laid_out
data = Path(sys.argv[1]).read_bytes()
print("ready", flush=True)
sys.stdin.readline()
print(laid_out(unpacked(data, "x"), Path(sys.argv[2])), flush=True)
"""


def lay_out_apart(archive: Path, cache: Path) -> subprocess.Popen[str]:
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"}
    command = [sys.executable, "-c", LAY_OUT, str(archive), str(cache)]
    process = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()


MANY = pack({f"lib/{number}/x.py": b"x = 1\n" * 50 for number in range(300)})


def test_several_processes_at_once_give_one_whole_folder(tmp_path: Path) -> None:
    (tmp_path / "many.zip").write_bytes(MANY.data)
    started = [lay_out_apart(tmp_path / "many.zip", tmp_path / "cache") for _ in range(4)]
    for process in started:
        go(process)
    for process in started:
        assert process.communicate(timeout=300)[0].strip() == str(tmp_path / "cache" / MANY.digest)
        assert process.returncode == 0
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [MANY.digest]


def test_a_process_that_is_killed_leaves_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "many.zip").write_bytes(MANY.data)
    cache = tmp_path / "cache"
    process = lay_out_apart(tmp_path / "many.zip", cache)
    go(process)
    deadline = time.monotonic() + 120
    while not any(cache.glob(f"{STAGING}*/lib/1")):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    assert not (cache / MANY.digest).exists()
    left = [path for path in cache.iterdir() if path.name.startswith(STAGING)]
    assert len(left) == 1
    assert len(list(laid_out(MANY, cache).rglob("x.py"))) == 300
    assert left[0].exists()  # it may be another process's
    os.utime(left[0], (0, 0))
    laid_out(MANY, cache)
    assert [path.name for path in cache.iterdir()] == [MANY.digest]


def test_without_a_home_files_are_laid_out_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    folder = laid_out(MADE)
    assert folder.is_relative_to(tmp_path)
    assert not (tmp_path / "none").exists()
    remove(folder.parent)
    assert not folder.exists()
    (tmp_path / "none").mkdir()
    assert laid_out(MADE) == tmp_path / "none" / "code" / MADE.digest


def test_the_bound_is_that_of_the_table() -> None:
    assert CODE_BYTES.default == 5 * 2**20
    assert archive_key("a") == "code/a.zip"
    assert archives.check_name("wörter/a.py") is None
