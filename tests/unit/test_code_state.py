"""Which code ran: what differs from the commit is kept, makes the code again, and holds nothing else."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from sluice.artifacts import code_state
from sluice.artifacts.bundles import publish
from sluice.artifacts.code_state import CodeState, changes_key, keep_changes, short_commit
from sluice.artifacts.producer import CHANGES, COMMIT, producer
from sluice.artifacts.provenance import origin
from sluice.cli import lineage_tree
from sluice.components.report.run import parameters_section
from sluice.core.digests import sha256_bytes
from sluice.running.lineage import Lineage, ModelFacts
from sluice.storage.stores import open_store

FILES = {
    "platform/sluice/__init__.py": "",
    "components/step/step.py": "value = 1\n",
    "components/step/README.md": "A step\n",
    "components/step/page.html": "<p>\n",
    "components/step/picture.png": "\0\1binary",
    "pipelines/one.py": "one = 1\n",
    "platform/sluice/cli/main.py": "cli = 1\n",
    "docs/guide.md": "Guide\n",
    "pyproject.toml": "[project]\n",
}


def git(root: Path, *words: str) -> str:
    own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    own |= {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", *words], cwd=root, env=os.environ | own, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def state(root: Path) -> CodeState:
    code_state.code_state.cache_clear()
    return code_state.code_state(root)


def test_another_project_s_repository_is_not_ours(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR as git sets it for hooks; an index and a work tree of another project."""
    own = state(checkout)
    other = tmp_path / "other"
    shutil.copytree(checkout, other)
    git(other, "commit", "-qm", "second", "--allow-empty")
    for name, value in (("DIR", ".git"), ("WORK_TREE", ""), ("INDEX_FILE", ".git/index")):
        monkeypatch.setenv(f"GIT_{name}", str(other / value))
    assert state(checkout) == own
    assert state(other).commit not in ("unknown", own.commit)


def test_code_that_was_copied_into_another_project_has_no_commit(checkout: Path) -> None:
    shutil.copytree(checkout, checkout / "vendor", ignore=shutil.ignore_patterns(".git"))
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "vendored")
    assert state(checkout / "vendor") == CodeState("unknown", b"")


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("components", "pipelines", "platform")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    assert state(checkout) == CodeState(git(checkout, "rev-parse", "HEAD"), b"")
    for name in ("docs/guide.md", "components/step/README.md", "docs/new.py", "notes.py"):
        (checkout / name).write_text("A comma, and nothing that a step runs")
    assert state(checkout) == CodeState(git(checkout, "rev-parse", "HEAD"), b"")


def test_the_patch_makes_the_code_again(checkout: Path, tmp_path: Path) -> None:
    (checkout / "components/step/step.py").write_text("value = 2\n")
    (checkout / "components/step/picture.png").write_bytes(bytes(range(256)))
    (checkout / "components/new step/größe.py").parent.mkdir()
    (checkout / "components/new step/größe.py").write_text("new = 1")
    (checkout / "pipelines/one.py").unlink()
    git(checkout, "add", "pipelines")
    git(checkout, "mv", "platform/sluice/cli/main.py", "platform/sluice/moved.py")
    found = state(checkout)
    assert found.commit == git(checkout, "rev-parse", "HEAD") + "+dirty"
    store = open_store(str(tmp_path / "store"))
    digest = keep_changes(store, found)
    assert list(store.keys()) == [f"code/{digest}.patch"]
    kept = store.get_bytes(changes_key(digest))
    assert sha256_bytes(kept) == digest
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    git(again, "checkout", "-q", found.commit.removesuffix("+dirty"))
    (tmp_path / "patch").write_bytes(kept)
    git(again, "apply", str(tmp_path / "patch"))
    assert content(again) == content(checkout)
    assert state(checkout) == found, "the same changes have the same digest"


