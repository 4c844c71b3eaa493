"""Where a published folder comes from: its manifests back through the parents, to the files of the lake."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluice.artifacts.bundles import Bundle, bundle_key, open_bundle
from sluice.artifacts.manifests import MANIFEST, Kind
from sluice.core.errors import BadInput
from sluice.storage.stores import Store

_CODE = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PARTS = ("train", "validation", "test")
_KINDS: tuple[Kind, ...] = ("dataset", "model")


@dataclass(frozen=True)
class Source:
    """One file or table that was read from the lake.

    Attributes:
        table: The dataset's table that it became.
        path: Where it was read.
        sha256: Digest of its content.
        bytes: Its size, where known.
        rows: Rows read from it, where known.
    """

    table: str
    path: str
    sha256: str
    bytes: int | None
    rows: int | None


@dataclass(frozen=True)
class Origin:
    """One published folder on the way to a model.

    Attributes:
        step: The step that made it.
        kind: `dataset` or `model`.
        id: Its content address.
        parents: The ids that it was made from.
        rows: For a dataset, the rows by table.
        parameters: The step's parameters.
        design: For a sample or a split, its design: strata with probabilities, parts, boundaries.
        sources: For the first step, what it read from the lake.
        commit: Of the code, with `+dirty` when files differed from it.
        environment: Digest of the installed packages.
        image: The container's, or empty.
        pipeline: The pipeline's name, or empty.
        run: The pipeline run that made it first; a later one may have used it again.
        created: UTC, ISO 8601.
        changes: SHA-256 of the patch with what differed from the commit, or empty.
        code: SHA-256 of the archive with the project's code that made it, or empty; see `project_code`.
    """

    step: str
    kind: str
    id: str
    parents: tuple[str, ...]
    rows: dict[str, int]
    parameters: dict[str, Any]
    design: dict[str, Any]
    sources: tuple[Source, ...]
    commit: str
    environment: str
    image: str
    pipeline: str
    run: str
    created: str
    changes: str = ""
    code: str = ""


def find_bundle(store: Store, bundle_id: str) -> Bundle:
    """The published folder with an id, of whichever kind.

    Raises:
        BadInput: The store has none.
    """
    for kind in _KINDS:
        prefix = bundle_key(kind, bundle_id)
        if store.exists(f"{prefix}/{MANIFEST}"):
            return open_bundle(f"{store.uri}/{prefix}")
    raise BadInput(f"{store.uri} holds no dataset or model {bundle_id}: it was removed, or SLUICE_STORE is another one")


def ancestry(store: Store, bundle_id: str) -> list[Bundle]:
    """A published folder and all it was made from, parents before children.

    Raises:
        BadInput: One of them is not in the store.
    """
    done: dict[str, Bundle] = {}

    def visit(wanted: str) -> None:
        if wanted in done:
            return
        bundle = find_bundle(store, wanted)
        for parent in bundle.manifest.parents:
            visit(parent)
        done[wanted] = bundle

    visit(bundle_id)
    return list(done.values())


def origin(bundle: Bundle) -> Origin:
    """What a manifest says of where its folder comes from."""
    manifest, made = bundle.manifest, bundle.manifest.producer
    return Origin(
        step=made.step,
        kind=manifest.kind,
        id=bundle.id,
        parents=manifest.parents,
        rows={name: manifest.tables[name].rows for name in sorted(manifest.tables, key=_place)},
        parameters=made.parameters,
        design=manifest.design,
        sources=() if manifest.parents else _sources(bundle),
        commit=made.commit,
        changes=made.changes,
        environment=made.environment,
        image=made.image,
        pipeline=made.pipeline,
        run=made.run,
        created=made.created,
        code=project_code(made.parameters),
    )


def project_code(parameters: Mapping[str, Any]) -> str:
    """SHA-256 of the project's code among a step's parameters, by the name `code`: as digest or as address, or empty.

    Being a parameter, it is part of the id of what the step made, and of KFP's cache key.
    """
    found = _CODE.search(str(parameters.get("code") or ""))
    return found[0] if found else ""


def _place(table: str) -> tuple[int, str]:
    """The parts of a split in the order of their use; other tables by name."""
    return (_PARTS.index(table) if table in _PARTS else len(_PARTS), table)


def _sources(bundle: Bundle) -> tuple[Source, ...]:
    entries: list[dict[str, Any]] = bundle.manifest.details.get("sources") or []
    return tuple(
        Source(
            table=str(entry.get("table", "")),
            path=str(entry["path"]),
            sha256=str(entry["sha256"]),
            bytes=entry.get("bytes"),
            rows=entry.get("rows"),
        )
        for entry in entries
    )
