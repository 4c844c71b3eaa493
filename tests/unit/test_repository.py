"""What the repository promises: its shape, its locks, its Makefile, its import contracts."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
STEPS = sorted(p for p in (ROOT / "components").iterdir() if p.is_dir() and p.name not in ("common", "__pycache__"))
IMAGES = ("build", "model-server", "platform", "tabular", "torch")
LOCKS = {
    path.relative_to(ROOT / "requirements").with_suffix("").as_posix(): path.read_text()
    for path in sorted((ROOT / "requirements").rglob("*.txt"))
}
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;]+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)
MODULES = [p for folder in ("components", "pipelines", "platform", "tests") for p in (ROOT / folder).rglob("*.py")]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_platform_is_no_package() -> None:
    assert not (ROOT / "platform/__init__.py").exists()
    done = run(sys.executable, "-c", "import platform; print(platform.python_version())")
    assert done.stdout.strip() == ".".join(map(str, sys.version_info[:3])), done.stderr


@pytest.mark.parametrize("name", ["platform", "types", "logging"])  # sluice.operator is reached by that name alone
def test_no_module_hides_one_of_pythons_own(name: str) -> None:
    """A package inside `sluice` hides nothing: it is called by its whole name."""
    packages = [p.parent for p in MODULES if p.name == "__init__.py" and p.parent.parent.name != "sluice"]
    assert not [p for p in [*MODULES, *packages] if p.stem == name]


def test_the_environment_is_read_and_set_in_one_place() -> None:
    """But for KFP's driver, which runs in an image of its own that holds nothing else of Sluice."""
    touched = re.compile(r"\bos\.(environ|getenv|putenv|unsetenv)\b|from os import .*environ")
    places = {
        p.relative_to(ROOT) for p in MODULES if p.parts[len(ROOT.parts)] != "tests" and touched.search(p.read_text())
    }
    assert {place for place in places if place.parts[:2] == ("platform", "sluice")} == {
        Path("platform/sluice/core/environment.py"),
        Path("platform/sluice/cluster/driver_plugin.py"),
    }
    assert not {place for place in places if place.parts[0] in ("components", "pipelines")}


@pytest.mark.parametrize("folder", STEPS, ids=lambda path: path.name)
def test_a_step_has_a_face_a_card_and_a_readme(folder: Path) -> None:
    face = (folder / "component.py").read_text()
    assert len(face.splitlines()) <= 70
    assert "packages_to_install" not in face
    assert "from __future__" not in face, "KFP cannot read annotations that are strings"
    assert (folder / "__init__.py").read_text().strip().startswith('"""')
    assert yaml.safe_load((folder / "metadata.yaml").read_text())["name"]
    assert len((folder / "README.md").read_text().splitlines()) > 10


def targets() -> dict[str, str]:
    return dict(re.findall(r"^([a-z][a-z-]*):(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_makefile_has_few_targets_and_explains_each() -> None:
    shown = run("make", "help").stdout
    explained = dict(re.findall(r"^make (\S+)\s+(\S.*\.)$", shown, re.MULTILINE))
    assert set(explained) == set(targets())
    assert len(explained) <= 20
    assert run("make").stdout == shown


def test_documents_name_only_targets_that_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z]+)\b", (ROOT / name).read_text(), re.MULTILINE))
        assert named
        assert named <= set(targets()), name


