"""What the workers left behind, read back and checked: the step ends well only when a whole bundle is there."""

import json
from pathlib import Path
from typing import Any

from components.common.bundles import Bundle, local_copy, open_bundle
from components.common.errors import EnvironmentFault
from components.common.json_documents import read_json
from components.common.models import load_model, read_threshold
from components.common.stores import Store
from components.common.tasks import task_of
from components.train.catalogue import Candidate, candidates_for
from components.train.records import Trained
from components.train.rounds import Fitted, Point
from components.train.training import TRAINING
from components.train_distributed.publishing import RESULT
from components.train_distributed.settings import Job


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


def _trained(folder: Path, candidate: Candidate, record: dict[str, Any], times: dict[str, Any]) -> Trained:
    return Trained(candidate, _fitted(folder, record, times), read_threshold(folder / candidate.name))


def _fitted(folder: Path, record: dict[str, Any], times: dict[str, Any]) -> Fitted:
    points = zip(record["curve"], times["rounds"], strict=True)
    curve = tuple(Point(**point, seconds=spent) for point, spent in points)
    kept = next(point for point in curve if point.round == record["kept_round"])
    model: Any = load_model(folder / record["name"])
    return Fitted(
        model, record["parameters"], curve, kept, record["stopped_by"], times["seconds"], times["cpu_seconds"]
    )
