"""The one place where the server's parts are put together: who answers, who looks on, and what a request may be.

Each part is built by its own module and given here to `Server`:

- a *traffic* (`exchange.Traffic`) says which version answers a request: `OneVersion`, or one that follows an alias,
  weighs a canary or shadows. It is built by `_traffic`.
- *observers* (`exchange.Observer`) see each answer after it was sent: a prediction log, statistics. They are built by
  `_observers`, in the order in which they are told.
- both may have `start()` and `stop()`. `start` is called once before the server says that it is ready, and may take
  its time, for it runs in a thread; `stop` is called once after the last answer, before the process ends, and is waited
  for: what is still in memory is written then.

A setting of a new part is a field of `Settings`; `sluice serve` has an option for it, and the cluster's server reads
the same fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sluice.serving.app import Limits, Server
from sluice.serving.exchange import Loaded, Observer, OneVersion, Traffic
from sluice.serving.graph_judge import GraphJudge


@dataclass(frozen=True)
class Settings:
    """What a server is told before it starts.

    Attributes:
        folder: The served model's folder.
        name: `MODEL/version`, or how else its answers shall name it.
        limits: Of requests.
    """

    folder: Path
    name: str
    limits: Limits = field(default_factory=Limits)


def assembled(settings: Settings) -> Server:
    """A server with all its parts, whose model is loaded and warm.

    Raises:
        BadInput: The folder holds no served model, or one that was changed.
    """
    return Server(_traffic(settings), _observers(settings), settings.limits)


def _traffic(settings: Settings) -> Traffic:
    return OneVersion(Loaded(settings.name, GraphJudge(settings.folder)))


def _observers(settings: Settings) -> Sequence[Observer]:  # noqa: ARG001 - none yet
    return ()
