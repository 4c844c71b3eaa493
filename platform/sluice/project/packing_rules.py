"""Which files of a project may go along with a run, and why the others stay.

Three kinds of rules, the strictest first:

- never: version control, environments, caches, Sluice's own home, and whatever may be a secret, by its name or because
  it holds a private key. No setting changes that.
- `.sluiceignore`, then `.gitignore`, in the project's folders and, for `.gitignore`, in those above it up to the
  repository's: the syntax of git, read by the package pathspec. The last line that matches decides, the nearest file
  first; a `!line` in `.sluiceignore` brings back what the next kind leaves out.
- by default: data, models, pictures, logs and built files.

What is listed by name in the project (`files:`), or imported, goes along whatever the last two kinds say.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from sluice.core.errors import BadInput
from sluice.core.files import faults

_GIT, _OWN = ".gitignore", ".sluiceignore"
_RULES_BYTES = 1 << 20
_CACHES = """
.git .hg .svn .bzr .jj CVS
.sluice .staging-* mlruns mlartifacts mlflow.db
.venv venv .tox .nox .direnv site-packages node_modules __pypackages__ *.egg-info .eggs
__pycache__ *.py[cod] .mypy_cache .ruff_cache .pytest_cache .hypothesis .ipynb_checkpoints .cache .coverage
.DS_Store Thumbs.db .idea .vscode *~ *.swp
"""
_SECRETS = """
.env .env.* *.env .envrc .netrc _netrc .pgpass .my.cnf .npmrc .pypirc .htpasswd .git-credentials .dockercfg
.aws .azure .gcloud .config .docker .gnupg .kube .password-store .ssh .terraform .databrickscfg
*.pem *.key *.p8 *.p12 *.pfx *.jks *.keystore *.kdbx *.asc *.gpg *.ovpn *.ppk *.tfstate *.tfstate.*
id_rsa* id_dsa* id_ecdsa* id_ed25519* *_rsa *_ed25519
credentials credentials.* *credentials.json *credentials.y*ml *credentials.toml *credentials.ini client_secret*
secret secrets secret.* secrets.* *secret*.y*ml *secrets.toml *service[-_]account*.json *token.json
kubeconfig kubeconfig.*
"""
_DEFAULT = """
/data/ /lake/ /lakes/ /runs/ /reports/ /build/ /dist/ /htmlcov/
*.csv *.tsv *.csv.gz *.jsonl *.ndjson *.parquet *.arrow *.feather *.orc *.avro *.xls *.xlsx *.sas7bdat *.dta
*.sqlite *.sqlite3 *.db *.duckdb *.npy *.npz *.h5 *.hdf5 *.mat *.pkl *.pickle *.joblib *.pt *.pth *.ckpt *.safetensors
*.onnx *.zip *.tar *.gz *.tgz *.bz2 *.xz *.zst *.7z *.whl *.so *.dylib *.dll *.exe
*.png *.jpg *.jpeg *.gif *.webp *.tif *.tiff *.bmp *.pdf *.mp3 *.mp4 *.wav *.log *.bak *.tmp *.orig
"""
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_MOST_BLOCK = 8192


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that stays where it is.

    Attributes:
        path: In the project, with forward slashes; a folder's ends with one and stands for all in it.
        reason: In a few words.
    """

    path: str
    reason: str


def _spec(words: str) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(words.split())


_NEVER = (
    (_spec(_CACHES.lower()), "never goes along: a cache, an environment or a tool's own folder"),
    (_spec(_SECRETS), "never goes along: by its name it may hold a secret"),
)
_BY_DEFAULT = _spec(_DEFAULT)


def never(path: str) -> str:
    """Why a file or folder may never go along; empty where nothing of the kind is known of its name.

    Args:
        path: In the project; a folder's ends with `/`. Upper and lower case count as the same.
    """
    return next((reason for spec, reason in _NEVER if spec.check_file(path.lower()).include), "")


