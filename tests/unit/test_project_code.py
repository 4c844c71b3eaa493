"""A project's code, loaded: as the user wrote it, apart from everybody else's, and each error of theirs in one line."""

import importlib
import inspect
import io
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from sluice.artifacts.bundles import publish as publish_folder
from sluice.artifacts.producer import producer
from sluice.artifacts.provenance import origin
from sluice.cli.lineage_tree import show
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.core.lifeline import Stopped
from sluice.project.archive import pack
from sluice.project.code import PREFIX, ProjectCode, code_of_folder, open_code
from sluice.project.code_store import publish
from sluice.running.lineage import Lineage, ModelFacts
from sluice.storage.stores import open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[Mapping[str, str]], ProjectCode]:
    """Packs files, publishes them and opens them again, as a step does."""

    def make(files: Mapping[str, str]) -> ProjectCode:
        store = open_store(str(tmp_path / "store"))
        archive = pack({name: text.encode() for name, text in files.items()})
        return open_code(f"{store.uri}/{publish(store, archive)}", cache=tmp_path / "cache")

    return make


Open = Callable[[Mapping[str, str]], ProjectCode]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert PREFIX not in str(caught.value)
    return str(caught.value)


SHOP = {
    "prepare.py": (
        "import helpers, lib.x, lib.deep.z as z\n"
        "from lib.x import y\n"
        "from lib import x as again\n"
        "from . import helpers as same\n"
        "from pack import *\n"
        "import json, os.path\n"
        "import numpy as np\n"
        "def rows(tables):\n"
        "    import late\n"
        "    from lib.deep import w\n"
        "    assert same is helpers and again is lib.x and lib.x.y == y\n"
        "    return [helpers.one, y, z.three, late.four, w.five, part.six, json.dumps(7), int(np.int64(8))]\n"
    ),
    "helpers.py": "one = 1\n",
    "late.py": "four = 4\n",
    "lib/x.py": "from helpers import one\ny = one + 1\n",
    "lib/deep/z.py": "three = 3\n",
    "lib/deep/w.py": "from ..x import y\nfive = y + 3\n",
    "pack/__init__.py": "__all__ = ['part']\n",
    "pack/part.py": "from .inner import *\n",
    "pack/inner.py": "six = 6\n",
}


def test_modules_find_each_other_as_they_were_written(opened: Open, tmp_path: Path) -> None:
    code = opened(SHOP)
    before = set(sys.modules)
    assert code.load("prepare.py:rows")({}) == [1, 2, 3, 4, 5, 6, "7", 8]
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert new & {"prepare", "helpers", "late", "lib", "pack"} == set()
    assert not list((tmp_path / "cache").rglob("*.pyc"))
    assert code.load("pack/part.py:six") == 6
    assert code.load("pack/__init__.py:__all__") == ["part"]
    assert code.load("prepare.py:helpers").one == 1


def test_the_same_is_found_as_python_itself_finds(tmp_path: Path) -> None:
    """The files run as a plain program, where each import is Python's own, give what the archive gives."""
    for name, text in SHOP.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        plain = text.replace("from . import helpers as same", "import helpers as same")
        (tmp_path / name).write_text(plain)
    program = "import prepare; print(prepare.rows({}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{code_of_folder(tmp_path, ['prepare.py:rows']).load('prepare.py:rows')({})}\n"


PATHS = ("a.py", "b.py", "p/a.py", "p/b.py", "p/q/c.py", "p/q/a.py")
NAMES = ("a", "b", "p.a", "p.b", "p.q.c", "p.q.a")
LOOK = """
import importlib, json, sys
found = []
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        found.append({"values": importlib.import_module("prepare").seen(), "files": None})
    except ImportError:
        found.append(None)
    new = set(sys.modules) - before
    if found[-1]:
        files = [sys.modules[name].__file__ for name in new if getattr(sys.modules[name], "__file__", None)]
        found[-1]["files"] = sorted(file[len(folder) + 1 :] for file in files if file.startswith(folder + "/"))
    for name in new:
        del sys.modules[name]
    sys.path.remove(folder)
print(json.dumps(found))
"""
SEEN = """
def seen():
    found = {}
    for name, value in sorted(globals().items()):
        if isinstance(value, str) and not name.startswith("__"):
            found[name] = value
        elif isinstance(value, type(seen.__globals__["sys"])) and name != "sys":
            found[name] = getattr(value, "v", None)
    return found
"""