def test_what_may_be_a_secret_is_named_and_not_kept(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".gitignore").write_text("*.key\n")
    (checkout / "components/step/server.key").write_text("ignored-secret")
    (checkout / "components/step/.env").write_text("PASSWORD=open-sesame")
    (checkout / "secret.py").write_text("outside = 'the packages'")
    (checkout / "pipelines/one.py").write_text("one = 2\n")
    found = state(checkout)
    digest = sha256_bytes(b"PASSWORD=open-sesame")
    assert f"# new and not kept: {digest} components/step/.env" in found.patch.decode()
    for word in (b"open-sesame", b"ignored-secret", b"the packages"):
        assert word not in found.patch
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(checkout), str(again))
    (tmp_path / "patch").write_bytes(found.patch)
    git(again, "apply", str(tmp_path / "patch"))
    assert (again / "pipelines/one.py").read_text() == "one = 2\n"


def test_a_patch_is_bounded(checkout: Path) -> None:
    text = "x" * code_state.MOST_BYTES
    (checkout / "pipelines/one.py").write_text(text)
    (checkout / "pipelines/two.py").write_text(text)
    lines = state(checkout).patch.decode().splitlines()
    assert [line.split()[-2:] for line in lines] == [
        [sha256_bytes(text.encode()), "pipelines/one.py"],
        [sha256_bytes(text.encode()), "pipelines/two.py"],
    ]
    assert all("bytes are too many" in line for line in lines)


def test_outside_a_checkout_of_sluice_the_code_is_unknown(checkout: Path, tmp_path: Path) -> None:
    assert state(tmp_path / "nowhere").commit == "unknown"
    inside = checkout / "lib/site-packages"
    shutil.copytree(checkout / "components", inside / "components")
    assert state(inside).commit == "unknown", "the commit of a project that Sluice is installed in is not Sluice's"


def test_a_published_folder_names_what_differed(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / "pipelines/one.py").write_text("one = 2\n")
    found = state(checkout)
    for module in ("sluice.artifacts.producer", "sluice.artifacts.bundles"):
        monkeypatch.setattr(f"{module}.code_state", lambda: found)
    for name in (COMMIT, CHANGES):
        monkeypatch.delenv(name, raising=False)
    store = open_store(str(tmp_path / "store"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/rows").write_text("1")
    bundle = publish(store, tmp_path / "folder", "dataset", producer("sample", {}))
    made = bundle.manifest.producer
    assert (made.commit, made.changes) == (found.commit, found.digest)
    assert store.get_bytes(changes_key(made.changes)) == found.patch
    monkeypatch.setenv(COMMIT, "abc+dirty")
    assert producer("sample", {}).changes == "", "an image holds its code; no patch of this machine belongs to it"


def test_people_see_that_the_commit_is_not_all(checkout: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef" * 2 + "01234567"
    assert short_commit(commit) == "0123456789ab"
    assert short_commit(f"{commit}+dirty") == "0123456789ab+dirty"
    assert short_commit("unknown") == "unknown"
    (tmp_path / "rows").write_text("1")
    made = producer("sample", {"seed": 1})
    made = type(made)(**(made.__dict__ | {"commit": f"{commit}+dirty", "changes": "f" * 64}))
    bundle = publish(open_store(str(tmp_path / "store")), tmp_path, "dataset", made, files=())
    facts = ModelFacts(
        "m", "1", (), "d", "c", "r", "run", "e", f"{commit}+dirty", "/store/code/f.patch", "env", "p", "r"
    )
    out = io.StringIO()
    lineage_tree.show(Lineage(facts, (origin(bundle),), (), None, None), Console(file=out, width=200))
    assert f"commit 0123456789ab+dirty changes {'f' * 12}" in out.getvalue()
    assert f"commit {commit}+dirty" in out.getvalue()
    assert "changes /store/code/f.patch" in out.getvalue()
    assert "0123456789ab+dirty" in str(parameters_section([origin(bundle)]))
