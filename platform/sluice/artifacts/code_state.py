"""Which code runs: its git commit, and what differs from it, kept as a patch that makes the code again.

`git checkout COMMIT && git apply FILE` gives the code of a run whose commit says `+dirty`. The patch holds changes of
the packages alone: of files that git tracks, and new `.py` files. Other new files are named with their digests, not
kept: what nobody has committed yet may be a secret.
"""

import functools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sluice.core.digests import sha256_bytes
from sluice.core.environment import variables
from sluice.storage.stores import Store

ROOT = Path(__file__).resolve().parents[3]
DIRTY, UNKNOWN = "+dirty", "unknown"
CODE = ("components", "pipelines", "platform/sluice", "pyproject.toml")
PAGES = ":(exclude,glob)**/README.md"  # no step reads them
MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class CodeState:
    """The code of this process.

    Attributes:
        commit: Of git, with `+dirty` when the packages' files differ from it; `unknown` outside a checkout.
        patch: What differs, for `git apply`; empty where nothing does.
    """

    commit: str
    patch: bytes

    @property
    def digest(self) -> str:
        """The patch's SHA-256, or empty where there is none."""
        return sha256_bytes(self.patch) if self.patch else ""


@functools.cache
def code_state(root: Path = ROOT) -> CodeState:
    """Ask git once; what changes later in this process's life does not change what it has imported."""
    try:
        # Else it is the checkout of a project that Sluice is installed in, or was copied into.
        if not Path(os.fsdecode(_git(root, "rev-parse", "--show-toplevel").rstrip(b"\n"))).samefile(root):
            return CodeState(UNKNOWN, b"")
        _git(root, "ls-files", "--error-unmatch", "platform/sluice/__init__.py")
        commit = _git(root, "rev-parse", "HEAD").decode().strip()
        patch = _patch(root)
    except (OSError, subprocess.CalledProcessError):
        return CodeState(UNKNOWN, b"")
    return CodeState(f"{commit}{DIRTY}" if patch else commit, patch)


def keep_changes(store: Store, state: CodeState) -> str:
    """Keep what differs from the commit under its digest; the digest, or empty where nothing differs.

    Raises:
        EnvironmentFault: The store failed.
    """
    if state.patch:
        store.put_if_absent(changes_key(state.digest), state.patch)
    return state.digest


def changes_key(digest: str) -> str:
    """Where a patch stands in any store."""
    return f"code/{digest}.patch"


def short_commit(commit: str) -> str:
    """A commit for people: its first 12 characters, and whether files differed from it."""
    return commit.removesuffix(DIRTY)[:12] + (DIRTY if commit.endswith(DIRTY) else "")


def _patch(root: Path) -> bytes:
    tracked = _git(root, "diff", *_PLAIN, "HEAD", "--", *CODE, PAGES)
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE, PAGES).split(b"\0")
    new = [name.decode("utf-8", "surrogateescape") for name in sorted(filter(None, listed))]
    kept = [_addition(root, name) for name in new if name.endswith(".py")]
    named = [name for name in new if not name.endswith(".py")]
    whole = b"".join((_notes(root, named, "new and not kept"), tracked, *kept))
    if len(whole) <= MOST_BYTES:
        return whole
    changed = _git(root, "diff", "--name-only", "-z", "HEAD", "--", *CODE, PAGES).decode("utf-8", "surrogateescape")
    return _notes(
        root, sorted({*filter(None, changed.split("\0")), *new}), f"not kept, {len(whole)} bytes are too many"
    )


_PLAIN = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index")


def _addition(root: Path, name: str) -> bytes:
    """A new file as a patch; `git diff --no-index` ends with 1 where files differ."""
    command = _command(root, "diff", *_PLAIN, "--no-index", "--", "/dev/null", name)
    return subprocess.run(command, check=False, capture_output=True, cwd=root, env=_environment()).stdout  # noqa: S603


def _notes(root: Path, names: list[str], why: str) -> bytes:
    """One line a file, which `git apply` passes over: it reads from the first line that starts with `diff`."""
    lines = []
    for name in names:
        path = root / name
        digest = sha256_bytes(path.read_bytes()) if path.is_file() else "removed"
        lines.append(f"# {why}: {digest} {name}\n".encode("utf-8", "surrogateescape"))
    return b"".join(lines)


def _git(root: Path, *arguments: str) -> bytes:
    command = _command(root, *arguments)
    return subprocess.run(command, check=True, capture_output=True, env=_environment()).stdout  # noqa: S603 - fixed words


def _environment() -> dict[str, str]:
    """Ours without git's own variables: GIT_DIR, which git sets for its hooks, is another project's repository."""
    return {name: value for name, value in variables().items() if not name.startswith("GIT_")}


def _command(root: Path, *arguments: str) -> list[str]:
    return ["git", "--no-optional-locks", "-c", "core.quotePath=false", "-C", str(root), *arguments]
