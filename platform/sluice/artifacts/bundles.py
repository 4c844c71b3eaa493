"""Publishing a folder to a store under its content address, and opening it again with every digest checked."""

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.artifacts.code_state import code_state, keep_changes
from sluice.artifacts.manifests import MANIFEST, FileEntry, Kind, Manifest, Producer, TableEntry, parse_manifest
from sluice.core.digests import canonical_json, sha256_bytes, sha256_file
from sluice.core.errors import BadInput
from sluice.core.files import STAGING, faults, inside
from sluice.core.inner_files import told_by
from sluice.core.settings import settings
from sluice.storage.stores import Store, open_store

_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w-]{1,100}", re.ASCII)  # a run's id that can stand in a file's name


@dataclass(frozen=True)
class Bundle:
    """A published folder.

    Attributes:
        uri: Its address: the store's address, the kind, the id.
        manifest: What it holds and where it came from.
        manifest_digest: SHA-256 of `manifest.json` as it stands in the store.
    """

    uri: str
    manifest: Manifest
    manifest_digest: str = ""

    @property
    def id(self) -> str:
        """The content address, 64 hex characters."""
        return self.manifest.id

    @property
    def rows(self) -> int:
        """Rows over all tables."""
        return sum(table.rows for table in self.manifest.tables.values())

    def metadata(self) -> dict[str, Any]:
        """What a KFP artifact says of it. Nothing here changes from run to run: KFP's cache compares it."""
        shown: dict[str, Any] = {"id": self.id, "step": self.manifest.producer.step}
        if self.manifest.tables:
            shown["rows"] = {name: table.rows for name, table in self.manifest.tables.items()}
        return shown