def random_project(chance: random.Random, folder: Path) -> None:
    """Files that import each other in every way that Python has, some of them in vain."""
    packages = [name for name in ("p/__init__.py", "p/q/__init__.py") if chance.random() < 0.5]
    files = [path for path in PATHS if chance.random() < 0.8] + packages
    there = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files]
    for path in [*files, "prepare.py"]:
        lines = [f"v = {path!r}"]
        for number in range(chance.randint(0, 3) if path != "prepare.py" else 3):
            name = chance.choice(there if chance.random() < 0.9 else NAMES)
            base, _, leaf = name.rpartition(".")
            forms = [f"import {name}", f"import {name} as n{number}", f"from {name} import v as v{number}"]
            forms += [f"from {base} import {leaf} as m{number}"] if base else [f"from {name} import *"]
            if "/" in path and chance.random() < 0.3:
                forms += [f"from . import {chance.choice('abcq')} as r{number}", f"from ..{leaf} import v as w{number}"]
            lines.append(chance.choice(forms))
        if path == "prepare.py":
            lines += ["import sys", SEEN]
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("\n".join(lines))


def test_whatever_python_finds_is_found_and_no_file_more_is_run(tmp_path: Path) -> None:
    """Random projects, held against Python itself: started in the project's folder, it imports the same files."""
    folders = [tmp_path / str(number) for number in range(150)]
    for number, folder in enumerate(folders):
        random_project(random.Random(number), folder)
    command = [sys.executable, "-B", "-c", LOOK, *map(str, folders)]
    wanted = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert sum(each is not None for each in wanted) > 50
    for folder, python in zip(folders, wanted, strict=True):
        if python is None:
            continue  # ours may find a sibling where Python, started here, does not
        code = code_of_folder(folder, ["prepare.py:seen"])
        assert code.load("prepare.py:seen")() == python["values"], folder
        loaded = [getattr(sys.modules[name], "__file__", None) for name in sys.modules if name.startswith(code.package)]
        assert sorted(file[len(str(folder)) + 1 :] for file in loaded if file) == python["files"], folder
        assert set(python["files"]) <= set(code.files)


def test_two_versions_work_at_once(opened: Open) -> None:
    text = "import helpers\ndef f():\n    import late\n    return helpers.v, late.v\nclass Net:\n    pass\n"
    codes = [opened({"a.py": text, "helpers.py": f"v = {v}", "late.py": f"v = {v}"}) for v in (1, 2)]
    first, second = (code.load("a.py:f") for code in codes)
    assert (first(), second(), first()) == ((1, 1), (2, 2), (1, 1))
    assert codes[0].load("a.py:Net") is not codes[1].load("a.py:Net")
    assert codes[0].load("a.py:Net") is codes[0].load("a.py:Net")
    assert opened({"a.py": text, "helpers.py": "v = 1", "late.py": "v = 1"}) is codes[0]


