"""What a user may set about distributed training, and the job that follows from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.parameter_checks import check_with
from sluice.core.variable_groups.training import TrainingVariables
from sluice.parameters.candidate_settings import (
    ImageNetworkSettings,
    TableNetworkSettings,
    Wanted,
    checked_settings,
    read_entries,
)
from sluice.parameters.train_distributed import CHECKS, DEFAULTS
from sluice.problems.candidate_names import NETWORK
from sluice.problems.task import Task

JOB = TrainingVariables.job.name
"""The variable that holds a `Job` as JSON."""
DEVICE = TrainingVariables.device.name
"""The variable that says where a worker trains: `cpu`, `cuda` or `auto`; a TrainingRuntime sets it."""
LOCAL, GPU = "local", "torch-gpu"
VERSION = 1


@dataclass(frozen=True)
class Learning:
    """The settings that decide the numbers: the same ones, on as many processes, give the same model.

    Attributes:
        workers: How many nodes train.
        epochs: Most passes over the training rows; 0 for the network's own limit.
        patience: Training stops after so many epochs without a better validation log loss.
        batch_rows: Rows of one step over all processes together; 0 for a power of two that gives about 64 steps.
        learning_rate: Of AdamW.
        seed: Decides everything random.
        network: What else was set of the network, as its candidate's settings.
    """

    workers: int = DEFAULTS.workers
    epochs: int = DEFAULTS.epochs
    patience: int = DEFAULTS.patience
    batch_rows: int = DEFAULTS.batch_rows
    learning_rate: float = DEFAULTS.learning_rate
    seed: int = DEFAULTS.seed
    network: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """As the manifest records them; the network's settings only where some were given."""
        return {name: value for name, value in asdict(self).items() if value or name != "network"}

    def settings(self) -> dict[str, Any]:
        """What was set of the network, as the step train would be told it."""
        own = {name: getattr(self, name) for name in ("learning_rate", "batch_rows")}
        return {**self.network, **{name: value for name, value in own.items() if value != getattr(DEFAULTS, name)}}


@dataclass(frozen=True)
class Running:
    """The settings that decide where, and for how long, but none of the numbers.

    Attributes:
        runtime: The TrainingRuntime; `local` for processes of the step's own.
        checkpoint_seconds: At most about so much work is lost when a worker is.
        max_restarts: A job whose workers fail more often has failed.
        start_seconds: Within these all workers must run.
        timeout_seconds: Within these the job must end.
    """

    runtime: str = DEFAULTS.runtime
    checkpoint_seconds: float = DEFAULTS.checkpoint_seconds
    max_restarts: int = DEFAULTS.max_restarts
    start_seconds: int = DEFAULTS.start_seconds
    timeout_seconds: int = DEFAULTS.timeout_seconds


@dataclass(frozen=True)
class Job:
    """What every worker is told.

    Attributes:
        splits: The dataset's address.
        key: Where in the store the job keeps its checkpoint and, at the end, its result.
        learning: What decides the numbers.
        checkpoint_seconds: See `Running`.
    """

    splits: str
    key: str
    learning: Learning
    checkpoint_seconds: float

    def to_json(self) -> str:
        """As the variable SLUICE_TRAINING_JOB holds it."""
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True)

    @property
    def digest(self) -> str:
        """SHA-256 over what decides the numbers: a checkpoint of another job must not be continued."""
        decisive = {"splits": self.splits, **self.learning.parameters()}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def job_from_json(text: str) -> Job:
    """The inverse of `Job.to_json`.

    Raises:
        BadInput: It is missing, malformed or of another version.
    """
    try:
        body: dict[str, Any] = json.loads(text)
        if body.pop("version") != VERSION:
            raise ValueError("another version of Sluice wrote it")
        return Job(**{**body, "learning": Learning(**body["learning"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{JOB} does not describe a job ({error}); workers are started by the step train_distributed, and their "
            "image must be the step's own"
        ) from None


def check_settings(given: Mapping[str, Any]) -> tuple[Learning, Running]:
    """Check what a user gave; names are those of `Learning` and `Running`.

    Raises:
        BadInput: A parameter is out of its range.
    """
    check_with(CHECKS, given)
    told = {**given, **_of_network(given.get("candidates", ()))}
    learning = Learning(**{name: told[name] for name in Learning.__dataclass_fields__ if name in told})
    running = Running(**{name: given[name] for name in Running.__dataclass_fields__ if name in given})
    return learning, running


def _of_network(candidates: Sequence[Any]) -> dict[str, Any]:
    """What the one candidate sets: the fields that `Learning` has for it, and the rest as `network`."""
    settings = {name: value for each in read_entries(candidates) for name, value in each.settings.items()}
    own: dict[str, Any] = {name: settings.pop(name) for name in ("learning_rate", "batch_rows") if name in settings}
    return {**own, "network": settings}


def network_settings(learning: Learning, task: Task) -> TableNetworkSettings | ImageNetworkSettings:
    """What holds for a task's network.

    Raises:
        BadInput: Something was set that only the other kind of network has.
    """
    checked = checked_settings(Wanted(NETWORK, dict(learning.network)), images=bool(task.image))
    return ImageNetworkSettings(**checked) if task.image else TableNetworkSettings(**checked)