def file_entries(folder: Path) -> tuple[FileEntry, ...]:
    """The files of a folder with sizes (bytes) and SHA-256 digests, sorted by path."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    return tuple(FileEntry(p.relative_to(folder).as_posix(), p.stat().st_size, sha256_file(p)) for p in paths)


def publish(
    store: Store,
    folder: Path,
    kind: Kind,
    producer: Producer,
    *,
    parents: tuple[str, ...] = (),
    tables: Mapping[str, TableEntry] | None = None,
    design: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
    files: tuple[FileEntry, ...] | None = None,
    move: bool = False,
) -> Bundle:
    """Publish a local folder: its files first, the manifest last. Publishing the same again changes nothing.

    Args:
        store: Where to.
        folder: The local folder; it stays as it is unless `move` is set.
        kind: `dataset` or `model`.
        producer: What made it; its parameters are part of the id.
        parents: Ids it was made from.
        tables: For a dataset, its tables.
        design: For a sample, its sampling design.
        details: What else belongs to its content, as JSON values: part of the id.
        notes: What may differ from run to run; not part of the id.
        files: The digests, where the writer has already computed them.
        move: The folder's files are no longer needed, and may be renamed into a local store.

    Raises:
        EnvironmentFault: The store failed. What it holds then has no manifest, and no reader takes it.
    """
    manifest = Manifest(
        kind=kind,
        files=files if files is not None else file_entries(folder),
        producer=producer,
        parents=parents,
        tables=dict(tables or {}),
        design=dict(design or {}),
        details=_json_values(details or {}),
        notes=_json_values(notes or {}),
    )
    prefix = bundle_key(kind, manifest.id)
    if store.exists(f"{prefix}/{MANIFEST}"):
        return open_bundle(f"{store.uri}/{prefix}")
    if producer.changes and producer.changes == code_state().digest:
        keep_changes(store, code_state())
    for entry in manifest.files:
        store.put_file(f"{prefix}/{entry.path}", folder / entry.path, move=move)
    data = manifest.to_json()
    if not store.put_if_absent(f"{prefix}/{MANIFEST}", data):  # another run was first: its commit and time count
        return open_bundle(f"{store.uri}/{prefix}")
    return Bundle(f"{store.uri}/{prefix}", manifest, sha256_bytes(data))


def _json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """As a reader will find them: tuples become lists, keys strings, so that the id is that of what was written."""
    body: dict[str, Any] = json.loads(canonical_json(values))
    return body


@contextmanager
def workspace(store: Store) -> Iterator[Path]:
    """A temporary folder to write a bundle's files in; a local store's own disk holds it, so publishing can rename.

    Its name begins with that of the pipeline run, so that what a killed run leaves can be removed.

    Raises:
        EnvironmentFault: The store's disk is full, read-only or denies access.
    """
    place = store.local_path(MANIFEST)
    with ExitStack() as stack:
        if place is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-"))
        else:
            with faults(store.uri):
                place.parent.mkdir(parents=True, exist_ok=True)
                name = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix=staging_prefix(settings().run.run), dir=place.parent)
                )
        yield Path(name)


def staging_prefix(run: str) -> str:
    """What the names of a pipeline run's workspaces begin with; `STAGING` alone where no name can hold the run's id."""
    return f"{STAGING}{run}-" if _NAME.fullmatch(run) else STAGING


def bundle_key(kind: Kind, bundle_id: str) -> str:
    """Where a folder of this kind and id stands in any store."""
    return f"{kind}s/{bundle_id}"


def open_bundle(uri: str, kind: Kind | None = None) -> Bundle:
    """Read and check the manifest of a published folder; the files are checked when they are read.

    Raises:
        BadInput: There is no manifest (the folder was never finished), it does not match itself or the folder's name,
            or it is of another kind.
    """
    store = open_store(uri)
    if not store.exists(MANIFEST):
        raise BadInput(f"{uri} has no {MANIFEST}: it was never published whole; run the step that makes it again")
    data = store.get_bytes(MANIFEST)
    manifest = parse_manifest(data, uri)
    if kind and manifest.kind != kind:
        raise BadInput(f"{uri} is a {manifest.kind}, where a {kind} is wanted")
    _check_address(uri, manifest)
    return Bundle(uri, manifest, sha256_bytes(data))


def _check_address(uri: str, manifest: Manifest) -> None:
    """Refuse a manifest that agrees with itself, but not with the id that its parents' children and records name."""
    stated = uri.rstrip("/").rpartition("/")[2]
    if _ID.fullmatch(stated) and stated != manifest.id:
        raise BadInput(
            f"{uri}/{MANIFEST} does not match its address: its content gives the id {manifest.id[:12]}; "
            "restore the folder from a copy or make it again"
        )


@contextmanager
def local_copy(bundle: Bundle) -> Iterator[Path]:
    """The folder's files on this machine, each with its digest checked, for the time of the `with` block.

    A local store's folder is used where it lies; a remote one is copied to a temporary folder. A refusal in the block
    that names one of the files begins with the folder's address.

    Raises:
        BadInput: A file is missing, truncated or changed.
    """
    store = open_store(bundle.uri)
    place = store.local_path(MANIFEST)
    if place is not None:
        for entry in bundle.manifest.files:
            check_file(inside(place.parent, entry.path), entry, bundle.uri)
        with told_by(bundle.uri, place.parent):
            yield place.parent
        return
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        folder = Path(name)
        for entry in bundle.manifest.files:
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(entry.path, target)
            check_file(target, entry, bundle.uri)
        with told_by(bundle.uri, folder):
            yield folder


def check_file(path: Path, entry: FileEntry, where: str) -> None:
    """Compare a file with its manifest entry, the cheap comparison first.

    Raises:
        BadInput: It is missing, of another size, or of another digest.
    """
    way_out = "restore it from a copy, or delete the folder and run the step again"
    if not path.is_file():
        raise BadInput(f"{where}/{entry.path} is missing, though the manifest lists it; {way_out}")
    size = path.stat().st_size
    if size != entry.size:
        raise BadInput(f"{where}/{entry.path} has {size} bytes where the manifest says {entry.size}; {way_out}")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{where}/{entry.path} cannot be read; check its mode")
    if sha256_file(path) != entry.sha256:
        raise BadInput(f"{where}/{entry.path} differs from its SHA-256 in the manifest; {way_out}")
