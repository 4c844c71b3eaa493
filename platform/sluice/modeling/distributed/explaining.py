"""What is the matter with a TrainJob, in one line: whom it waits for and why, or why a worker ended."""

from collections.abc import Sequence

from sluice.core.errors import BadInput, SluiceError
from sluice.modeling.distributed.observing import Object, Worker
from sluice.modeling.distributed.publishing import last_words

_LOST = "lost contact"
_LONGEST = 300


def running(workers: Sequence[Worker]) -> int:
    """How many run, or have ended well."""
    return sum("running" in w.state or _exit_code(w) == 0 for w in workers if not w.deleted)


def waiting(workers: Sequence[Worker], wanted: int, warnings: Sequence[Object], job: Object) -> str:
    """Whom the job waits for; nothing gang-schedules, so one worker may wait for the other's place.

    Args:
        workers: The pods of the present start.
        wanted: How many there should be.
        warnings: Events about the job, for when there is no pod to ask.
        job: The TrainJob.
    """
    present = [worker for worker in workers if not worker.deleted]
    head = f"{wanted} workers wanted, {running(present)} running"
    if _suspended(job):
        return f"{head}: the TrainJob is suspended, as queues do until there is room"
    reasons = [(worker, reason) for worker in present if (reason := _why_pending(worker))]
    if reasons:
        worker, reason = reasons[0]
        return f"{head}, {len(reasons)} pending: worker {worker.rank} {reason}"
    if len(present) < wanted and warnings:
        return f"{head}, {len(present)} pods made: {_cut(str(warnings[-1].get('message', '')))}"
    return f"{head}, {len(present)} pods made"


def ended(workers: Sequence[Worker]) -> str:
    """Why a start of the job failed.

    The worker that ended first, by its own words where it left some; those that only lost contact come last.
    """
    failed = [worker for worker in workers if _exit_code(worker) not in (None, 0)]
    first = min(failed, key=_blame, default=None)
    error = _own_words(first) if first else None
    gone = [worker for worker in workers if worker.deleted and _exit_code(worker) is None]
    if gone and (first is None or str(error).startswith(_LOST)):
        return f"{_title(gone[0])} was deleted"
    if first is None:
        return "a worker failed"
    if error:
        return f"{_title(first)}: {error}"
    state = first.state["terminated"]
    reason = "" if state.get("reason") in (None, "Error") else f", {state['reason']}"
    said = f": {_cut(_last_line(state))}" if _last_line(state) else ""
    return f"{_title(first)} ended with exit code {state['exitCode']}{reason}{said}"


def refused(workers: Sequence[Worker]) -> str:
    """The words of a worker that refused its input, which starting again cannot help; empty where none did."""
    said = [error for error in map(_own_words, workers) if isinstance(error, BadInput)]
    return str(said[0]) if said else ""


def _blame(worker: Worker) -> tuple[bool, bool, str]:
    words = _own_words(worker)
    return str(words).startswith(_LOST), words is None, str(worker.state["terminated"].get("finishedAt", ""))


def _own_words(worker: Worker) -> SluiceError | None:
    """What a worker wrote into its termination message; None where it left none of ours."""
    return last_words(str(worker.state.get("terminated", {}).get("message", "")))


def _why_pending(worker: Worker) -> str:
    status = worker.pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"has no node: {_cut(condition.get('message') or condition.get('reason', ''))}"
    state = worker.state.get("waiting")
    if state is not None:
        on = f"on {worker.node} " if worker.node else ""
        said = f": {_cut(state['message'])}" if state.get("message") else ""
        return f"{on}waits ({state.get('reason', 'not started')}){said}"
    return "has not started" if not worker.state else ""


def _suspended(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(c["type"] == "Suspended" and c["status"] == "True" for c in conditions)


def _exit_code(worker: Worker) -> int | None:
    state = worker.state.get("terminated")
    return None if state is None else int(state["exitCode"])


def _last_line(state: Object) -> str:
    lines = [line for line in str(state.get("message", "")).splitlines() if any(map(str.isalpha, line))]
    return lines[-1].strip() if lines else ""


def _title(worker: Worker) -> str:
    on = f" on {worker.node}" if worker.node else ""
    return f"worker {worker.rank} (pod {worker.name}{on})"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
