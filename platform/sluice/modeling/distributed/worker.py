"""One process of a distributed training; `torchrun` beside it starts it."""

import sys

from sluice.artifacts.bundles import Bundle
from sluice.core.addresses import show_defect
from sluice.core.errors import SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.core.termination_message import POD_LOG, leave_message
from sluice.core.user_names import user_name
from sluice.modeling.catalogue import network_for
from sluice.modeling.distributed.checkpoints import Checkpoints
from sluice.modeling.distributed.epochs import Course
from sluice.modeling.distributed.groups import PeerLost, ProcessGroup, joined
from sluice.modeling.distributed.job_settings import Job, Learning, job_from_json, network_settings
from sluice.modeling.distributed.learning import Learner
from sluice.modeling.distributed.publishing import RESULT, STEP, publish_models
from sluice.modeling.network_fitting import image_model, table_model
from sluice.modeling.networks import NetworkModel
from sluice.modeling.parts import Parts, read_parts
from sluice.modeling.rounds import Fitted
from sluice.modeling.threads import fixed_threads
from sluice.parameters.candidate_settings import TableNetworkSettings
from sluice.storage.locations import default_store

_THREADS = 1


def main() -> None:
    """Train, and as rank 0 publish; a failure ends in one line, in the log and in the termination message."""
    sys.excepthook = show_defect
    user_name()
    try:
        job = job_from_json(settings().training.job)
        with read_parts(job.splits) as (source, parts), fixed_threads(_THREADS), joined() as group:
            _work(job, source, parts, group)
    except SluiceError as error:
        progress(f"error: {error}")
        # Who was lost has left a message that says why, where processes share the place for it.
        if not (isinstance(error, PeerLost) and _somebody_spoke()):
            leave_message(STEP, error)
        sys.exit(error.exit_code)
    except Exception as error:
        leave_message(STEP, SluiceError(f"{type(error).__name__}: {error}"))
        raise


def _somebody_spoke() -> bool:
    said = settings().run.termination_log or POD_LOG
    return said.exists() and said.stat().st_size > 0


def _work(job: Job, source: Bundle, parts: Parts, group: ProcessGroup) -> None:
    store = default_store()
    if group.share(b"published" if group.first and store.exists(f"{job.key}/{RESULT}") else b""):
        return  # an earlier start published, and was ended before its pod was seen to succeed
    checkpoints = Checkpoints(store, job.key, job.digest)
    candidate = network_for(parts.task)
    learner = Learner(_model(parts, job.learning), parts, job.learning, group)
    course = Course(job, learner, checkpoints, group, candidate.title)
    if group.first:
        _tell(parts, group, learner)
    course.resume()
    course.run()
    if group.first:
        done, stopped_by = course.progress, course.stopped_by
        spent = (done.seconds, done.cpu_seconds)
        fitted = Fitted(learner.model(), learner.parameters, done.curve, course.kept, stopped_by, *spent)
        publish_models(store, job, source, parts, fitted)


def _model(parts: Parts, learning: Learning) -> NetworkModel:
    chosen = network_settings(learning, parts.task)
    if isinstance(chosen, TableNetworkSettings):
        return table_model(parts, learning.seed, chosen)
    return image_model(parts, learning.seed, chosen)


def _tell(parts: Parts, group: ProcessGroup, learner: Learner) -> None:
    rows = f"{len(parts.train.labels):,} rows to learn from, {len(parts.validation.labels):,} to stop by"
    steps = f"{learner.steps_an_epoch} steps an epoch of {learner.batch * group.size:,} rows"
    progress(f"{parts.task.name}: {rows}; {group.size} processes on {group.device.type}, {steps}")


if __name__ == "__main__":
    main()
