"""The workers as processes of this machine, under torchrun: what a laptop has instead of a cluster."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from sluice.core.environment import variables
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.progress import progress
from sluice.core.termination_message import TERMINATION_LOG
from sluice.core.variable_groups.system import SystemVariables
from sluice.core.variable_groups.training import TrainingVariables
from sluice.modeling.distributed.job_settings import DEVICE, GPU, JOB, Job, Running
from sluice.modeling.distributed.publishing import last_words

_POLL_SECONDS, _GRACE_SECONDS = 0.1, 15.0
_LAUNCHER, _WORKER = "sluice.modeling.distributed.torchrun", "sluice.modeling.distributed.worker"


def run_processes(job: Job, running: Running, environment: Mapping[str, str]) -> None:
    """Run the job's workers here; torchrun starts all of them again when one fails.

    Args:
        job: What to train.
        running: Where (`torch-gpu` takes this machine's GPUs), for how long, and how many restarts.
        environment: Further variables for the workers.

    Raises:
        BadInput: A worker refused its input; the message is its own.
        EnvironmentFault: The workers failed more often than allowed, or took too long.
    """
    progress(f"{job.learning.workers} workers as processes of this machine, at most {running.max_restarts} restarts")
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        said = Path(folder) / "termination"
        own = {JOB: job.to_json(), TERMINATION_LOG: str(said)}
        own |= {DEVICE: "cuda" if running.runtime == GPU else "cpu"}
        process = subprocess.Popen(_command(job, running), env={**_defaults(variables()), **environment, **own})  # noqa: S603
        try:
            _wait(process, said, time.monotonic() + running.timeout_seconds, running)
        finally:
            _end(process)
        if process.returncode:
            otherwise = EnvironmentFault(f"the workers ended with exit code {process.returncode}; their log is above")
            raise _said(said) or otherwise


def _command(job: Job, running: Running) -> list[str]:
    launch = [sys.executable, "-m", _LAUNCHER, "--standalone", "--local-addr=127.0.0.1"]
    counts = [f"--nproc-per-node={job.learning.workers}", f"--max-restarts={running.max_restarts}"]
    return [*launch, *counts, "--monitor-interval=0.2", "-m", _WORKER]


def _defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """Workers talk over the loopback interface alone: a laptop's own name often has no address.

    Rank 0 keeps the store where they meet: torchrun's own one asks for libuv, which Debian's torch has not.
    """
    own = {
        TrainingVariables.interface.name: "lo0" if sys.platform == "darwin" else "lo",
        TrainingVariables.own_store.name: "1",
        SystemVariables.threads.name: "1",
    }
    # A project's sluice.py, where the command is typed, must not shadow the package.
    return {**own, **environment, SystemVariables.safe_path.name: "1"}


def _wait(process: subprocess.Popen[bytes], said: Path, deadline: float, running: Running) -> None:
    while process.poll() is None:
        if time.monotonic() > deadline:
            raise EnvironmentFault(
                f"the workers did not end within timeout_seconds, {running.timeout_seconds} s; the checkpoint stays"
            )
        if isinstance(_said(said), BadInput):
            return  # starting again cannot help
        time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End torchrun, which then ends its workers."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _said(said: Path) -> SluiceError | None:
    """The last words of a worker, where it left some."""
    try:
        return last_words(said.read_text(encoding="utf-8"))
    except OSError:
        return None
