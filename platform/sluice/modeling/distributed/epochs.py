"""The course of a training: epochs until nothing gets better, checkpoints on the way, going on from the last one."""

import time
from dataclasses import replace

from sluice.core.progress import progress
from sluice.modeling.distributed.checkpoints import Checkpoint, Checkpoints, Progress
from sluice.modeling.distributed.groups import ProcessGroup
from sluice.modeling.distributed.job_settings import Job
from sluice.modeling.distributed.learning import Learner
from sluice.modeling.rounds import EARLY, LEAST_GAIN, LIMIT, MOST_ROUNDS, Point

_SECONDS_BETWEEN_LINES = 1.0


class Course:
    """A training on its way, in one of its processes."""

    def __init__(self, job: Job, learner: Learner, checkpoints: Checkpoints, group: ProcessGroup, title: str) -> None:
        self._job, self._learner, self._checkpoints, self._group, self._title = job, learner, checkpoints, group, title
        self._limit = job.learning.epochs or MOST_ROUNDS
        self.progress = Progress()
        self._started = self._told = self._saved = time.monotonic()
        self._cpu_started, self._cpu_before = time.process_time(), 0.0

    @property
    def kept(self) -> Point:
        """The best epoch."""
        return self.progress.curve[self.progress.kept - 1]

    @property
    def stopped_by(self) -> str:
        """Why no further epoch is made, as `rounds.Fitted` says it; empty while there is one."""
        if not self.progress.kept:
            return ""
        done = self.progress.curve[-1].round
        if done - self.progress.kept >= self._job.learning.patience:
            return EARLY
        return LIMIT if done >= self._limit else ""

    def resume(self) -> None:
        """Go on from the checkpoint, where there is one: rank 0 reads it, all get its bytes.

        Raises:
            BadInput: It is damaged, or another job's.
            EnvironmentFault: The store failed.
        """
        data = self._group.share(self._checkpoints.read() if self._group.first else b"")
        if not data:
            return
        found = self._checkpoints.decode(data)
        self._learner.restore(found.tensors)
        self.progress = found.progress
        self._started = time.monotonic() - found.progress.seconds
        self._cpu_before = found.progress.cpu_seconds
        self._say(f"resumed from step {found.progress.step}, epoch {len(found.progress.curve) + 1}")

    def run(self) -> None:
        """Learn to the end.

        Raises:
            EnvironmentFault: The store failed, or another process was lost.
        """
        while not self.stopped_by:
            self.epoch()
        self._tell(f": kept epoch {self.progress.kept}, {self.stopped_by}")

    def epoch(self) -> None:
        """Learn to the end of the present epoch.

        Raises:
            EnvironmentFault: The store failed, or another process was lost.
        """
        ended = False
        while not ended:
            self._learner.step(self.progress.step)
            self.progress = replace(self.progress, step=self.progress.step + 1, seconds=self._seconds())
            ended = self.progress.step % self._learner.steps_an_epoch == 0
            if ended:
                self._measure()
            self._save()

    def _measure(self) -> None:
        curve = self.progress.curve
        point = Point(len(curve) + 1, *self._learner.losses(), seconds=self._seconds())
        better = not curve or point.validation < self.kept.validation - LEAST_GAIN
        if better:
            self._learner.keep()
        (computed,) = self._group.total(time.process_time() - self._cpu_started)
        self.progress = replace(
            self.progress,
            cpu_seconds=self._cpu_before + computed,
            curve=(*curve, point),
            kept=point.round if better else self.progress.kept,
        )
        if time.monotonic() - self._told >= _SECONDS_BETWEEN_LINES:
            self._tell()

    def _save(self) -> None:
        """Rank 0 alone decides when: the weights are the same everywhere, so the others need not know."""
        if self._group.first and time.monotonic() - self._saved >= self._job.checkpoint_seconds:
            self._checkpoints.write(Checkpoint(self.progress, self._learner.state()))
            self._saved = time.monotonic()

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _tell(self, end: str = "") -> None:
        self._told = time.monotonic()
        point = self.progress.curve[-1]
        loss = f"validation log loss {point.validation:.4f}"
        rate = f"{len(self.progress.curve) * self._learner.rows / point.seconds:,.0f} rows/s"
        self._say(f"epoch {point.round}, step {self.progress.step}, {loss}, {point.seconds:.1f} s, {rate}{end}")

    def _say(self, text: str) -> None:
        if self._group.first:
            progress(f"{self._title}: {text}")
