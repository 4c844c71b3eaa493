"""Whether a release's KFP, object store and MLflow answer, and its champions are the recorded ones, each for itself."""

from collections.abc import Callable, Iterator

from sluice.cluster.access import Target
from sluice.cluster.connection import OBJECT_STORE, TRACKING, Cluster, connected
from sluice.cluster.forwarding import LOOK
from sluice.cluster.kfp_api import KfpApi
from sluice.cluster.step_environment import NAME
from sluice.core.environment import changed_variables
from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.core.variable_groups.tracking import TrackingVariables
from sluice.running.doctor import DoctorFinding, champions
from sluice.storage.stores import plain_address

# A server that is ill is to be told, not waited for: MLflow's client would try for minutes.
IMPATIENT = {TrackingVariables.retries.name: "1", TrackingVariables.timeout.name: "10"}


def services(target: Target) -> Iterator[DoctorFinding]:
    """Ask each of them; a way that leads nowhere is told of that one alone."""
    answering = {"kfp": _asked(target, "kfp", (), _kfp)}
    yield answering["kfp"]
    for name, needs, look in (("s3", (OBJECT_STORE,), _object_store), ("mlflow", (TRACKING,), _mlflow)):
        answering[name] = _asked(target, name, needs, look)
        yield answering[name]
    if all(answering[name].level == "ok" for name in ("s3", "mlflow")):
        yield _asked(target, "champions", (OBJECT_STORE, TRACKING), lambda _: champions())


def _asked(
    target: Target, name: str, needs: tuple[str, ...], look: Callable[[Cluster], DoctorFinding]
) -> DoctorFinding:
    try:
        with connected(target, needs, kfp=not needs) as cluster, changed_variables({**cluster.variables, **IMPATIENT}):
            return look(cluster)
    except SluiceError as error:
        return DoctorFinding(name, "error", str(error).removesuffix(f"; {LOOK}"))  # that is what looks here


def _kfp(cluster: Cluster) -> DoctorFinding:
    return DoctorFinding("kfp", "ok", f"version {KfpApi(cluster.kfp).version()} answers")


def _object_store(_: Cluster) -> DoctorFinding:
    from sluice.storage.locations import default_store

    store = default_store()
    store.exists("doctor")
    return DoctorFinding("s3", "ok", f"{plain_address(store.uri)} answers")


def _mlflow(_: Cluster) -> DoctorFinding:
    from sluice.registry.mlflow_access import mlflow_module, tracking_faults

    if not settings().tracking.uri:
        return DoctorFinding(
            "mlflow", "warning", f"{NAME} names no tracking server: nothing is registered for good there"
        )
    with tracking_faults():
        count = len(mlflow_module().MlflowClient().search_registered_models())
    return DoctorFinding("mlflow", "ok", f"answers, {count} registered models")
