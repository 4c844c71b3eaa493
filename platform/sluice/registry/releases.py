"""A model as one archive: a version with all that stands behind it, moved from one environment to the next as it is.

Nothing is built or trained again: every folder keeps its id, the version its digest and its tags, and the decision in
the next environment names those of the one before. `release.json` is the archive's first entry; under `objects/` lies
what the store holds, by its key there. What is in the next environment already is left alone.
"""

import os
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.artifacts.bundles import Bundle, bundle_key, local_copy
from sluice.artifacts.manifests import MANIFEST
from sluice.artifacts.provenance import ancestry, find_bundle, project_code
from sluice.core.digests import sha256_file
from sluice.core.errors import BadInput
from sluice.core.files import faults, written
from sluice.engine.datasets import read_dataset
from sluice.modeling.model_digests import check_digest
from sluice.problems.task import task_of
from sluice.project.archive import archive_key
from sluice.registry.champions import announce, carry_out, settled, standing
from sluice.registry.evidence import check_evidence, tags_digest
from sluice.registry.model_logging import Registration, add_version
from sluice.registry.promotions import Chain, Promotion, Ruling, record_promotion
from sluice.registry.served import SERVED
from sluice.registry.tracking import tracked_run
from sluice.registry.versions import Version, find_version, version_by_digest
from sluice.storage.stores import Store

SUFFIX = ".release.zip"
_RECORD, _OBJECTS, _ROWS = "release.json", "objects/", "example.parquet"
_TRAIN = "train"
_EXAMPLE_ROWS = 3
_FIRST_SECONDS = 315_619_200  # 1980-01-02: a zip knows no earlier year than 1980, in whatever time zone
_FIRST = (1980, 1, 1, 0, 0, 0)  # the same time for every entry: the same release gives the same bytes


class Release(BaseModel):
    """What the archive says of itself.

    Attributes:
        version_of_form: Of this form.
        model: The registered model.
        version: Its number where it was made; the next environment gives its own.
        digest: SHA-256 of the version's files.
        code: Addresses of the project's code behind it.
        tags: The version's tags that Sluice set.
        description: Of the version.
        records: The decisions about it, where it was made.
        objects: Keys of the store, in the order in which they are to be written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    version_of_form: Annotated[Literal[1], Field(alias="schema")] = 1
    model: str
    version: str
    digest: str
    code: tuple[str, ...]
    tags: dict[str, str]
    description: str
    records: tuple[dict[str, Any], ...]
    objects: tuple[str, ...]


def write_release(reference: str, store: Store, target: Path) -> Release:
    """Write a version with its evidence to an archive.

    Args:
        reference: `MODEL`, `MODEL@ALIAS` or `MODEL/VERSION`.
        store: Where its datasets and records are.
        target: The archive.

    Raises:
        BadInput: There is no such version, or what stands behind it was changed.
        EnvironmentFault: The store, the registry or the disk failed.
    """
    version = find_version(reference)
    chain = settled(store, version.model).chain
    records = [record for record in chain.records if record.version == version.version]
    lineage = ancestry(store, version.tags["sluice.models"])
    check_evidence(store, version, lineage, records)
    bundles = [*lineage, *([find_bundle(store, version.tags[SERVED])] if SERVED in version.tags else [])]
    code = tuple(
        dict.fromkeys(digest for each in bundles if (digest := project_code(each.manifest.producer.parameters)))
    )
    keys = [*map(archive_key, code), *(key for bundle in bundles for key in _keys(store, bundle))]
    release = Release(
        model=version.model,
        version=version.version,
        digest=version.digest,
        code=code,
        tags={name: value for name, value in version.tags.items() if name.startswith("sluice.")},
        description=f"Released from {version.model}/{version.version}.",
        records=tuple(asdict(each) for each in records),
        objects=tuple(dict.fromkeys(keys)),
    )
    with written(target) as out, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, _RECORD, release.model_dump_json(by_alias=True, indent=1).encode())
        with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
            example = Path(folder) / _ROWS
            _example(store, version).to_parquet(example)
            _add(archive, _ROWS, example.read_bytes())
            for key in release.objects:
                copied = Path(folder) / "object"
                store.get_file(key, copied)
                copied.chmod(0o600)
                os.utime(copied, (_FIRST_SECONDS, _FIRST_SECONDS))
                archive.write(copied, f"{_OBJECTS}{key}")
    return release


def read_release(path: Path) -> Release:
    """What an archive says of itself.

    Raises:
        BadInput: It is no release.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return Release.model_validate_json(archive.read(_RECORD))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise BadInput(f"{path} is no release ({error}); `sluice release MODEL` writes one") from None
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise BadInput(f"{path} is no release that this Sluice reads ({reason})") from None