def test_a_project_hides_no_module_from_anybody(opened: Open) -> None:
    """Even in an archive that Sluice's own packing would have refused."""
    code = opened(
        {
            "a.py": "import json, sluice, helpers\nfrom json import dumps\ndef f(): return json, sluice, dumps(1)\n",
            "json.py": "raise ValueError('evil')",
            "sluice.py": "raise ValueError('evil')",
            "sluice/__init__.py": "raise ValueError('evil')",
            "torch.py": "raise ValueError('evil')",
            "helpers.py": "import email\n",
            "email/__init__.py": "raise ValueError('evil')",
        }
    )
    import sluice

    assert code.load("a.py:f")() == (json, sluice, "1")
    assert importlib.import_module("email").__file__ != str(code.folder / "email/__init__.py")
    for name in ("helpers", "a"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_what_looks_into_modules_finds_them(opened: Open) -> None:
    code = opened(
        {
            "a.py": (
                "from __future__ import annotations\n"
                "import importlib\n"
                "from dataclasses import dataclass\n"
                "from enum import Enum\n"
                "@dataclass\n"
                "class Row:\n"
                "    size: int = 1\n"
                "class Kind(Enum):\n"
                "    one = 1\n"
                "def plug(): return importlib.import_module('.plugin', __package__).value\n"
                "def read(): return open(__file__.replace('a.py', 'words.txt')).read()\n"
            ),
            "plugin.py": "value = 5",
            "words.txt": "hello",
        }
    )
    row = code.load("a.py:Row")
    assert typing.get_type_hints(row) == {"size": int}
    assert inspect.getsource(row) == "@dataclass\nclass Row:\n    size: int = 1\n"
    assert pickle.loads(pickle.dumps(row(3))) == row(3)
    assert code.load("a.py:Kind").one.value == 1
    assert (code.load("a.py:plug")(), code.load("a.py:read")()) == (5, "hello")
    assert code.place_of(row) == "a.py:5"
    assert code.place_of(code.load("a.py:plug")) == "a.py:10"
    assert code.place_of(3) == code.place_of(os.path.join) == ""


def test_a_folder_of_the_user_s_own_is_loaded_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "a.py").write_text("def f():\n    return __file__\n")
    codes = [code_of_folder(tmp_path / name, ["a.py:f"]) for name in ("one", "two")]
    assert [code.load("a.py:f")() for code in codes] == [str(tmp_path / "one" / "a.py"), str(tmp_path / "two" / "a.py")]
    assert codes[0].digest == codes[1].digest == pack({"a.py": b"def f():\n    return __file__\n"}).digest
    assert not (tmp_path / "one" / "__pycache__").exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.py": "x = 1\ny = (\n"}, "a.py:2: this is no Python: '(' was never closed: 'y = ('"),
        ({"a.py": "import b\n", "b.py": "\n\ndef (:\n"}, "b.py:3: this is no Python"),
        ({"a.py": "x = '\0'"}, "a.py"),
        ({"a.py": "x = 1\nimport nowhere.at_all\n"}, "a.py:2: there is no module 'nowhere', neither in the project's"),
        ({"a.py": "\nimport helper", "helpers.py": ""}, "a.py:2: there is no module 'helper'"),
        ({"a.py": "import helper", "helpers.py": ""}, "did you mean 'helpers'?"),
        ({"a.py": "import lib.y", "lib/x.py": ""}, "a.py:1: there is no module 'lib'"),
        ({"a.py": "from lib import x, y", "lib/x.py": ""}, "a.py:1: ImportError: cannot import name 'y' from 'lib'"),
        ({"a.py": "from b import y", "b.py": ""}, "a.py:1: ImportError: cannot import name 'y' from 'b' (b.py)"),
        ({"a.py": "from . import y"}, "a.py:1: ImportError: cannot import name 'y' from the project's folder"),
        ({"a.py": "from .. import y"}, "a.py:1: ImportError: attempted relative import beyond top-level package"),
        ({"a.py": "import b", "b.py": "import a\na.f\n"}, "b.py:2: AttributeError"),
        ({"a.py": "import b\n", "b.py": "\nraise ValueError('of mine')"}, "b.py:2: ValueError: of mine"),
        ({"a.py": "1 / 0"}, "a.py:1: ZeroDivisionError: division by zero"),
        ({"a.py": "assert 0"}, "a.py:1: AssertionError"),
        ({"a.py": "\nimport json\njson.loads('{')"}, "a.py:3: JSONDecodeError"),
        ({"a.py": "compile('(', 'other.py', 'exec')"}, "a.py:1: SyntaxError"),
        ({"a.py": "\nimport sys\nsys.exit(0)"}, "a.py:3: it ends the program (SystemExit: 0); put what only runs"),
        ({"a.py": "exit()"}, "a.py:1: it ends the program"),
        ({"a.py": "\nraise KeyboardInterrupt"}, "a.py:2: KeyboardInterrupt"),
        ({"a.py": "class E(BaseException): ...\nraise E('x')"}, "a.py:2: E: x"),
        (
            {"a.py": "class E(Exception):\n  def __str__(self): raise E\nraise E"},
            "a.py:3: E: (its text cannot be shown)",
        ),
        ({"a.py": "raise ValueError('two\\nlines\\x1b[2J')"}, r"a.py:1: ValueError: two lines\x1b[2J"),
        ({"a.py": "def f(): f()\nf()"}, "a.py:1: RecursionError"),
        ({"a.py": "open('/no/such/file')"}, "a.py:1: FileNotFoundError"),
        ({"a.py": "def __getattr__(name): raise ValueError(name)"}, "a.py:1: ValueError: f"),
        ({"a.py": "g = 1"}, "a.py:f: a.py has no 'f'"),
        ({"a.py": "ff = 1"}, "a.py:f: a.py has no 'f' (did you mean 'ff'?)"),
        ({"aa.py": ""}, "a.py:f: a.py is not in the project's code (did you mean 'aa.py'?)"),
        ({}, "a.py:f: a.py is not in the project's code"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_told_in_one_line(opened: Open, files: dict[str, str], said: str) -> None:
    code = opened(files)
    for _ in range(2):  # what failed once fails again, the same way
        found = refusal(lambda: code.load("a.py:f"))
        assert said in found, found
        assert str(code.folder) not in found


def test_a_reference_that_is_none_is_told(opened: Open) -> None:
    code = opened({"a.py": "f = 1"})
    for wrong in ("a.py", "a:f", "../a.py:f", "a.py:f.g", "a.py:", ":f", ""):
        assert "FILE.py:NAME" in refusal(lambda wrong=wrong: code.load(wrong))


BODY = {
    "a.py": (
        "import helpers, signal, os\n"
        "def fails(n):\n"
        "    return helpers.divide(n)\n"
        "def inside():\n"
        "    return sorted([3, 0], key=fails)\n"
        "def full():\n"
        "    raise OSError(28, 'No space left')\n"
        "def memory():\n"
        "    raise MemoryError\n"
        "def one(x): ...\n"
        "def killed():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    signal.pause()\n"
    ),
    "helpers.py": "def divide(n):\n    return 1 / n\n",
}


def test_what_a_function_raises_is_told_with_the_user_s_line(opened: Open, capsys: pytest.CaptureFixture[str]) -> None:
    code = opened(BODY)

    def call(name: str, *values: object, log: bool = False) -> Callable[[], object]:
        def run() -> None:
            with code.blamed(f"prepare a.py:{name}", log=log):
                code.load(f"a.py:{name}")(*values)

        return run

    assert refusal(call("inside")) == "prepare a.py:inside: helpers.py:2: ZeroDivisionError: division by zero"
    assert refusal(call("one")).startswith("prepare a.py:one: TypeError: one() missing 1 required positional argument")
    with pytest.raises(EnvironmentFault, match=r"a.py:7: OSError: \[Errno 28\] No space left"):
        call("full")()
    with pytest.raises(EnvironmentFault, match=r"a.py:9: MemoryError"):
        call("memory")()
    assert capsys.readouterr().err == ""
    refusal(call("fails", 0, log=True))
    said = capsys.readouterr().err
    assert 'File "a.py", line 3, in fails' in said
    assert 'File "helpers.py", line 2, in divide' in said
    assert PREFIX not in said
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            call("killed")()
    finally:
        signal.signal(signal.SIGINT, before)


def test_one_blame_serves_many_blocks(opened: Open) -> None:
    blame = opened(BODY).blamed("step")
    for _ in range(2):
        with pytest.raises(BadInput, match="step: ValueError: x"), blame:
            raise ValueError("x")
        with blame:
            pass


@pytest.mark.parametrize(
    "error", [BadInput("x"), EnvironmentFault("x"), Stopped(15), KeyboardInterrupt(), GeneratorExit()]
)
def test_what_is_not_the_user_s_passes(opened: Open, error: BaseException) -> None:
    code = opened(BODY)
    with pytest.raises(type(error)) as caught, code.blamed("step"):
        raise error
    assert caught.value is error


STEP = """
import sys
from sluice.steps.step import step
from sluice.project.code import open_code
assert "pathspec" not in sys.modules, "what opens code must not need what packs it"
with step("prepare", {}):
    open_code(sys.argv[1]).load("a.py:f")
"""


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("def f(): ...", 0, ""),
        ("\nraise ValueError('mine')", 2, "a.py:2: ValueError: mine"),
        ("import sys; sys.exit(0)", 2, "it ends the program"),
        ("raise KeyboardInterrupt", 2, "a.py:1: KeyboardInterrupt"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nsignal.pause()", 128 + signal.SIGTERM, ""),
    ],
)
def test_a_step_ends_with_one_line_and_the_right_exit_code(tmp_path: Path, text: str, code: int, said: str) -> None:
    store = open_store(str(tmp_path / "store"))
    key = publish(store, pack({"a.py": text.encode()}))
    variables = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "SLUICE_STORE": store.uri}
    variables |= {"SLUICE_HOME": str(tmp_path / "home"), "SLUICE_TERMINATION_LOG": str(tmp_path / "last_words")}
    done = subprocess.run(
        [sys.executable, "-c", STEP, key], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert said in done.stdout
    if code == 2:
        assert len(done.stdout.splitlines()) == 1
        last_words = (tmp_path / "last_words").read_text()
        assert last_words.startswith("step prepare failed with exit code 2: a.py cannot be imported: a.py:")
        assert said in last_words


def test_nothing_of_an_archive_with_another_digest_is_run(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    key = publish(store, pack({"a.py": b"f = 1"}))
    evil = pack({"a.py": f"open({str(tmp_path / 'run')!r}, 'w')".encode()})
    path = store.local_path(key)
    assert path
    path.write_bytes(evil.data)
    assert "nothing of it was run" in refusal(lambda: open_code(f"{store.uri}/{key}", cache=tmp_path / "cache"))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()


def test_what_lies_on_the_disk_is_not_what_is_run(opened: Open) -> None:
    """Imports come from the verified bytes: whoever can write to the folder changes no code."""
    code = opened({"a.py": "from b import f", "b.py": "def f(): return 'right'"})
    code.folder.chmod(0o755)
    for name in ("a.py", "b.py"):
        (code.folder / name).chmod(0o644)
        (code.folder / name).write_text("f = lambda: 'wrong'")
    (code.folder / "__init__.py").write_text("raise ValueError")
    assert code.load("a.py:f")() == "right"


def test_the_lineage_names_the_archive_that_a_dataset_was_made_by(tmp_path: Path) -> None:
    """As a parameter the code is part of the id; a manifest without it keeps its own."""
    store, digest = open_store(str(tmp_path / "store")), pack({"a.py": b"f = 1"}).digest
    (tmp_path / "rows").write_text("1")
    made = {
        given: publish_folder(
            store, tmp_path, "dataset", producer("prepare", {"code": given} if given else {}), files=()
        )
        for given in ("", digest, f"s3://bucket/code/{digest}.zip", "code/x.zip")
    }
    assert [origin(bundle).code for bundle in made.values()] == ["", digest, digest, ""]
    assert len({bundle.id for bundle in made.values()}) == 4
    facts = ModelFacts("m", "1", (), "d", "c", "r", "run", "e", "", "", "env", "p", "r")
    out = io.StringIO()
    show(Lineage(facts, (origin(made[digest]),), (), None, None), Console(file=out, width=200))
    assert f"project's code code/{digest}.zip" in out.getvalue()
