"""The digest of a model's files: what the registry records, and what is compared before a model is used."""

from pathlib import Path

from sluice.core.digests import sha256_file, sha256_json
from sluice.core.errors import BadInput

DIGEST = "sluice.model_digest"
CODE_DIGEST = "sluice.code_digest"
_MANIFEST = "manifest.json"  # a published folder's, which describes the files and is none of the model's


def model_digest(folder: Path) -> str:
    """SHA-256 over the paths, sizes and digests of a model's files: what the registry records and a server checks."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _MANIFEST)
    return sha256_json([[p.relative_to(folder).as_posix(), p.stat().st_size, sha256_file(p)] for p in paths])


def code_digest(folder: Path) -> str:
    """The same over the code that travels with a model; what Python itself caches beside it is left out."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in paths])


def check_code(folder: Path, digest: str) -> None:
    """Compare the code that travels with a model with the digest that was registered for it.

    Raises:
        BadInput: It differs, or there is none.
    """
    if not folder.is_dir() or code_digest(folder) != digest:
        raise BadInput(
            f"{folder}: the code differs from the registered digest {digest[:12]}; "
            "do not use it: restore the files from a copy, or register the model again"
        )


def check_digest(folder: Path, digest: str, where: str) -> None:
    """Compare a model's files with the digest that was registered for them.

    Raises:
        BadInput: They differ, or there are none.
    """
    if not folder.is_dir() or model_digest(folder) != digest:
        raise BadInput(
            f"{where}: the model's files differ from the registered digest {digest[:12] or '(none)'}; "
            "do not use it: restore the files from a copy, or point the alias to another version"
        )