def take_in(path: Path, store: Store, reason: str) -> Promotion:
    """Bring a release into an environment, and make its version champion there, on record.

    Args:
        path: The archive.
        store: The environment's.
        reason: Why; it stands in the record.

    Returns:
        The record: `appointed`, or that by which the version is champion already.

    Raises:
        BadInput: The archive is no release, something in it was changed, or the records here are wrong.
        EnvironmentFault: The store, the registry or the disk failed.
    """
    release = read_release(path)
    standing(store, release.model)
    _bring(path, release, store)
    version = version_by_digest(release.model, release.digest) or _registered(path, release, store)
    lineage = ancestry(store, release.tags["sluice.models"])
    check_evidence(store, version, lineage, ())
    evidence = {
        "tags": tags_digest(version.tags),
        "release": {"sha256": sha256_file(path), "version": release.version, "records": list(release.records)},
    }

    def ruling(chain: Chain) -> Ruling | Promotion:
        champion = chain.champion
        if champion and (champion.version, champion.digest) == (version.version, version.digest):
            return champion
        return Ruling("appointed", version.version, version.digest, reason, evidence)

    record = record_promotion(store, release.model, ruling, partial(announce, release.model))
    carry_out(store, release.model, by_record=True)
    return record


def _keys(store: Store, bundle: Bundle) -> Iterator[str]:
    """The objects of a published folder, its manifest last: it marks the folder whole."""
    kind = bundle.manifest.kind
    folder = bundle_key(kind, bundle.id)
    names = sorted(store.keys(f"{folder}/"), key=lambda key: (key == f"{folder}/{MANIFEST}", key))
    yield from names


def _example(store: Store, version: Version) -> pd.DataFrame:
    """Some rows of the features, as the registry keeps them for people."""
    data = find_bundle(store, version.tags["sluice.splits"])
    task = task_of(data)
    with read_dataset(data.uri) as (_, tables):
        table = tables[_TRAIN] if _TRAIN in tables else next(iter(tables.values()))
        rows: pd.DataFrame = table.select(*task.features).limit(_EXAMPLE_ROWS).to_pandas()
    return rows


def _bring(path: Path, release: Release, store: Store) -> None:
    """Write what the store lacks, in the archive's order: of each folder the manifest last."""
    with faults(str(path)), zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        for key in release.objects:
            if store.exists(key):
                continue
            try:
                target = Path(archive.extract(f"{_OBJECTS}{key}", folder))
            except (KeyError, zipfile.BadZipFile) as error:
                raise BadInput(f"{path}: {key} is missing or damaged ({error}); write the release again") from None
            store.put_file(key, target, move=True)


def _registered(path: Path, release: Release, store: Store) -> Version:
    """The version, registered here with the very files and tags."""
    models = find_bundle(store, release.tags["sluice.models"])
    data = find_bundle(store, release.tags["sluice.splits"])
    with (
        tempfile.TemporaryDirectory(prefix="sluice-") as scratch,
        local_copy(models) as folder,
        zipfile.ZipFile(path) as archive,
    ):
        files = folder / release.tags["sluice.candidate"]
        check_digest(files, release.digest, f"{models.uri}/{release.tags['sluice.candidate']}")
        rows = pd.read_parquet(archive.extract(_ROWS, scratch))
        with tracked_run("promote"):
            return add_version(
                Registration(task_of(data), files, release.digest, rows, dict(release.tags), release.description)
            )


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _FIRST), data)
