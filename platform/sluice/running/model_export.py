"""From a registered version to the folder that is served: the published one, or one that is made now."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sluice.artifacts.provenance import ancestry, find_bundle
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.exporting.published import published_folder
from sluice.exporting.publishing import JudgedModel, told, write_served
from sluice.exporting.served_files import ServedModel, Source, read_served_model
from sluice.registry.evidence import check_evidence
from sluice.registry.served import SERVED
from sluice.registry.versions import Version, version_files
from sluice.storage.locations import default_store


def export_version(version: Version, folder: Path) -> ServedModel:
    """Write a version's served model: that of its registration, else one that is made and judged now.

    Args:
        version: Registered; its files and the manifests behind it are checked.
        folder: Is there, and empty.

    Raises:
        NotExportable: No form of serving says what the model says.
        BadInput: Files or manifests were changed since it was registered, or the rows it was judged by are gone.
        EnvironmentFault: The registry or the store is down.
    """
    if version.tags.get(SERVED):
        with published(version) as found:
            shutil.copytree(found, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        return read_served_model(folder)
    return _made(version, folder)


@contextmanager
def published(version: Version) -> Iterator[Path]:
    """The served folder that was published when a version was registered, each file's SHA-256 checked.

    Raises:
        BadInput: There is none, or it was changed.
        EnvironmentFault: The store is down.
    """
    name = f"{version.model}/{version.version}"
    with published_folder(default_store(), version.tags.get(SERVED, ""), version.digest, name) as folder:
        yield folder


def _made(version: Version, folder: Path) -> ServedModel:
    store = default_store()
    models, splits = version.tags.get("sluice.models"), version.tags.get("sluice.splits")
    lineage = ancestry(store, models) if models else []
    check_evidence(store, version, lineage, ())
    if not splits:
        raise BadInput(f"{version.model}/{version.version} names no dataset that it was judged by; register it again")
    candidate = version.tags.get("sluice.candidate", "")
    source = Source(models=models, candidate=candidate) if models and candidate else None
    with version_files(version) as files:
        judged = JudgedModel(version.model, version.digest, files, find_bundle(store, splits), lineage, source)
        served = write_served(store, judged, folder)
    progress(f"{version.model}/{version.version} is served so: {told(served)}")
    return served
