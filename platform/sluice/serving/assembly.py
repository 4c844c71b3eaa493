"""The one place where the server's parts are put together: who answers, who looks on, and who may ask.

Each part is built by its own module and given here to `Server`:

- a *traffic* (`exchange.Traffic`) says which version answers a request: `OneVersion`, or one that follows an alias,
  weighs a canary or shadows. It is built by `_traffic`. With several versions it is `exchange.Versions`, too.
- *observers* (`exchange.Observer`) see each answer after it was sent: a prediction log, statistics. They are built by
  `_observers`, in the order in which they are told.
- any of them may be `exchange.Started` (`start` before the server is ready, `stop` after the last answer) and
  `exchange.Measured` (numbers for Prometheus).

A setting of a new part is a field of `sluice.serving.settings.Settings`; `sluice serve` has an option for it, and a
cluster's server reads the same document.
"""

from collections.abc import Sequence

from sluice.serving.app import Server
from sluice.serving.doors import Doors
from sluice.serving.exchange import Loaded, Observer, OneVersion, Traffic
from sluice.serving.judges import open_judge
from sluice.serving.settings import Settings
from sluice.serving.tokens import Tokens


def assembled(settings: Settings, port: int = 0, metrics_port: int | None = None) -> Server:
    """A server with all its parts, whose model is loaded and warm.

    Args:
        settings: What it is told.
        port: Where it listens; the settings' own may be 0.
        metrics_port: Where health and metrics are, if they have a port of their own.

    Raises:
        BadInput: The folder holds no served model, or one that was changed; or there is no token in the file.
    """
    tokens = Tokens(settings.token_file) if settings.token_file else None
    doors = Doors(tokens, None if tokens else _own_names(settings, port), metrics_port)
    return Server(_traffic(settings), _observers(settings), settings.limits, doors, settings.threads)


def _traffic(settings: Settings) -> Traffic:
    return OneVersion(Loaded(settings.name, open_judge(settings.folder, threads=settings.threads)))


def _observers(settings: Settings) -> Sequence[Observer]:  # noqa: ARG001 - none yet
    return ()


def _own_names(settings: Settings, port: int) -> frozenset[str] | None:
    """The names by which this machine's own programs reach a server without tokens; None where it has other callers."""
    if not settings.local:
        return None
    ports = (f":{port}", "") if port == 80 else (f":{port}",)
    return frozenset(f"{name}{end}" for name in ("localhost", "127.0.0.1", "[::1]") for end in ports)
