"""The commit that an image says it is of: a changed tree says so, whatever hides the change from `git status`."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def git(folder: Path, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=own, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small repository laid out like ours."""
    root = tmp_path / "checkout"
    for name in (
        "components/step/run.py",
        "platform/sluice/core/errors.py",
        "pipelines/one.py",
        "platform/sluice/cli/main.py",
        "requirements/a.txt",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".dockerignore"):
        (root / name).write_text("[project]\nversion = '1.0'\n")
    (root / ".gitignore").write_text("ignored.py\n__pycache__/\n")
    (root / "platform/images").mkdir()
    for name in ("build.py", "Dockerfile"):
        shutil.copyfile(ROOT / "platform/images" / name, root / "platform/images" / name)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")
    return root


def build_module(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_of_a_checkout", checkout / "platform/images/build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_unchanged_tree_is_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (checkout / "components/__pycache__").mkdir(parents=True)
    (checkout / "components/__pycache__/a.pyc").write_bytes(b"x")
    (checkout / "tests").mkdir()
    (checkout / "tests/new.py").write_text("not in an image\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    assert build_module(checkout).commit() == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    "change",
    [
        "edit platform/sluice/core/errors.py",
        "edit requirements/a.txt",
        "edit platform/images/Dockerfile",
        "edit README.md",
        "edit components/new.py",
        "edit components/ignored.py",
        "hide platform/sluice/core/errors.py",
        "skip platform/sluice/core/errors.py",
        "remove pipelines/one.py",
    ],
)
def test_a_changed_tree_says_so(checkout: Path, change: str) -> None:
    way, _, name = change.partition(" ")
    if way in ("hide", "skip"):
        git(checkout, "update-index", "--assume-unchanged" if way == "hide" else "--skip-worktree", name)
    if way == "remove":
        (checkout / name).unlink()
    else:
        (checkout / name).write_text("changed = True\n")
    assert build_module(checkout).commit() == git(checkout, "rev-parse", "HEAD") + "+dirty"


def test_a_copy_without_history_is_of_no_commit(checkout: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git"))
    assert build_module(copy).commit() == "unknown"
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "copy")
    git(tmp_path, "commit", "--quiet", "--message", "another project's")
    assert build_module(copy).commit() == "unknown"


def test_files_that_change_while_an_image_is_built_make_no_image(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, called = build_module(checkout), []

    def docker(*arguments: str, quiet: bool = True) -> str:
        called.append(arguments[:2])
        if arguments[0] == "build":
            (checkout / "pipelines/one.py").write_text("changed = True\n")
        return ""

    monkeypatch.setattr(module, "docker", docker)
    with pytest.raises(module.ImageError, match="files were changed while it was built"):
        module.build("tabular", "sluice/python-tabular:1", "1-abc", "base", "wheel", "driver")
    assert called == [("build", "--network"), ("image", "rm")]


@pytest.fixture
def engine(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with a docker that keeps each image's content label in a file: enough to build, find and look."""
    program, kept = tmp_path / "docker", tmp_path / "images"
    kept.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import sys\nfrom pathlib import Path\n"
        f"kept, words = Path({str(kept)!r}), sys.argv[1:]\n"
        "place = lambda reference: kept / reference.replace('/', '+')\n"
        "if words[0] == 'build':\n"
        "    label = [word.partition('=')[2] for word in words if word.startswith('CONTENT=')]\n"
        "    place(words[words.index('--tag') + 1]).write_text(label[0])\n"
        "elif words[:2] == ['image', 'ls'] and place(words[-1]).exists():\n"
        "    print('sha256:1')\n"
        "elif words[:2] == ['image', 'inspect']:\n"
        "    print(place(words[-1]).read_text())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("DOCKER", str(program))
    return build_module(checkout)


def test_an_image_under_a_name_of_ones_own_is_taken_again_only_with_the_same_content(
    engine: ModuleType,
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", "--tag", "mine"])
    engine.main()
    assert capsys.readouterr().out.count("built in") == 5
    engine.main()
    assert capsys.readouterr().out.count("there already") == 5
    before = (tmp_path / "images/sluice+platform:mine").read_text()
    (checkout / "platform/sluice/core/errors.py").write_text("x = 2\n")
    with pytest.raises(engine.ImageError) as refused:
        engine.main()
    assert str(refused.value).startswith(f"sluice/python-tabular:mine is there already and holds content {before}, not")
    assert "docker image rm sluice/python-tabular:mine" in str(refused.value)
    (tmp_path / "images/sluice+python-tabular:mine").write_text("")  # as images before this label
    with pytest.raises(engine.ImageError, match="holds content that it does not name"):
        engine.main()


def test_images_say_what_they_hold() -> None:
    labels = (ROOT / "platform/images/Dockerfile").read_text().count('dev.sluice.content="${CONTENT}"')
    assert labels == 3  # of the drivers' image, of model servers, and of the others
