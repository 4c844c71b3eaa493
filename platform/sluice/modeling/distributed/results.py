"""What the workers left behind, read back and checked: the step ends well only when a whole bundle is there."""

import json
from pathlib import Path
from typing import Any

from sluice.artifacts.bundles import Bundle, local_copy, open_bundle
from sluice.core.errors import EnvironmentFault
from sluice.core.json_documents import read_json
from sluice.modeling.catalogue import Trainable, candidates_for
from sluice.modeling.distributed.job_settings import Job
from sluice.modeling.distributed.publishing import RESULT
from sluice.modeling.model_files import load_model, read_threshold
from sluice.modeling.rounds import Fitted
from sluice.modeling.training_records import TRAINING, Trained, read_point
from sluice.problems.task import task_of
from sluice.storage.stores import Store

_METRIC = "log_loss"


def published(store: Store, job: Job, source: Bundle) -> Bundle:
    """The bundle that rank 0 named at the end.

    Raises:
        EnvironmentFault: It named none, or one that was not made from these splits.
        BadInput: The bundle was never finished, or was changed.
    """
    key = f"{job.key}/{RESULT}"
    if not store.exists(key):
        raise EnvironmentFault(f"the workers ended, but {store.uri}/{key} is not there: nothing was published")
    bundle = open_bundle(str(json.loads(store.get_bytes(key))["models"]), "model")
    if bundle.manifest.parents != (source.id,):
        raise EnvironmentFault(f"{bundle.uri} was not made from {source.uri}; run the pipeline again")
    return bundle


def read_trained(bundle: Bundle) -> list[Trained]:
    """The candidates of a bundle as they were when they were trained, simplest first.

    Raises:
        BadInput: A file is missing or damaged.
    """
    known = {candidate.name: candidate for candidate in candidates_for(task_of(bundle))}
    times = bundle.manifest.notes["timings"]
    with local_copy(bundle) as folder:
        records = read_json(folder / TRAINING)["candidates"]
        return [_trained(folder, known[r["name"]], r, times[r["name"]]) for r in records]


def _trained(folder: Path, candidate: Trainable, record: dict[str, Any], times: dict[str, Any]) -> Trained:
    return Trained(candidate, _fitted(folder, record, times), read_threshold(folder / candidate.name))


def _fitted(folder: Path, record: dict[str, Any], times: dict[str, Any]) -> Fitted:
    points = zip(record["curve"], times["rounds"], strict=True)
    curve = tuple(read_point(point, _METRIC, spent) for point, spent in points)
    kept = next(point for point in curve if point.round == record["kept_round"])
    model: Any = load_model(folder / record["name"])
    return Fitted(
        model, record["parameters"], curve, kept, record["stopped_by"], times["seconds"], times["cpu_seconds"]
    )
