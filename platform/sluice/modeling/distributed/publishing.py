"""What rank 0 does at the end: learn the baselines, publish all as one bundle, and leave word where it is."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from sluice.artifacts.bundles import Bundle, publish
from sluice.artifacts.producer import producer
from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.core.termination_message import read_message
from sluice.features.learned_inputs import learn_inputs, row_wise_features
from sluice.features.model_inputs import write_inputs
from sluice.modeling.catalogue import candidates_for, network_for
from sluice.modeling.categories import pooled_values
from sluice.modeling.distributed.job_settings import Job
from sluice.modeling.model_files import save_model
from sluice.modeling.parts import Parts
from sluice.modeling.rounds import Fitted
from sluice.modeling.training_records import (
    TRAINING,
    candidate_record,
    environment,
    timings,
    train_candidate,
    with_threshold,
)
from sluice.modeling.training_settings import TrainingSettings
from sluice.storage.stores import Store

STEP = "train_distributed"
RESULT = "result.json"


def publish_models(store: Store, job: Job, source: Bundle, parts: Parts, fitted: Fitted) -> Bundle:
    """Publish the network beside the baselines, with a record like that of the step train, and name the bundle.

    Args:
        store: Where to.
        job: What was asked for.
        source: The dataset learned from.
        parts: Its rows.
        fitted: The trained network.

    Raises:
        EnvironmentFault: The store failed.
    """
    settings = TrainingSettings(seed=job.learning.seed)
    candidates = [candidate for candidate in candidates_for(parts.task) if candidate.baseline]
    trained = [train_candidate(candidate, parts, settings) for candidate in candidates]
    network = replace(network_for(parts.task), settings=job.learning.settings())
    trained.append(with_threshold(network, fitted, parts))
    with tempfile.TemporaryDirectory(prefix="sluice-") as name:
        folder = Path(name)
        row_wise = row_wise_features(store, source, parts.task)
        inputs = learn_inputs(parts.train.rows, parts.task, row_wise)
        for entry in trained:
            save_model(folder / entry.candidate.name, entry.fitted.model, parts.task, entry.threshold)
            write_inputs(folder / entry.candidate.name, inputs)
        record = {"candidates": [candidate_record(entry, "epochs") for entry in trained], "seed": job.learning.seed}
        (folder / TRAINING).write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
        details = {
            **parts.task.details(),
            "pooled_values": pooled_values(parts),
            "rows": {"train": len(parts.train.labels), "validation": len(parts.validation.labels)},
        }
        notes = {"timings": timings(trained), "environment": environment(trained, settings.threads)}
        made_by = producer(STEP, job.learning.parameters())
        bundle = publish(store, folder, "model", made_by, parents=(source.id,), details=details, notes=notes)
    store.put_bytes(f"{job.key}/{RESULT}", json.dumps({"models": bundle.uri}).encode())
    progress(f"published {bundle.uri}")
    return bundle


def last_words(text: str) -> SluiceError | None:
    """The error that a worker left as its termination message, in the worker's own words; None where there is none."""
    error = read_message(text)
    return type(error)(str(error).removeprefix(f"step {STEP}: ")) if error else None
