"""The manifest: what a published folder holds, where it came from, and the id that follows from both.

A folder in a store is *published* once its `manifest.json` stands there; the manifest is written last, so a reader
never sees half a folder. The id is the SHA-256 over the files' digests, the tables with their rows, the derivation
(parents, step, parameters, sampling design) and the details (sources, contract, task, …): two roads to the same bytes
are two datasets, and each keeps its own history. Time, commit, run and notes are recorded but stay outside the id, so
the same work done again lands on the same address; what guards them is said in `sluice.registry.evidence`.

Manifests of version 1, from before 2026-12, have ids over files and derivation alone; they are read as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from sluice.core.digests import sha256_json
from sluice.core.errors import BadInput
from sluice.core.json_documents import parse_json

MANIFEST = "manifest.json"
VERSION = 2
_READABLE = (1, VERSION)
Kind = Literal["dataset", "model"]


@dataclass(frozen=True)
class FileEntry:
    """One file of a published folder.

    Attributes:
        path: Relative to the folder, with forward slashes.
        size: In bytes.
        sha256: Hex digest of the content.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class TableEntry:
    """One table of a dataset: its Parquet files, their number of rows, and the columns' Arrow types by name."""

    files: tuple[str, ...]
    rows: int
    columns: dict[str, str]


@dataclass(frozen=True)
class Producer:
    """What made a folder.

    Attributes:
        step: The step's name, e.g. `sample`.
        parameters: The step's parameters, as JSON values: part of the id.
        pipeline: The pipeline's name, or empty when a step ran by itself.
        run: The pipeline run's id.
        commit: The git commit of the code, with `+dirty` when files differed from it.
        changes: SHA-256 of the patch that makes the code from the commit, kept in the store; empty where none differed.
        environment: SHA-256 of the installed packages and their versions.
        image: The container image, or empty outside a container.
        created: UTC time, ISO 8601.
    """

    step: str
    parameters: dict[str, Any] = field(default_factory=dict)
    pipeline: str = ""
    run: str = ""
    commit: str = ""
    changes: str = ""
    environment: str = ""
    image: str = ""
    created: str = ""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        kind: `dataset` or `model`.
        files: Every file but the manifest, sorted by path.
        producer: What made it.
        parents: Ids of the folders it was made from.
        tables: For a dataset, its tables by name.
        design: For a sample, the sampling design: strategy, seed, inclusion probabilities by stratum.
        details: What else belongs to the content (source files and their digests, contract, task, counts, …): part of
            the id, so it must follow from the inputs alone, on whichever machine.
        notes: What may differ from run to run and from place to place (addresses, timings, …); no part of the id.
        version: Of the manifest's form, which decides how the id is computed.
    """

    kind: Kind
    files: tuple[FileEntry, ...]
    producer: Producer
    parents: tuple[str, ...] = ()
    tables: dict[str, TableEntry] = field(default_factory=dict)
    design: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    @property
    def id(self) -> str:
        """The content address, 64 hex characters."""
        derivation = {
            "parents": list(self.parents),
            "step": self.producer.step,
            "parameters": self.producer.parameters,
            "design": self.design,
        }
        content: dict[str, Any] = {
            "kind": self.kind,
            "files": [[f.path, f.size, f.sha256] for f in self.files],
            "derivation": derivation,
        }
        if self.version > 1:
            tables = {name: asdict(table) for name, table in self.tables.items()}
            content |= {"version": self.version, "tables": tables, "details": self.details}
        return sha256_json(content)

    def to_json(self) -> bytes:
        """The bytes of `manifest.json`; the id stands in them for people and is recomputed on reading."""
        body = {"id": self.id, **asdict(self)}
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Read a manifest, refusing one that is malformed or whose id does not follow from its content.

    Args:
        data: The bytes of `manifest.json`.
        where: The address shown in errors.

    Raises:
        BadInput: It is not JSON, misses a field, is of another version, or its id differs.
    """
    try:
        manifest, stated = _from_body(parse_json(data, f"{where}/{MANIFEST}"), where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"{where}/{MANIFEST} is not a manifest ({error!r}); publish the folder again") from None
    if manifest.id != stated:
        raise BadInput(
            f"{where}/{MANIFEST} does not match: it states id {stated[:12]} but its content gives {manifest.id[:12]}; "
            "restore the folder from a copy or make it again"
        )
    return manifest


def _from_body(body: Mapping[str, Any], where: str) -> tuple[Manifest, str]:
    version = body["version"]
    if version not in _READABLE or isinstance(version, bool):
        raise BadInput(f"{where}/{MANIFEST} has version {version}; this Sluice reads version {VERSION} and earlier")
    if body["kind"] not in ("dataset", "model"):
        raise ValueError(f"kind {body['kind']!r}")
    tables = {
        name: TableEntry(tuple(table["files"]), _rows(table["rows"]), _mapping(table["columns"]))
        for name, table in body["tables"].items()
    }
    manifest = Manifest(
        kind=body["kind"],
        files=tuple(_file(entry) for entry in body["files"]),
        producer=Producer(**body["producer"]),
        parents=tuple(body["parents"]),
        tables=tables,
        design=_mapping(body["design"]),
        details=_mapping(body["details"]),
        notes=_mapping(body["notes"]) if version > 1 else {},
        version=int(version),
    )
    # A reader of tables opens these paths, so they too must be among the files whose digests it has checked.
    unlisted = {path for table in tables.values() for path in table.files} - {entry.path for entry in manifest.files}
    if unlisted:
        raise ValueError(f"table file {min(unlisted)!r} not among the files")
    return manifest, str(body["id"])


def _mapping(value: object) -> dict[str, Any]:
    """An object of JSON; a list of pairs, which `dict` would take for one, is none."""
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:40]!r} is no object")
    return dict(value)


def _rows(number: object) -> int:
    if type(number) is not int or number < 1:
        raise ValueError(f"rows {number!r}")
    return number


def _file(body: Mapping[str, Any]) -> FileEntry:
    """A file's entry; its path must stay inside the folder, whoever wrote the manifest."""
    entry = FileEntry(**body)
    parts = PurePosixPath(entry.path).parts
    if not parts or parts[0] == "/" or ".." in parts or entry.path == MANIFEST:
        raise ValueError(f"path {entry.path!r}")
    return entry
