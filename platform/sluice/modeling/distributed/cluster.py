"""The workers in a TrainJob: create it or find it again, follow it to its end, and leave nothing behind that runs."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.core.settings import settings
from sluice.modeling.distributed import explaining
from sluice.modeling.distributed.job_settings import Job, Learning, Running
from sluice.modeling.distributed.naming import job_key, job_name
from sluice.modeling.distributed.observing import Object, Observer, Worker
from sluice.modeling.distributed.specs import TRAINJOBS, reference_to, train_job, workflow_of
from sluice.modeling.distributed.trainjobs import TrainJobs, connect

_POLL_SECONDS, _TELL_SECONDS, _QUIET_SECONDS = 1.0, 20.0, 5.0


def run_on_cluster(source: Bundle, learning: Learning, running: Running, environment: Mapping[str, str]) -> Job:
    """Train in a TrainJob of this step's own namespace, to the end.

    A run that is cancelled kills this step, which may not live to delete its TrainJob. So it belongs to the
    PodDisruptionBudget of the run's Workflow, which Argo deletes when the run ends in whatever way; Kubernetes then
    deletes the TrainJob. One that has ended is given to the Workflow itself, and stays for people to look at.

    Args:
        source: The dataset.
        learning: What decides the numbers.
        running: The runtime, and the deadlines.
        environment: Variables of the workers that hold no secrets.

    Returns:
        The job that the workers were told.

    Raises:
        BadInput: The runtime is not there or is not for torch, or a worker refused its input.
        EnvironmentFault: The workers did not start or end in time, failed too often, or the API failed.
    """
    jobs = connect()
    pod = jobs.own_pod()
    run_id = settings().run.run or pod["metadata"].get("labels", {}).get("pipeline/runid") or pod["metadata"]["uid"]
    name = job_name(run_id, source.id, learning)
    job = Job(source.uri, job_key(run_id, name), learning, running.checkpoint_seconds)
    workflow = workflow_of(pod)
    budget = jobs.budget(workflow["name"])
    owners = [reference_to(budget) if budget else workflow]
    body = train_job(name, job, running, jobs.runtime(running.runtime), environment, pod, owners)
    train(jobs, body, running, workflow)
    return job


def train(jobs: TrainJobs, body: Object, running: Running, workflow: Object) -> None:
    """Create a TrainJob, or find the one that an earlier try of the step left, and follow it to its end.

    It is deleted when this ends any other way than by the job's own end, by SIGTERM too.

    Raises:
        BadInput: A worker refused its input.
        EnvironmentFault: See `run_on_cluster`.
    """
    name, wanted = body["metadata"]["name"], body["spec"]["trainer"]["numNodes"]
    observer = Observer(jobs, name)
    with _terminable():
        try:
            _submit(jobs, body)
            with observer.watching():
                _Following(jobs, observer, name, wanted, running).to_the_end()
            jobs.give_to(name, [workflow])
        except Exception:
            _clean_up(jobs, name, workflow)
            raise
        except BaseException:  # cancelled: without a look first, for there is less than a second
            with suppress(SluiceError):
                jobs.delete(name)
            raise


def _submit(jobs: TrainJobs, body: Object) -> None:
    name, runtime = body["metadata"]["name"], body["spec"]["runtimeRef"]["name"]
    found = jobs.get(name)
    if found is not None and _is(found, "Failed"):
        progress(f"TrainJob {name} of an earlier try has failed: starting it again from its last checkpoint")
        jobs.delete(name)
        found = None
    if found is not None or not jobs.create(body):
        progress(f"TrainJob {name} is there already, from an earlier try of this step: following it")
        return
    count = body["spec"]["trainer"]["numNodes"]
    progress(f"TrainJob {name} created: {count} workers in runtime {runtime} (kubectl get {TRAINJOBS} {name})")


def _clean_up(jobs: TrainJobs, name: str, workflow: Object) -> None:
    """Delete what still runs; what has failed stays to be looked at. A failure here must not hide the first one."""
    try:
        if _is(jobs.get(name) or {}, "Failed"):
            jobs.give_to(name, [workflow])
        else:
            progress(f"deleting TrainJob {name}")
            jobs.delete(name)
    except SluiceError as error:
        progress(f"TrainJob {name} could not be deleted: {error}")


class _Following:
    """One look after another at a TrainJob, until it ends."""

    def __init__(self, jobs: TrainJobs, observer: Observer, name: str, wanted: int, running: Running) -> None:
        self._jobs, self._observer, self._name = jobs, observer, name
        self._wanted, self._running = wanted, running
        self._began = self._waiting_since = self._told_at = time.monotonic()
        self._told, self._attempt = "", 0

    def to_the_end(self) -> None:
        """Follow it, and say what is new.

        Raises:
            BadInput: A worker refused its input.
            EnvironmentFault: The job failed, was deleted, or took too long.
        """
        while True:
            job = self._jobs.get(self._name)
            if job is None:
                raise EnvironmentFault(f"TrainJob {self._name} was deleted by someone else; run the step again")
            workers = self._observer.workers()
            refusal = explaining.refused(workers)
            if refusal:
                raise BadInput(refusal)
            if _is(job, "Complete"):
                progress(f"TrainJob {self._name} is complete")
                return
            if _is(job, "Failed"):
                raise self._failure(job, workers)
            self._look_for_restart(workers)
            self._look_for_workers(job, [w for w in workers if w.attempt == self._attempt])
            time.sleep(_POLL_SECONDS)

    def _look_for_restart(self, workers: list[Worker]) -> None:
        attempt = max((worker.attempt for worker in workers), default=0)
        if attempt <= self._attempt:
            return
        why = explaining.ended([w for w in workers if w.attempt == self._attempt])
        self._attempt, self._waiting_since = attempt, time.monotonic()
        if attempt > self._running.max_restarts:
            raise EnvironmentFault(f"the workers failed more often than max_restarts, {attempt - 1}: {why}")
        progress(f"restarted {attempt} of {self._running.max_restarts} from the last checkpoint: {why}")

    def _look_for_workers(self, job: Object, workers: list[Worker]) -> None:
        now = time.monotonic()
        if now - self._began > self._running.timeout_seconds:
            raise EnvironmentFault(
                f"TrainJob {self._name} did not end within timeout_seconds, {self._running.timeout_seconds} s; its "
                "checkpoint stays"
            )
        if explaining.running(workers) >= self._wanted:
            self._waiting_since, self._told = now, ""
            return
        waited = now - self._waiting_since
        if waited < _QUIET_SECONDS:
            return
        warnings = self._jobs.warnings(self._name) if len(workers) < self._wanted else []
        why = explaining.waiting(workers, self._wanted, warnings, job)
        if waited > self._running.start_seconds:
            raise EnvironmentFault(f"not all workers ran within start_seconds, {self._running.start_seconds} s: {why}")
        if why != self._told or now - self._told_at > _TELL_SECONDS:
            progress(f"waiting ({waited:.0f} of {self._running.start_seconds} s): {why}")
            self._told, self._told_at = why, now

    def _failure(self, job: Object, workers: list[Worker]) -> EnvironmentFault:
        condition = next(c for c in job["status"]["conditions"] if c["type"] == "Failed")
        attempts = max((worker.attempt for worker in workers), default=0)
        why = explaining.ended([w for w in workers if w.attempt == attempts])
        if not workers:
            why = condition.get("message", "")
        return EnvironmentFault(
            f"TrainJob {self._name} failed ({condition.get('reason', '')}) after {attempts} restarts: {why}"
        )


def _is(job: Mapping[str, Any], condition: str) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the `with` block as an exception: else Python would die without deleting anything."""

    def end(number: int, _: object) -> None:
        progress("cancelled")
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
