"""Looking at what is there: runs, datasets, models; each found again by the beginning of its id.

What is shown is read from the records of runs, the manifests in the store and MLflow's registry; nothing is kept beside
them that could say something else.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sluice.artifacts.bundles import bundle_key, open_bundle
from sluice.artifacts.manifests import MANIFEST, Kind, Manifest, parse_manifest
from sluice.core.errors import BadInput
from sluice.core.words import near
from sluice.registry.mlflow_access import tracking_exists
from sluice.registry.versions import parse_reference, registered_models
from sluice.running.run_records import LAST, RunRecord, all_runs, find_run, runs_named
from sluice.storage.stores import Store

LEAST_CHARACTERS = 4  # of an id's beginning
_KINDS: tuple[Kind, ...] = ("dataset", "model")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_MOST_NAMED = 5
_SHORT = 12  # characters of an id, as people are shown it


@dataclass(frozen=True)
class Published:
    """A dataset, or a folder of trained models, in the store.

    Attributes:
        id: Its content address.
        kind: `dataset` or `model`.
        step: The step that made it.
        tables: Rows by table; empty for models.
        created: When it was made first: UTC, ISO 8601.
        run: The run that made it first.
        pipeline: That run's pipeline.
        bytes: Of all its files.
    """

    id: str
    kind: Kind
    step: str
    tables: dict[str, int]
    created: str
    run: str
    pipeline: str
    bytes: int


@dataclass(frozen=True)
class Found:
    """What an id means.

    Attributes:
        kind: What it is.
        id: Its whole id; of a registered model, `MODEL/version`.
        body: All that is known of it, as JSON values.
    """

    kind: Literal["run", "dataset", "models", "model"]
    id: str
    body: dict[str, Any]


def published(store: Store, kind: Kind = "dataset", *, step: str = "", run: str = "") -> list[Published]:
    """What a store holds of one kind, newest first.

    Args:
        store: Where.
        kind: `dataset`, or `model` for folders of trained models.
        step: Only what this step made.
        run: Only what this run made first; its id's beginning will do.

    Raises:
        EnvironmentFault: The store failed.
        BadInput: A manifest was changed, or the step is unknown to all of them.
    """
    everything = [_published(manifest) for manifest in _manifests(store, f"{kind}s/")]
    made_by = {each.step for each in everything}
    if step and everything and step not in made_by:
        raise BadInput(f"no {kind} was made by a step {step!r}{near(step, made_by)}; made by: {', '.join(made_by)}")
    wanted = [each for each in everything if step in ("", each.step) and each.run.startswith(run)]
    return sorted(wanted, key=lambda each: (each.created, each.id), reverse=True)


def _manifests(store: Store, prefix: str) -> Iterable[Manifest]:
    for key in store.keys(prefix):
        if key.count("/") == 2 and key.endswith(f"/{MANIFEST}"):
            yield parse_manifest(store.get_bytes(key), f"{store.uri}/{key.removesuffix(f'/{MANIFEST}')}")


def _published(manifest: Manifest) -> Published:
    made = manifest.producer
    tables = {name: table.rows for name, table in manifest.tables.items()}
    size = sum(entry.size for entry in manifest.files)
    return Published(manifest.id, manifest.kind, made.step, tables, made.created, made.run, made.pipeline, size)


def find(reference: str, store: Store) -> Found:
    """What an id, or its beginning, means.

    Args:
        reference: Of a run (or `last`), a dataset, a folder of trained models; or `MODEL`, `MODEL@alias`,
            `MODEL/version` of a registered one.
        store: Where datasets are.

    Raises:
        BadInput: It means nothing, or several things, which the message names.
        EnvironmentFault: The store or MLflow is down.
    """
    if reference == LAST:
        return _run(find_run(LAST))
    if len(reference) < LEAST_CHARACTERS and not _is_registered(reference):
        raise BadInput(f"{reference!r} is short for an id; write at least {LEAST_CHARACTERS} characters of it")
    meant: list[tuple[str, Any]] = [("run", run) for run in runs_named(reference, all_runs())]
    if _HEX.fullmatch(reference):
        meant += [(kind, each) for kind in _KINDS for each in _ids(store, kind, reference)]
    if not meant and _is_registered(reference):
        return _registered(reference)
    if len(meant) == 1:
        kind, one = meant[0]
        return _run(one) if kind == "run" else _bundle(store, "dataset" if kind == "dataset" else "model", one)
    if meant:
        named = [f"{kind} {one.id if kind == 'run' else one[:_SHORT]}" for kind, one in meant[:_MOST_NAMED]]
        more = f" and {len(meant) - _MOST_NAMED} more" if len(meant) > _MOST_NAMED else ""
        raise BadInput(f"{reference!r} may be {', '.join(named)}{more}; write more of the id")
    names = [run.id for run in all_runs()] + (registered_models() if tracking_exists() else [])
    raise BadInput(
        f"{reference!r} is no run of this machine, no dataset of {store.uri} and no registered model"
        f"{near(reference, names)}; `sluice runs` and `sluice datasets` list them"
    )


def _is_registered(reference: str) -> bool:
    if not tracking_exists():
        return False
    try:
        return parse_reference(reference)[0] in registered_models()
    except BadInput:
        return False


def _ids(store: Store, kind: Kind, prefix: str) -> list[str]:
    keys = (key.split("/") for key in store.keys(f"{kind}s/{prefix}"))
    return sorted({parts[1] for parts in keys if len(parts) > 2})


def _run(run: RunRecord) -> Found:
    return Found("run", run.id, run.model_dump(by_alias=True))


def _bundle(store: Store, kind: Kind, bundle_id: str) -> Found:
    opened = open_bundle(f"{store.uri}/{bundle_key(kind, bundle_id)}")
    manifest, made = opened.manifest, opened.manifest.producer
    body = asdict(_published(manifest)) | {
        "uri": opened.uri,
        "columns": {name: table.columns for name, table in manifest.tables.items()},
        "parents": list(manifest.parents),
        "parameters": made.parameters,
        "design": manifest.design,
        "commit": made.commit,
        "changes": made.changes,
        "image": made.image,
        "details": manifest.details,
        "files": [asdict(entry) for entry in manifest.files],
    }
    return Found("dataset" if kind == "dataset" else "models", bundle_id, body)


def _registered(reference: str) -> Found:
    from sluice.running.lineage import find_version

    version = find_version(reference)
    body = asdict(version) | {"created": datetime.fromtimestamp(version.created / 1000, UTC).isoformat()}
    return Found("model", f"{version.model}/{version.version}", body)