def test_the_import_contracts_hold() -> None:
    done = run(shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports", "--no-cache")
    assert done.returncode == 0, done.stdout


def pins(lock: str) -> set[tuple[str, str, str]]:
    return set(PIN.findall(LOCKS[lock]))


@pytest.mark.parametrize("name", sorted(LOCKS))
def test_a_lock_has_hashes_and_names_no_place(name: str) -> None:
    requirements = [line for line in LOCKS[name].splitlines() if line and not line.lstrip().startswith(("#", "--hash"))]
    assert len(requirements) == len(pins(name)) > 5
    assert LOCKS[name].count("--hash=sha256:") >= len(requirements)
    assert not re.search(r"https?:|file:|--(index|extra-index|find-links|trusted)|(^|\s)/\w", LOCKS[name], re.MULTILINE)


def test_the_locks_agree() -> None:
    """One version of everything, on laptops and in images; `build` holds only what makes an image."""
    assert sorted(LOCKS) == ["bootstrap", "demo", "dev", *(f"images/{name}" for name in IMAGES)]
    assert pins("demo") <= pins("dev")
    for name in ("tabular", "torch"):
        assert pins(f"images/{name}") <= pins("demo"), name
    assert pins("images/platform") <= pins("dev")
    versions = {(name, version) for name, version, _ in pins("dev")}
    both = {name for name, _ in versions} & {name for name, _, _ in pins("bootstrap")}
    assert both
    assert {(name, version) for name, version, _ in pins("bootstrap") if name in both} <= versions


def test_the_locks_follow_from_pyproject() -> None:
    """Every direct dependency is in the lock that should have it, at a version that its range allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    base = project["project"]["dependencies"]

    def with_extras(*names: str) -> list[str]:
        return [*base, *(wanted for name in names for wanted in extras[name])]

    direct = {
        "demo": with_extras(*sorted(extras.keys() - {"all", "operator", "server", "spark"})),
        "dev": [*with_extras("operator", "server", "spark"), *groups["dev"]],
        "bootstrap": groups["bootstrap"],
        "images/tabular": with_extras("cli", "tracking", "tabular", "images", "serve", "demo"),
        "images/torch": with_extras("torch"),
        "images/platform": with_extras("cli", "operator", "server", "demo"),
        "images/build": groups["image"],
        "images/model-server": groups["model-server"],
    }
    for lock, texts in direct.items():
        for wanted in map(Requirement, texts):
            name = re.sub(r"[-_.]+", "-", wanted.name).lower()
            found = [version for pinned, version, _ in pins(lock) if pinned == name]
            assert found, f"{wanted} is not in requirements/{lock}.txt: run `make lock`"
            assert all(wanted.specifier.contains(v, prereleases=True) for v in found), f"{wanted}: run `make lock`"


def opens_text_by_the_locale(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    words = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    text = (name == "read_text" and not call.args) or name == "write_text"
    text |= name == "open" and any(word and set(word) <= set("rwxat+") for word in words)
    return text and not any(keyword.arg == "encoding" for keyword in call.keywords)


def test_every_text_file_is_opened_with_its_encoding() -> None:
    """Ruff's rule sees a path only where it is called one; in a locale without UTF-8 the others break a run."""
    missing = []
    for path in (path for path in MODULES if "tests" not in path.relative_to(ROOT).parts):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        missing += [f"{path.relative_to(ROOT)}:{call.lineno}" for call in calls if opens_text_by_the_locale(call)]
    assert missing == []


def test_rich_markup_is_escaped_in_one_place() -> None:
    """`sluice.running.terminal.plain` also shows what a terminal would obey."""
    users = [path.name for path in (ROOT / "platform/sluice").rglob("*.py") if "rich.markup" in path.read_text("utf-8")]
    assert users == ["terminal.py"]


def test_tests_of_one_group_run_in_one_process(tmp_path: Path) -> None:
    """What takes long to make is made once in `make test`: pytest and pytest-xdist understand each other."""
    (tmp_path / "test_it.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('name', 'abcd')\n"
        "def test_it(name): pathlib.Path(name).write_text(str(os.getpid()))\n"
    )
    words = ("-n", "2", "--dist", "loadgroup", "-q", "-p", "no:cacheprovider", "--rootdir", ".")
    subprocess.run([sys.executable, "-m", "pytest", *words, "."], cwd=tmp_path, check=True, capture_output=True)
    assert len({(tmp_path / name).read_text() for name in "abcd"}) == 1