def refuse_content(data: bytes) -> str:
    """Why a file of this content may never go along, or an empty text."""
    return "never goes along: it holds a private key" if _PRIVATE_KEY.search(data) else ""


def is_binary(data: bytes) -> bool:
    """Whether a file is no text: it has a NUL near its begin (as git has it), or is not UTF-8."""
    if b"\0" in data[:_MOST_BLOCK]:
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def without_outputs(data: bytes) -> bytes | None:
    """A notebook without what its cells gave: outputs may hold rows of the data. None where it is no notebook."""
    try:
        body = json.loads(data)
        for cell in body["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
            cell.pop("attachments", None)
        body.get("metadata", {}).pop("widgets", None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


class Rules:
    """The rules of one project's folder."""

    def __init__(self, folder: Path) -> None:
        """Reads the files of rules of the folders above; those inside are read on the way.

        Raises:
            BadInput: A line of such a file is no pattern.
        """
        self._folder = folder
        self._specs: dict[tuple[str, str], GitIgnoreSpec | None] = {}
        self._above = list(_above(folder))

    def reason(self, path: str) -> str:
        """Why a file or folder stays, or an empty text; the folders above it are not asked.

        Args:
            path: In the project, with forward slashes; a folder's ends with one.

        Raises:
            BadInput: A line of a file of rules is no pattern.
        """
        if found := never(path):
            return found
        own = self._decision(path, _OWN)
        if own is not None:
            return own
        if found := self._decision(path, _GIT) or self._decision_above(path):
            return found
        if _BY_DEFAULT.check_file(path.lower()).include:
            return "data or a built file, by its name; list it under `files:` if a step needs it"
        return ""

    def _decision(self, path: str, name: str) -> str | None:
        """What the files of rules of one name say: a reason, empty for a `!line`, None where no line matches."""
        for base, spec in self._nearest(path, name):
            stays = spec.check_file(path[len(base) :]).include
            if stays is not None:
                return f"{base}{name}" if stays else ""
        return None

    def _decision_above(self, path: str) -> str:
        for prefix, spec in self._above:
            stays = spec.check_file(prefix + path).include
            if stays is not None:
                return f"{_GIT} of the repository" if stays else ""
        return ""

    def _nearest(self, path: str, name: str) -> Iterator[tuple[str, GitIgnoreSpec]]:
        """The files of rules from the path's own folder up to the project's, each with its folder (`a/b/`)."""
        parts = path.rstrip("/").split("/")[:-1]
        for depth in range(len(parts), -1, -1):
            base = "".join(f"{part}/" for part in parts[:depth])
            if (base, name) not in self._specs:
                self._specs[base, name] = _read_rules(self._folder / base / name)
            spec = self._specs[base, name]
            if spec is not None:
                yield base, spec


def _above(folder: Path) -> Iterator[tuple[str, GitIgnoreSpec]]:
    """The repository's `.gitignore` files above a project's folder, each with the way from there to the project."""
    if (folder / ".git").exists():
        return
    found = []
    for place in folder.parents:
        if (spec := _read_rules(place / _GIT)) is not None:
            found.append((f"{folder.relative_to(place).as_posix()}/", spec))
        if (place / ".git").exists():
            yield from found
            return


def _read_rules(path: Path) -> GitIgnoreSpec | None:
    if not path.is_file():
        return None
    with faults(str(path)):
        data = path.read_bytes()[:_RULES_BYTES]
    lines = data.decode("utf-8-sig", "surrogateescape").splitlines()
    _check(path, lines)
    return GitIgnoreSpec.from_lines(lines)


def _check(path: Path, lines: Iterable[str]) -> None:
    for number, line in enumerate(lines, 1):
        try:
            GitIgnoreSpec.from_lines([line])
        except ValueError:
            raise BadInput(f"{path}:{number}: {line!r} is no pattern of git's; correct or remove the line") from None
