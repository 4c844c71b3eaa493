"""`sluice doctor`: whether this machine has what Sluice needs, each finding with the way out."""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sluice.core.errors import SluiceError
from sluice.core.home import home
from sluice.core.setting_checks import check_settings
from sluice.storage.locations import default_store

Level = Literal["ok", "warning", "error"]
DISK_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class DoctorFinding:
    """One thing looked at: what, how it stands, and what to do when it does not."""

    name: str
    level: Level
    message: str


def examine() -> Iterator[DoctorFinding]:
    """Look at Python, packages, settings, disk, store, tracking and champions, one finding at a time."""
    for check in (_python, _packages, _settings, _memory, _disk, _store, _tracking, champions, _java):
        try:
            yield check()
        except SluiceError as error:
            yield DoctorFinding(check.__name__.strip("_"), "error", str(error))


def _python() -> DoctorFinding:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return DoctorFinding("python", "ok", f"{version} at {sys.executable}")
    return DoctorFinding(
        "python", "error", f"{version} is outside 3.11 to 3.13; make the environment with another Python"
    )


def _packages() -> DoctorFinding:
    wanted = ("kfp", "mlflow", "duckdb", "ibis-framework", "scikit-learn", "torch", "minio")
    versions, missing = [], []
    for name in wanted:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return DoctorFinding(
            "packages", "error", f"{', '.join(missing)} missing; run `make demo`, or pip install 'sluice[all]'"
        )
    return DoctorFinding("packages", "ok", ", ".join(versions))


def _settings() -> DoctorFinding:
    check_settings()
    return DoctorFinding("settings", "ok", "every variable that is set can be used; docs/settings.md lists them")


def _memory() -> DoctorFinding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    level: Level = "ok" if total >= 4 else "warning"
    return DoctorFinding("memory", level, f"{total:.0f} GiB and {os.cpu_count()} cores; the demo wants 4 GiB")


def _disk() -> DoctorFinding:
    place = home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 1024**3:.1f} GiB free at {place}"
    if free < DISK_BYTES:
        return DoctorFinding("disk", "error", f"{text}; free some, or point SLUICE_HOME at another disk")
    return DoctorFinding("disk", "ok", text)


def _store() -> DoctorFinding:
    store = default_store()
    key = f"doctor/{os.urandom(4).hex()}"
    store.put_bytes(key, b"doctor")
    overwritten = store.put_if_absent(key, b"again") or store.get_bytes(key) != b"doctor"
    store.delete(key)
    if overwritten:
        return DoctorFinding(
            "store",
            "error",
            f"{store.uri} writes over what is there in spite of `If-None-Match: *`: of two runs at once one could wipe "
            "out the other's promotion record; use a server that honours conditional puts",
        )
    return DoctorFinding("store", "ok", f"{store.uri} can be written, read and deleted from")


def _tracking() -> DoctorFinding:
    from sluice.registry.mlflow_access import mlflow_module, tracking_exists, tracking_faults, tracking_uri

    if not tracking_exists():
        return DoctorFinding("tracking", "ok", f"MLflow's database will be made at {tracking_uri()}")
    with tracking_faults():
        count = len(mlflow_module().MlflowClient().search_registered_models())
    return DoctorFinding("tracking", "ok", f"MLflow answers, {count} registered models")


def champions() -> DoctorFinding:
    """Whether each registered model's champion is the one of its promotion records."""
    from sluice.registry.champions import standing

    store = default_store()
    recorded = {key.split("/")[1] for key in store.keys("promotions/")}
    names = sorted(recorded | set(_own_models()))
    found = [standing(store, name) for name in names]
    behind = [each.chain.model for each in found if not each.settled]
    if behind:
        return DoctorFinding(
            "champions",
            "error",
            f"decisions about {', '.join(behind)} are written but not carried out: a run is at it, or was killed; "
            "a run of the pipeline carries them out",
        )
    reigning = sum(each.champion is not None for each in found)
    return DoctorFinding("champions", "ok", f"{reigning} of {len(names)} models have one, as the promotion records say")


def _own_models() -> list[str]:
    """Registered models that Sluice keeps records of, or whose champion it registered: others' are none of ours."""
    from sluice.modeling.model_digests import DIGEST
    from sluice.registry.champions import HEAD
    from sluice.registry.versions import CHAMPION, registered_models, registry_entry, version_by_alias

    def own(model: str) -> bool:
        entry, champion = registry_entry(model), version_by_alias(model, CHAMPION)
        return bool((entry and HEAD in entry.tags) or (champion and DIGEST in champion.tags))

    return [model for model in registered_models() if own(model)]


def _java() -> DoctorFinding:
    if shutil.which("java"):
        return DoctorFinding("java", "ok", "there, for sampling on Spark")
    return DoctorFinding("java", "warning", "no `java` on the PATH: only sampling on Spark needs it (17 or newer)")
