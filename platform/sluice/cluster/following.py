"""Follows a run to its end and shows its steps, as `sluice run` does on a laptop."""

import time
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from sluice.cluster.connection import KFP, Cluster
from sluice.cluster.kfp_api import KfpApi, Run
from sluice.cluster.pod_logs import PodLogs
from sluice.cluster.workflow_steps import Step, steps_of
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.termination_message import read_message
from sluice.running.run_progress import PLAIN_NOTE_SECONDS, StepTimes
from sluice.running.terminal import plain

PAUSE_SECONDS = 1.0
LOST_SECONDS = 300.0  # how long the server may be away, its database's restart included, before it is given up
STUCK_SECONDS = 180.0  # how long a pod may lack its image before the run is given up
FIRST_CHARACTERS = 80
ASK_PODS_SECONDS = 10.0  # how often its pods are asked why no step of it runs


class Follower:
    """Follows one run.

    Args:
        cluster: Where it is.
        run: Its id.
        names: Its steps in order.
        console: Where progress goes.
        quiet: Show nothing.
    """

    def __init__(self, cluster: Cluster, run: str, names: Sequence[str], console: Console, *, quiet: bool) -> None:
        self.times = StepTimes()
        self._cluster, self._id, self._names = cluster, run, names
        self._console, self._quiet = console, quiet
        self._api = KfpApi(cluster.kfp)
        self._logs = PodLogs(cluster.kubernetes, run, cluster.runs)
        self._told: set[str] = set()
        self._stuck_since: dict[str, float] = {}
        self._asked_pods = 0.0
        self._noted = ("", 0.0)
        self._spinner = Spinner("dots")
        self._answered = time.monotonic()

    def to_the_end(self, seconds: float) -> Run:
        """Wait until the run ended.

        Args:
            seconds: The longest to wait.

        Returns:
            The run, which succeeded.

        Raises:
            BadInput: A step refused its input, in its own words; or the run was cancelled.
            EnvironmentFault: A service failed, an image cannot be had, KFP stayed away, or the time is over.
        """
        deadline = time.monotonic() + seconds
        still = self._quiet or not self._console.is_terminal
        live = None if still else Live(self._spinner, console=self._console, transient=True)
        try:
            if live:
                live.start()
            while True:
                run = self._look()
                if run and run.ended:
                    break
                if time.monotonic() > deadline:
                    raise EnvironmentFault(f"run {self._id} did not end within {seconds:.0f} s; it goes on in KFP")
                time.sleep(PAUSE_SECONDS)
        finally:
            if live:
                live.stop()
        if run.state != "SUCCEEDED":
            raise self._failure(run)
        return run

    def _look(self) -> Run | None:
        """The run as it stands, its news told; None where the server is away for a moment."""
        try:
            run = self._api.run(self._id)
        except EnvironmentFault:
            if time.monotonic() - self._answered > LOST_SECONDS:
                raise
            with suppress(EnvironmentFault):  # the next look tries again
                self._cluster.mend(KFP, 0)
            return None
        self._answered = time.monotonic()
        found = steps_of(run.manifest, self._names)
        for step in found:
            self._tell(step)
            self._check_image(f"step {step.name}", step.message if step.lacks_image else "")
        self._check_helpers(found)
        self._note(next((step for step in found if step.state in ("running", "starting")), None))
        return run

    def _tell(self, step: Step) -> None:
        if step.name in self._told or step.state in ("waiting", "starting", "running"):
            return
        self._told.add(step.name)
        self.times.seconds[step.name] = step.seconds
        if step.state == "cached":
            self._say(f"[cyan]=[/] {step.name:<14} [dim]reused: same code, parameters and inputs[/]")
        else:
            mark = "[green]✓[/]" if step.state == "done" else "[red]✗[/]"
            self._say(f"{mark} {step.name:<14} [dim]{step.seconds or 0:5.1f} s[/]")

    def _note(self, step: Step | None) -> None:
        if step is None or self._quiet:
            return
        said = self._logs.latest(step.name) if step.state == "running" else _unusual(step.message)
        words = f"{step.name}: {said or step.state}"
        self._spinner.update(text=plain(words))
        before, at = self._noted
        new = bool(said) and words != before and time.monotonic() - at > PLAIN_NOTE_SECONDS
        if new and not self._console.is_terminal:
            self._noted = (words, time.monotonic())
            self._say(f"  [dim]{plain(words)}[/]")

    def _check_helpers(self, found: Sequence[Step]) -> None:
        """Look at the pods that stand for no step of the run, its drivers', while no step runs."""
        busy = any(step.state == "running" for step in found)
        if not busy and time.monotonic() - self._asked_pods < ASK_PODS_SECONDS:
            return
        self._asked_pods = time.monotonic()
        self._check_image("a pod of the run", "" if busy else self._logs.lacking_image())

    def _check_image(self, what: str, why: str) -> None:
        if not why:
            self._stuck_since.pop(what, None)
            return
        since = self._stuck_since.setdefault(what, time.monotonic())
        if time.monotonic() - since > STUCK_SECONDS:
            raise EnvironmentFault(
                f"{what} cannot start: {why}; give the cluster the image, or correct its name; "
                f"the run waits on: `sluice cancel {self._id}` ends it"
            )

    def _failure(self, run: Run) -> SluiceError:
        if run.state == "CANCELED":
            return BadInput(f"run {self._id} was cancelled")
        failed = [step for step in steps_of(run.manifest, self._names) if step.state == "failed"]
        for step in failed:
            said = read_message(step.message)
            if said:
                return said
        if failed:
            said_by = _one_line(failed[0].message) or "failed without a word"
            return EnvironmentFault(f"step {failed[0].name}: {said_by}; its pod's log says more, in KFP or by kubectl")
        return EnvironmentFault(f"run {self._id} {run.state.lower()}: {run.error or 'KFP does not say why'}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, highlight=False, soft_wrap=True)


def _one_line(message: str) -> str:
    """How a pod ended, and the last of its last words, which may be the end of its log."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else " … ".join((lines[0][:FIRST_CHARACTERS], lines[-1])) if lines else ""


def _unusual(message: str) -> str:
    """Why a pod waits, unless that is how every pod begins."""
    return "" if message in ("PodInitializing", "ContainerCreating") else message
