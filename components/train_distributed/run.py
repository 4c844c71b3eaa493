"""The step: start the workers (in a TrainJob, or here), wait for their bundle, and tell MLflow."""

import os
from dataclasses import asdict, dataclass

from sluice.artifacts.bundles import Bundle, open_bundle
from sluice.artifacts.producer import (
    CHANGES,
    COMMIT,
    ENVIRONMENT,
    code_changes,
    code_commit,
    code_environment,
)
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.run import RunVariables
from sluice.core.variable_groups.stores import S3Variables
from sluice.modeling.categories import pooled_words
from sluice.modeling.distributed.checkpoints import NAME
from sluice.modeling.distributed.job_settings import LOCAL, Job, Learning, Running
from sluice.modeling.distributed.job_settings import check_settings as check_settings
from sluice.modeling.distributed.naming import job_key, job_name
from sluice.modeling.distributed.processes import run_processes
from sluice.modeling.distributed.publishing import STEP
from sluice.modeling.distributed.results import published, read_trained
from sluice.problems.task import Task, task_of
from sluice.registry.tracked_training import track
from sluice.reporting.training_page import curves_page, weight_rules
from sluice.sampling.folds import folds_of
from sluice.storage.locations import STORE, default_store


@dataclass(frozen=True)
class DistributedResult:
    """What the step gives.

    Attributes:
        bundle: The published models.
        page: The HTML page with the learning curves.
        losses: Validation log loss in nats by candidate.
    """

    bundle: Bundle
    page: str
    losses: dict[str, float]


def run(splits: str, learning: Learning, running: Running) -> DistributedResult:
    """Train one network on several workers; without a cluster they are processes of this machine.

    Args:
        splits: The address of a dataset with the parts train and validation.
        learning: What decides the numbers.
        running: Where, and for how long.

    Raises:
        BadInput: The dataset cannot be learned from, its label is a number, or the runtime does not fit.
        EnvironmentFault: The cluster, the store or MLflow failed, or the workers did.
    """
    store, source = default_store(), open_bundle(splits, "dataset")
    if folds_of(source):
        raise BadInput(f"{splits} is divided into folds, of which several workers cannot train one by one; use train")
    if (task := task_of(source)).regression:
        raise BadInput(f"{splits}: {task.label!r} is a number, and several workers train for classes only; use train")
    if running.runtime == LOCAL or not settings().system.kubernetes_host:
        run_id = settings().run.run
        name = job_name(run_id or os.urandom(8).hex(), source.id, learning)
        job = Job(splits, job_key(run_id, name), learning, running.checkpoint_seconds)
        run_processes(job, running, provenance())
    else:
        from sluice.modeling.distributed.cluster import run_on_cluster

        job = run_on_cluster(source, learning, running, provenance())
    bundle = published(store, job, source)
    store.delete(f"{job.key}/{NAME}")
    trained = read_trained(bundle)
    track(STEP, trained, learning.parameters() | asdict(running), source, bundle)
    losses = {entry.candidate.name: entry.fitted.kept.validation for entry in trained}
    rules = f"{_rules(learning, task_of(source))} {pooled_words(bundle.manifest.details['pooled_values'])}".strip()
    return DistributedResult(bundle, curves_page(trained, rules, "epochs"), losses)


def provenance() -> dict[str, str]:
    """The variables by which the workers record the same pipeline, run and code as the step, and use its store."""
    kept = settings().run.texts(RunVariables.pipeline, RunVariables.run, RunVariables.image)
    kept |= settings().s3.texts(S3Variables.endpoint, S3Variables.region)
    own = {COMMIT: code_commit(), **({CHANGES: code_changes()} if code_changes() else {})}
    own |= {ENVIRONMENT: code_environment()}
    return {**kept, **own, STORE: default_store().uri}


def _rules(learning: Learning, task: Task) -> str:
    weights = f" {weight_rules(task)}" if task.weight else ""
    return (
        f"{learning.workers} workers trained the network together; they stopped after {learning.patience} epochs "
        "without a better log loss on the validation rows, and the best epoch was kept. Less is better."
        f"{weights}"
    )
